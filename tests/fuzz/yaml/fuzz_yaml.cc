// Goal: whatever bytes a client or a file holds, YAML is read or refused within a bound of memory,
// what is said about it is short, and what was read is JSON that reads back as the same.
// Method: libFuzzer (./dev fuzz yaml SECONDS), with its limits on memory and time; the corpus is
// replayed by every test run (replay.cc).
#include "crd/yaml.h"

#include <cstdint>
#include <nlohmann/json.hpp>

#include "controller/base/check.h"
#include "crd/json.h"

namespace {

using forkplane::crd::Json;

void CheckYaml(std::string_view text) {
  const forkplane::crd::YamlLimits limits;
  const auto documents = forkplane::crd::ParseYaml(text, limits);
  if (!documents.ok()) {
    CHECK(documents.error().message.size() <= 300);
    return;
  }
  for (const auto& document : *documents) {
    CHECK(document.line > 0);
    CHECK(document.duplicates.size() <= 100);
    const std::string dumped = forkplane::crd::DumpJson(*document.value);
    // Written once, and copied by aliases; a character becomes six bytes at most ("\u0001").
    CHECK(dumped.size() <= 8 * (text.size() + limits.bytes_max) + 64 * limits.nodes_max);
    forkplane::crd::JsonLimits json_limits;
    json_limits.bytes_max = dumped.size();
    const auto again = forkplane::crd::ParseJson(dumped, json_limits);
    CHECK(again.ok());
    CHECK(*again == *document.value);
  }
}

void CheckJson(std::string_view text) {
  std::vector<std::string> duplicates;
  const auto json = forkplane::crd::ParseJson(text, {}, &duplicates);
  CHECK(duplicates.size() <= 100);
  if (!json.ok()) CHECK(json.error().message.size() <= 300);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(bytes), size);
  CheckYaml(text);
  CheckJson(text);
  return 0;
}
