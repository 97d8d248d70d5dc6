// `forkplane serve`.
#include <fmt/format.h>

#include "controller/app/commands.h"
#include "controller/app/daemon.h"
#include "controller/app/descriptors.h"
#include "controller/app/signals.h"
#include "controller/base/log.h"

namespace forkplane::app {
namespace {

// SIGHUP: log.level is taken from --config FILE again; nothing else may change under running loops.
Status Reload(const Options& options) {
  if (options.config.empty()) return Invalid("there is no --config FILE to read again");
  ASSIGN_OR_RETURN(const std::string text, ReadConfigFile(options.config));
  ASSIGN_OR_RETURN(const auto values, ParseConfig(text));
  const auto found = values.find("log-level");
  if (found == values.end() || found->second.empty()) return OkStatus();
  ASSIGN_OR_RETURN(const log::Level level, log::ParseLevel(found->second.front()));
  log::SetLevel(level);
  log::Info("reloaded", {{"log-level", found->second.front()}});
  return OkStatus();
}

void TryReload(const Options& options) {
  const Status done = Reload(options);
  if (!done.ok()) log::Err("reload refused; settings stay", {{"error", done.error()}});
}

}  // namespace

Status Serve(const Options& options) {
  ASSIGN_OR_RETURN(const log::Format format, log::ParseFormat(options.log_format));
  ASSIGN_OR_RETURN(const log::Level level, log::ParseLevel(options.log_level));
  log::SetUp(format, level);
  RETURN_IF_ERROR(BlockSignals());
  ASSIGN_OR_RETURN(const DescriptorBudget descriptors, RaiseDescriptorLimit());
  log::Info("file descriptors", {{"limit", descriptors.limit},
                                 {"connections", descriptors.connections_max},
                                 {"watches", descriptors.watches_max}});
  ASSIGN_OR_RETURN(const std::unique_ptr<Daemon> daemon, Daemon::Start(options, RealMachine()));
  log::Info("ready", {{"url", daemon->url()}, {"state-dir", options.state_dir}});
  NotifySystemd("READY=1");
  ASSIGN_OR_RETURN(const int signal, AwaitTermination([&] { TryReload(options); }));
  NotifySystemd("STOPPING=1");
  log::Info("stopping; VMs stay as they are", {{"signal", signal}});
  daemon->Stop();
  return OkStatus();
}

}  // namespace forkplane::app
