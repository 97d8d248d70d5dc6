// usage: forkplane_crash serve FLAGS, with FORKPLANE_CRASH_AT=driver|ledger|store:N:before|after
// Without the variable it runs like `forkplane serve` and prints its counts when it is stopped.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>

#include "controller/app/commands.h"
#include "controller/app/daemon.h"
#include "controller/app/signals.h"
#include "controller/base/log.h"
#include "drivers/vmm/qemu/kvm_probe.h"
#include "tests/crash/daemon/kill_switch.h"

namespace forkplane::crash {
namespace {

app::Machine MachineWith(KillSwitch& killer) {
  app::Machine machine = app::RealMachine();
  machine.open_drivers = [&killer](const app::Options& options, metrics::Registry& metrics) {
    Result<app::HostDrivers> host = app::OpenHostDrivers(options, metrics);
    if (host.ok()) {
      app::HookNetwork(*host, killer);
      app::HookMachines(*host, killer);
    }
    return host;
  };
  machine.wrap_log = [&killer](auto log) { return killer.Wrap(std::move(log)); };
  machine.ledger_commit_hook = [&killer](int, bool done) { killer.LedgerCommit(done); };
  return machine;
}

Status RunUntilKilled(const app::Options& options) {
  std::optional<Moment> moment;
  // NOLINTNEXTLINE(concurrency-mt-unsafe): no thread runs yet
  if (const char* at = std::getenv("FORKPLANE_CRASH_AT"); at != nullptr) {
    ASSIGN_OR_RETURN(moment, ParseMoment(at));
  }
  KillSwitch killer(moment);
  log::SetUp(log::Format::kText, log::Level::kInfo);
  RETURN_IF_ERROR(app::BlockSignals());
  ASSIGN_OR_RETURN(const auto daemon, app::Daemon::Start(options, MachineWith(killer)));
  ASSIGN_OR_RETURN([[maybe_unused]] const int signal, app::AwaitTermination([] {}));
  daemon->Stop();
  fmt::print("{}\n", killer.Counts());
  return OkStatus();
}

int Main(int argc, char** argv) {
  CLI::App cli("forkplane that kills itself");
  cli.require_subcommand(1);
  app::Options options;
  app::AddFlags(*cli.add_subcommand("serve", ""), options);
  cli.add_subcommand("template-holder", "");  // what a daemon starts to hold a snapshot's memory
  std::string device;                         // and what it starts to ask KVM
  cli.add_subcommand("kvm-probe", "")->add_option("device", device)->required();
  CLI11_PARSE(cli, argc, argv);
  if (cli.got_subcommand("kvm-probe")) return vmm::KvmProbeMain(device);
  const bool holds = cli.got_subcommand("template-holder");
  Status done = holds ? app::HoldTemplate() : app::Complete(options);
  if (done.ok() && !holds) done = RunUntilKilled(options);
  if (done.ok()) return 0;
  fmt::print(stderr, "forkplane_crash: {}\n", done.error().message);
  return 1;
}

}  // namespace
}  // namespace forkplane::crash

int main(int argc, char** argv) { return forkplane::crash::Main(argc, argv); }
