// Hypervisors, what they boot, and who talks to them.
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "controller/app/doctor_probes.h"
#include "drivers/guest/guest_image.h"
#include "drivers/vmm/qemu/kvm_probe.h"
#include "drivers/vmm/qemu/qemu.h"

namespace forkplane::app {
namespace {

namespace fs = std::filesystem;

std::string_view Path() {
  const char* const path = std::getenv("PATH");
  return path == nullptr ? "" : path;
}

Finding Qemu(const std::string& binary) {
  // Opening looks at the binary and starts nothing that would need the process driver.
  const auto driver = vmm::Qemu::Open({binary, "auto"}, nullptr);
  if (driver.ok())
    return Ok("QEMU", fmt::format("{} {}", binary, (*driver)->capabilities().version));
  const bool there = FindExecutable(binary, "") == binary;
  const std::string why = there ? driver.error().message : "no executable " + binary;
  std::string remedy = "apt-get install qemu-system-x86 (7.2 or later)";
  const std::string other = FindExecutable(fs::path(binary).filename().string(), Path());
  if (!other.empty() && other != binary) remedy = "--hypervisors-qemu-binary " + other;
  return Missing("QEMU", why + ": only simulated machines run", remedy);
}

Finding Kvm() {
  if (vmm::KvmRunsGuests()) return Ok("KVM", "ran a probe guest");
  const bool there = ::access("/dev/kvm", R_OK | W_OK) == 0;
  return Degraded(
      "KVM",
      fmt::format("{}: guests are emulated (TCG), one CPU each, many times slower",
                  there ? "/dev/kvm does not run a probe guest" : "no usable /dev/kvm"),
      "modprobe kvm_intel or kvm_amd on hardware, or a host with nested virtualisation");
}

// spec.boot may name any kernel; this is the one the samples name.
Finding GuestImage(const std::vector<std::string>& roots) {
  std::string looked;
  for (const std::string& root : roots) {
    std::error_code ignored;
    const fs::path kernel = fs::path(root) / guest::kKernelImage;
    if (fs::is_regular_file(kernel, ignored) &&
        fs::is_regular_file(fs::path(root) / guest::kInitramfsImage, ignored)) {
      return Ok("guest image", kernel.parent_path().string());
    }
    looked += (looked.empty() ? "" : ", ") + root;
  }
  return Degraded("guest image",
                  fmt::format("no {} and {} below {}: a VM needs images of your own",
                              guest::kKernelImage, guest::kInitramfsImage, looked),
                  fmt::format("forkplane image build-guest --output {}, or --image-roots",
                              roots.empty() ? std::string("DIR") : roots.front()));
}

Finding Kubectl() {
  const std::string kubectl = FindExecutable("kubectl", Path());
  if (!kubectl.empty()) return Ok("kubectl", kubectl);
  return Degraded("kubectl", "not on PATH: any other client of the API serves as well",
                  "apt-get install kubernetes-client");
}

}  // namespace

std::string FindExecutable(const std::string& name, std::string_view path) {
  const auto executable = [](const std::string& file) {
    std::error_code ignored;
    return fs::is_regular_file(file, ignored) && ::access(file.c_str(), X_OK) == 0;
  };
  if (name.empty()) return {};
  if (name.find('/') != std::string::npos) return executable(name) ? name : std::string();
  while (!path.empty()) {
    const std::size_t end = std::min(path.find(':'), path.size());
    const std::string_view folder = path.substr(0, end);
    std::string file = fmt::format("{}/{}", folder.empty() ? "." : folder, name);
    if (executable(file)) return file;
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return {};
}

std::vector<Finding> ProbeMachines(const Options& options) {
  return {Qemu(options.qemu_binary), Kvm(), GuestImage(options.image_roots), Kubectl()};
}

std::vector<Finding> ProbeAll(const Options& options) {
  std::vector<Finding> findings = ProbeHost(options);
  for (Finding& finding : ProbeNetwork(options)) findings.push_back(std::move(finding));
  for (Finding& finding : ProbeMachines(options)) findings.push_back(std::move(finding));
  return findings;
}

}  // namespace forkplane::app
