// The daemon's configuration: one struct, filled from flags, from --config FILE (YAML) and from
// defaults, in that order of weight. Every key of the file is a flag: nested keys are joined by '-'
// ({log: {level: info}} is --log-level).
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "controller/base/result.h"

namespace CLI {
class App;
}

namespace forkplane::app {

struct Options {
  std::string config;
  std::string state_dir = "/var/lib/forkplane";
  std::string listen = "127.0.0.1:6443";     // the API; a port of 0 takes a free one
  std::string metrics_listen;                // plain HTTP /metrics; empty: off
  std::string host_name;                     // default: the host's name
  bool host_name_chosen = true;              // false: by default
  std::vector<std::string> image_roots;      // default: <state-dir>/images
  std::string manifests;                     // a directory to apply; empty: none
  std::string manifests_settle = "10s";      // how long it must be left alone before it is pruned
  std::string manifests_prune_max = "half";  // "half", or a number of objects
  std::string uid_range = "2000000000-2000065535";
  std::string qemu_binary = "/usr/bin/qemu-system-x86_64";
  std::string redirect = "auto";  // auto, bpf, mirred, mark: how upload reaches its class
  std::string leaf = "auto";      // auto, fq_codel, bfifo: the queue below each class
  std::string bpffs = "/sys/fs/bpf/forkplane";
  std::uint32_t interface_metrics = 0;  // interfaces that get series of their own
  std::string event_ttl = "1h";         // Events go this long after they were last written
  std::string log_level = "info";
  std::string log_format = "text";
};

// Adds the flags above and --config to a (sub)command; `options` outlives `command`.
void AddFlags(CLI::App& command, Options& options);

// Reads options.config into the flags of `command` that the command line left alone. To be called
// after parsing (CLI11 2.1 itself reads a config file only for the top-level command).
Status ApplyConfigFile(CLI::App& command, const Options& options);

// Fills what depends on the machine or on other options (host name, image roots, absolute paths)
// and checks each value; the error names the flag.
Status Complete(Options& options);

// The text of --config FILE.
Result<std::string> ReadConfigFile(const std::string& path);

// --uid-range FIRST-LAST: the first uid runs what serves no single VM (the processes that hold
// snapshots' memory, probes), the others one VM each.
struct UidRange {
  std::uint32_t helper = 0;
  std::uint32_t last = 0;
};
Result<UidRange> ParseUidRange(const std::string& text);

// --manifests-prune-max; nothing: half of the objects that the directory owns.
Result<std::optional<std::size_t>> ParsePruneMax(const std::string& text);
// --event-ttl.
Result<std::chrono::seconds> ParseEventTtl(const std::string& text);

// The effective configuration as the YAML that --config reads.
std::string ToYaml(const Options& options);

// Reads YAML of the form above into flag names and values; exposed for its test. Errors carry the
// line.
Result<std::map<std::string, std::vector<std::string>>> ParseConfig(const std::string& text);

}  // namespace forkplane::app
