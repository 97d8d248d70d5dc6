// The one binary: `forkplane serve` and the verbs beside it.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "controller/app/commands.h"
#include "controller/app/doctor.h"
#include "controller/app/leases.h"
#include "controller/app/options.h"
#include "drivers/vmm/qemu/kvm_probe.h"

namespace forkplane::app {
namespace {

int Report(const Status& status) {
  if (status.ok()) return 0;
  fmt::print(stderr, "forkplane: {}\n", status.error().message);
  return 1;
}

int Main(int argc, char** argv) {
  CLI::App cli("Forkplane: a Kubernetes-style controller for microVMs and their forks");
  cli.require_subcommand(1);
  cli.set_version_flag("--version", std::string("forkplane " FORKPLANE_VERSION));

  Options options;
  std::function<Status()> run;
  const auto with_options = [&](const char* name, const char* help,
                                std::function<Status(const Options&)> command) {
    CLI::App* sub = cli.add_subcommand(name, help);
    AddFlags(*sub, options);
    sub->callback([&options, &run, sub, command] {
      run = [&options, sub, command]() -> Status {
        RETURN_IF_ERROR(ApplyConfigFile(*sub, options));
        RETURN_IF_ERROR(Complete(options));
        return command(options);
      };
    });
    return sub;
  };
  with_options("serve", "serve the API and make this host match it", Serve);
  with_options("config", "print the effective configuration as YAML", PrintConfig);
  bool json = false;
  const auto with_json = [&](const char* name, const char* help,
                             Status (*command)(const Options&, bool json)) {
    with_options(name, help, [&json, command](const Options& o) {
      return command(o, json);
    })->add_flag("--json", json, "print JSON");
  };
  with_json("doctor", "say what this host has and lacks, and how to get it", Doctor);
  with_json("leases", "list what the host ledger holds, also while the daemon runs", Leases);
  // Not for people: what keeps a snapshot's memory; started by the daemon.
  cli.add_subcommand("template-holder", "")->group("")->callback([&run] { run = HoldTemplate; });
  // The same: asks KVM as a VMM would. Its answer is its output and the exit code.
  std::string device;
  int answer = 0;
  CLI::App* const probe = cli.add_subcommand("kvm-probe", "")->group("");
  probe->add_option("device", device)->required();
  probe->callback([&] {
    run = [&] {
      answer = vmm::KvmProbeMain(device);
      return OkStatus();
    };
  });
  cli.add_subcommand("version", "print the version")->callback([&run] { run = PrintVersion; });

  CLI::App* image = cli.add_subcommand("image", "make images")->require_subcommand(1);
  CLI::App* guest = image->add_subcommand(
      "build-guest",
      "download Debian's cloud kernel and busybox and make guest/vmlinuz and guest/initramfs");
  std::string output = Options{}.state_dir + "/images";
  std::string cache;
  guest->add_option("--output", output, "image root to write to")->capture_default_str();
  guest->add_option("--cache", cache, "where downloads are kept (default: <output>/.cache)");
  std::string overlay;
  guest->add_option("--overlay", overlay, "a directory of files to lay over the guest's root")
      ->check(CLI::ExistingDirectory);
  guest->callback([&] { run = [&] { return BuildGuestImage(output, cache, overlay); }; });

  CLI11_PARSE(cli, argc, argv);
  const int failed = Report(run());
  return failed != 0 ? failed : answer;
}

}  // namespace
}  // namespace forkplane::app

int main(int argc, char** argv) { return forkplane::app::Main(argc, argv); }
