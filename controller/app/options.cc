#include "controller/app/options.h"

#include <unistd.h>
#include <yaml-cpp/yaml.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <climits>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "controller/base/log.h"
#include "crd/quantity.h"

namespace forkplane::app {
namespace {

using Values = std::map<std::string, std::vector<std::string>>;

constexpr int kDepthMax = 8;

Status Flatten(const YAML::Node& node, const std::string& name, int depth, Values& out) {
  const int line = node.Mark().line + 1;
  if (depth > kDepthMax) return Invalid(fmt::format("line {}: nested too deep", line));
  if (node.IsScalar()) {
    out[name] = {node.Scalar()};
    return OkStatus();
  }
  if (node.IsSequence()) {
    for (const YAML::Node& item : node) {
      if (!item.IsScalar()) {
        return Invalid(fmt::format("line {}: {}: a list of texts is wanted", line, name));
      }
      out[name].push_back(item.Scalar());
    }
    return OkStatus();
  }
  if (!node.IsMap()) return OkStatus();  // null: the default
  for (const auto& entry : node) {
    const std::string key = entry.first.Scalar();
    const std::string full = name.empty() ? key : name + "-" + key;
    if (out.contains(full)) {
      return Invalid(fmt::format("line {}: {} is set twice", entry.first.Mark().line + 1, full));
    }
    RETURN_IF_ERROR(Flatten(entry.second, full, depth + 1, out));
  }
  return OkStatus();
}

Status OneOf(std::string_view flag, const std::string& value,
             std::initializer_list<std::string_view> allowed) {
  if (std::find(allowed.begin(), allowed.end(), value) != allowed.end()) return OkStatus();
  return Invalid(
      fmt::format("--{} \"{}\": must be one of {}", flag, value, fmt::join(allowed, ", ")));
}

}  // namespace

Result<Values> ParseConfig(const std::string& text) {
  Values values;
  try {
    const YAML::Node root = YAML::Load(text);
    if (!root.IsMap() && !root.IsNull()) return Invalid("line 1: a map of settings is wanted");
    RETURN_IF_ERROR(Flatten(root, "", 0, values));
  } catch (const YAML::Exception& error) {
    return Invalid(fmt::format("line {}: {}", error.mark.line + 1, error.msg));
  }
  return values;
}

void AddFlags(CLI::App& command, Options& o) {
  command.add_option("--config", o.config, "read settings from this YAML file");
  const auto add = [&command](const char* flag, auto& value, const char* help) {
    command.add_option(flag, value, help)->capture_default_str();
  };
  add("--state-dir", o.state_dir, "where everything durable lives");
  add("--listen", o.listen, "address of the Kubernetes API (TLS)");
  add("--metrics-listen", o.metrics_listen,
      "address of plain HTTP /metrics and /healthz; empty: off");
  add("--host-name", o.host_name,
      "name of this host's Host object (default: the one on record, else the machine's)");
  add("--image-roots", o.image_roots,
      "directories that image paths are relative to (default: <state-dir>/images)");
  add("--manifests", o.manifests,
      "apply the manifests in this directory, follow its changes, prune what leaves it");
  add("--manifests-settle", o.manifests_settle,
      "how long the directory must have been left alone before anything is pruned");
  add("--manifests-prune-max", o.manifests_prune_max,
      "most objects that are pruned at once without being asked for: a number, or half of those "
      "owned");
  add("--uid-range", o.uid_range, "uids for VMM processes, one per VM");
  add("--hypervisors-qemu-binary", o.qemu_binary, "the QEMU to run");
  add("--redirect", o.redirect,
      "how uploads reach their class: auto, bpf or mirred (on an IFB), or mark (on the uplink)");
  add("--leaf", o.leaf, "queue below each class: auto, fq_codel or bfifo");
  add("--bpffs", o.bpffs, "where the TAP programs are pinned, so that a restart adopts them");
  add("--interface-metrics", o.interface_metrics,
      "most interfaces that get bytes, packets and drops of their own in /metrics; 0: none");
  add("--event-ttl", o.event_ttl, "how long an Event is kept after it was last written");
  add("--log-level", o.log_level, "debug, info, warn or error");
  add("--log-format", o.log_format, "text or json");
}

Result<std::string> ReadConfigFile(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  if (!file) return NotFound(fmt::format("--config {}: cannot be read", path));
  return text.str();
}

Status ApplyConfigFile(CLI::App& command, const Options& options) {
  if (options.config.empty()) return OkStatus();
  const auto context = [&](std::string_view what) {
    return fmt::format("--config {}: {}", options.config, what);
  };
  ASSIGN_OR_RETURN(const std::string text, ReadConfigFile(options.config));
  auto values = ParseConfig(text);
  if (!values.ok()) return std::move(values).error().WithContext(context("not a configuration"));
  for (const auto& [name, inputs] : *values) {
    CLI::Option* flag = command.get_option_no_throw("--" + name);
    if (flag == nullptr || name == "config") {
      return Invalid(context(fmt::format("unknown setting {}", name)));
    }
    if (flag->count() > 0) continue;  // the command line outweighs the file
    try {
      flag->add_result(inputs);
      flag->run_callback();
    } catch (const CLI::Error& error) {
      return Invalid(context(fmt::format("{}: {}", name, error.what())));
    }
  }
  return OkStatus();
}

Status Complete(Options& o) {
  RETURN_IF_ERROR(OneOf("redirect", o.redirect, {"auto", "bpf", "mirred", "mark"}));
  RETURN_IF_ERROR(OneOf("leaf", o.leaf, {"auto", "fq_codel", "bfifo"}));
  RETURN_IF_ERROR(OneOf("log-level", o.log_level, {"debug", "info", "warn", "error"}));
  RETURN_IF_ERROR(OneOf("log-format", o.log_format, {"text", "json"}));
  RETURN_IF_ERROR(ParseUidRange(o.uid_range));
  RETURN_IF_ERROR(ParsePruneMax(o.manifests_prune_max));
  if (auto settle = crd::Duration::Parse(o.manifests_settle); !settle.ok()) {
    return std::move(settle).error().WithContext("--manifests-settle");
  }
  RETURN_IF_ERROR(ParseEventTtl(o.event_ttl));
  if (o.state_dir.empty()) return Invalid("--state-dir: must not be empty");
  o.state_dir = std::filesystem::absolute(o.state_dir).lexically_normal().string();
  if (o.image_roots.empty()) o.image_roots = {o.state_dir + "/images"};
  for (std::string& root : o.image_roots) {
    root = std::filesystem::absolute(root).lexically_normal().string();
  }
  if (!o.manifests.empty()) {
    // One spelling: under it objects are recorded as this directory's. Links stay: what they lead
    // to may be swapped. "DIR/" would name its content in place of the link.
    std::filesystem::path path = std::filesystem::absolute(o.manifests).lexically_normal();
    if (!path.has_filename()) path = path.parent_path();
    o.manifests = path.string();
  }
  if (o.host_name.empty()) {
    o.host_name_chosen = false;
    std::array<char, HOST_NAME_MAX + 1> name{};
    if (::gethostname(name.data(), name.size() - 1) != 0) return FromErrno(errno, "gethostname");
    o.host_name = name.data();
  }
  return OkStatus();
}

Result<UidRange> ParseUidRange(const std::string& text) {
  const auto dash = text.find('-');
  const char* end = text.data() + text.size();
  UidRange range;
  const auto first = std::from_chars(text.data(), end, range.helper);
  const auto last =
      dash == std::string::npos ? first : std::from_chars(text.data() + dash + 1, end, range.last);
  const bool read = first.ec == std::errc{} && first.ptr == text.data() + dash &&
                    last.ec == std::errc{} && last.ptr == end;
  // 0 is root; the kernel's largest uid means "none".
  if (!read || range.helper == 0 || range.last <= range.helper || range.last == 0xffff'ffff) {
    return Invalid(fmt::format("--uid-range \"{}\": must be FIRST-LAST, two uids above 0", text));
  }
  return range;
}

Result<std::optional<std::size_t>> ParsePruneMax(const std::string& text) {
  if (text == "half") return std::optional<std::size_t>();
  std::size_t most = 0;
  const char* end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, most);
  if (text.empty() || read.ec != std::errc{} || read.ptr != end) {
    return Invalid(
        fmt::format("--manifests-prune-max \"{}\": must be half, or a number of objects", text));
  }
  return std::optional<std::size_t>(most);
}

