// What one pass knows about a ForkSet, what prevents its Forks, and the objects it makes: pure.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "crd/types.h"
#include "reconcilers/fork_set/plan.h"

namespace forkplane::fork_set {

struct Obstacle {
  std::string_view reason;
  std::string message;  // names the field and the remedy
  bool terminal = false;
};

struct Context {
  std::shared_ptr<const crd::ForkSet> set;
  std::shared_ptr<const crd::Snapshot> snapshot;
  std::shared_ptr<const crd::VirtualMachine> source_vm;
  std::vector<std::shared_ptr<const crd::Fork>> forks;  // ours
  std::string template_hash;
  std::optional<Obstacle> obstacle;
  std::vector<std::string> not_updated;  // "spec.field: why", of an edit its Forks cannot take
  Observed observed;
};

// The obstacle when the store refused to make or delete a child.
Obstacle Refused(const Error& error);

std::string ForkName(const crd::ForkSet& set, std::int64_t ordinal);
// -1: the name was not given by this set.
std::int64_t OrdinalOf(const crd::ForkSet& set, const std::string& name);
std::string SnapshotName(const crd::ForkSet& set);
// A label value.
std::string TemplateHash(const crd::ForkSet& set);
crd::LabelSelector SelectorOf(const crd::ForkSet& set);

// Fills obstacle and observed (but cache_behind) from the rest.
void Judge(Context& context);

crd::Fork MakeFork(const crd::ForkSet& set, std::int64_t ordinal);
// Brings the Fork to the template; its source stays.
void UpdateFromTemplate(const crd::ForkSet& set, crd::Fork& fork);
crd::Snapshot MakeSnapshot(const crd::ForkSet& set);

crd::ForkSetStatus BuildStatus(const Context& context);

}  // namespace forkplane::fork_set
