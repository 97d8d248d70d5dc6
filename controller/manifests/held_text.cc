#include "controller/manifests/held_text.h"

#include <algorithm>
#include <iterator>

#include "controller/base/foreign_text.h"

namespace forkplane::manifests {
namespace {

constexpr std::size_t kObjectsShown = 10;

// In the order in which they are told: the widest cause first.
int Rank(const std::string& reason) {
  constexpr const char* kOrder[] = {reason::kRootReplaced,     reason::kOtherDirectory,
                                    reason::kDirectoryEmptied, reason::kFileWithoutObjects,
                                    reason::kFileCut,          reason::kContentOfOthers,
                                    reason::kTooManyToPrune};
  const auto* at = std::find(std::begin(kOrder), std::end(kOrder), reason);
  return static_cast<int>(at - std::begin(kOrder));
}

// "VirtualMachine default/a (vms.yaml:1), ... and 5 more"
std::string Listed(const std::vector<Kept>& kept) {
  std::string text;
  for (std::size_t i = 0; i < kept.size() && i < kObjectsShown; ++i) {
    const Record& record = kept[i].object.record;
    text += fmt::format("{}{} ({})", i == 0 ? "" : ", ", Name(record), Where(record));
  }
  if (kept.size() > kObjectsShown) {
    text += fmt::format(" and {} more", kept.size() - kObjectsShown);
  }
  return text;
}

// Each cause once, with the first object that it holds.
std::string Causes(const std::vector<Kept>& kept) {
  std::vector<std::string> told;
  for (const Kept& object : kept) {
    if (std::find(told.begin(), told.end(), object.hold.message) == told.end()) {
      told.push_back(object.hold.message);
    }
  }
  if (told.size() > kObjectsShown) {
    told.resize(kObjectsShown);
    told.emplace_back("and more");
  }
  return fmt::format("{}", fmt::join(told, "; "));
}

std::string Remedy(const PruneReport& report, const std::string& host_name) {
  if (report.token.empty()) return "put them back, or delete them yourself";
  std::string text = fmt::format(
      "put them back; or delete them: kubectl annotate --overwrite host {0} {1}={3}; or keep them "
      "as nobody's: kubectl annotate --overwrite host {0} {2}={3}",
      host_name, kPruneAnnotation, kKeepAnnotation, report.token);
  if (!report.given.empty()) {
    text += fmt::format(" (\"{}\" was given for another set of objects)", report.given);
  }
  return text;
}

// File names and texts of documents are anybody's, and a condition has a bound.
Hold Shown(const std::string& reason, const std::string& message) {
  constexpr std::size_t kMessageBytesMax = 4096;
  return {reason, CleanForeignText(message, kMessageBytesMax)};
}

}  // namespace

std::optional<Hold> DescribeHold(const std::optional<Hold>& pass, const PruneReport& report,
                                 const std::string& host_name) {
  if (pass) {
    std::string message = pass->message + "; nothing is pruned until then";
    if (!report.kept.empty()) {
      message += fmt::format("; waiting ({}): {}", report.kept.size(), Listed(report.kept));
    }
    return Shown(pass->reason, message);
  }
  if (report.kept.empty()) return std::nullopt;
  const auto first = std::min_element(
      report.kept.begin(), report.kept.end(),
      [](const Kept& a, const Kept& b) { return Rank(a.hold.reason) < Rank(b.hold.reason); });
  // The remedy comes first, so that no cut takes it away.
  return Shown(first->hold.reason,
               fmt::format("in no document, and kept: {}. Remedy: {}. Objects: {}",
                           Causes(report.kept), Remedy(report, host_name), Listed(report.kept)));
}

}  // namespace forkplane::manifests
