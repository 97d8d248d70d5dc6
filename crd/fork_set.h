// ForkSet (fks): N Forks of one source; `kubectl scale` is the burst.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "controller/base/result.h"
#include "crd/fork.h"

namespace forkplane::crd {

struct ForkTemplate {
  TemplateMeta metadata;
  ForkSpec spec;
  bool operator==(const ForkTemplate&) const = default;
};

struct ForkSetSpec {
  std::int64_t replicas = 1;
  std::optional<LabelSelector> selector;  // absent: the labels of the template
  ForkTemplate fork_template;             // "template"
  std::int64_t max_concurrent = 0;        // 0: as slots allow
  bool operator==(const ForkSetSpec&) const = default;
};

struct ForkSetStatus {
  std::int64_t observed_generation = 0;
  std::int64_t replicas = 0;
  std::int64_t ready_replicas = 0;
  std::int64_t updated_replicas = 0;
  std::string selector;  // text form, for the scale subresource
  std::string snapshot_name;
  Conditions conditions;
  bool operator==(const ForkSetStatus&) const = default;
};

struct ForkSet {
  static constexpr std::string_view kKind = "ForkSet";
  static constexpr std::string_view kPlural = "forksets";
  static constexpr bool kNamespaced = true;

  ObjectMeta metadata;
  ForkSetSpec spec;
  ForkSetStatus status;

  static Result<ForkSet> FromJson(const Json& json);  // see VirtualMachine
  static Result<ForkSet> FromText(std::string_view text);
  Json ToJson() const;
  std::string ToText() const;
  bool operator==(const ForkSet&) const = default;
};

}  // namespace forkplane::crd