Result<std::chrono::seconds> ParseEventTtl(const std::string& text) {
  const Result<crd::Duration> ttl = crd::Duration::Parse(text);
  if (!ttl.ok() || ttl->Value() < std::chrono::seconds(1)) {
    return Invalid(
        fmt::format("--event-ttl \"{}\": must be a duration from 1s on, as in 30m", text));
  }
  return std::chrono::duration_cast<std::chrono::seconds>(ttl->Value());
}

std::string ToYaml(const Options& o) {
  YAML::Emitter out;
  out << YAML::BeginMap;
  const auto put = [&out](const char* key, const std::string& value) {
    out << YAML::Key << key << YAML::Value << value;
  };
  put("state-dir", o.state_dir);
  put("listen", o.listen);
  put("metrics-listen", o.metrics_listen);
  put("host-name", o.host_name);
  out << YAML::Key << "image-roots" << YAML::Value << o.image_roots;
  put("manifests", o.manifests);
  put("manifests-settle", o.manifests_settle);
  put("manifests-prune-max", o.manifests_prune_max);
  put("uid-range", o.uid_range);
  out << YAML::Key << "hypervisors" << YAML::Value << YAML::BeginMap << YAML::Key << "qemu"
      << YAML::Value << YAML::BeginMap;
  put("binary", o.qemu_binary);
  out << YAML::EndMap << YAML::EndMap;
  put("redirect", o.redirect);
  put("leaf", o.leaf);
  put("bpffs", o.bpffs);
  put("event-ttl", o.event_ttl);
  put("interface-metrics", std::to_string(o.interface_metrics));
  out << YAML::Key << "log" << YAML::Value << YAML::BeginMap;
  put("level", o.log_level);
  put("format", o.log_format);
  out << YAML::EndMap << YAML::EndMap;
  return std::string(out.c_str()) + "\n";
}

}  // namespace forkplane::app
