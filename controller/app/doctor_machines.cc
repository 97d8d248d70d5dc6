// Hypervisors, what they boot, and who talks to them.
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <optional>

#include "controller/app/doctor_probes.h"
#include "drivers/guest/guest_image.h"
#include "drivers/process/device.h"
#include "drivers/process/process.h"
#include "drivers/process/run_in_private_root.h"
#include "drivers/process/scratch_directory.h"
#include "drivers/vmm/qemu/kvm_probe.h"
#include "drivers/vmm/qemu/qemu.h"

namespace forkplane::app {
namespace {

namespace fs = std::filesystem;

constexpr char kNothing[] = "/bin/true";

std::string_view Path() {
  const char* const path = std::getenv("PATH");
  return path == nullptr ? "" : path;
}

// Processes begun as VMMs are, in a cgroup folder of doctor's own.
class VmmProbe {
 public:
  VmmProbe(const Options& options, const std::string& self) : options_(options) {
    const auto uids = ParseUidRange(options.uid_range);
    if (uids.ok()) range_ = *uids;
    kvm_ = {.executable = self, .user = range_.helper, .group = range_.helper};
  }
  ~VmmProbe() {
    if (processes_ != nullptr) static_cast<void>(processes_->RemoveCgroupFolder().ok());
  }
  VmmProbe(const VmmProbe&) = delete;
  VmmProbe& operator=(const VmmProbe&) = delete;

  std::vector<Finding> Run() {
    std::vector<Finding> findings = {Uids()};
    const Status begun = Begin();
    if (!begun.ok()) {
      findings.push_back(Missing("VMM process", begun.error().message,
                                 "what is missing above, and CAP_SETUID, CAP_SETGID and a seccomp "
                                 "and LSM profile that allows mount and pivot_root"));
      for (const char* what : {"QEMU", "KVM"}) {
        findings.push_back(Missing(what, "not tried, it needs: VMM process",
                                   "first get VMM process, then ask again"));
      }
      return findings;
    }
    findings.push_back(
        Ok("VMM process", fmt::format("ran in a private root as uid {}", range_.helper)));
    findings.push_back(Qemu());
    findings.push_back(Kvm());
    return findings;
  }

 private:
  Finding Uids() const {
    const auto read = [](const char* path) {
      auto text = process::ReadKernelFile(path);
      return text.ok() ? *std::move(text) : std::string();
    };
    return JudgeUids(range_, read("/proc/self/uid_map"), read("/proc/self/gid_map"));
  }

  Status Begin() {
    ASSIGN_OR_RETURN(auto directory, process::ScratchDirectory::Make());
    directory_.emplace(std::move(directory));
    ASSIGN_OR_RETURN(processes_,
                     process::HostProcessDriver::Open(
                         {.cgroup_parent = fmt::format("forkplane-doctor-{}-vmm", ::getpid()),
                          .mount_point = directory_->path() + "/root"}));
    process::PrivateCommand nothing;
    nothing.owner = "nothing";
    nothing.executable = kNothing;
    ASSIGN_OR_RETURN(nothing.binds, process::BindsOf(kNothing));
    nothing.user = range_.helper;
    nothing.group = range_.helper;
    ASSIGN_OR_RETURN(const auto ran, process::RunInPrivateRoot(*processes_, nothing));
    if (ran.exit_code == 0) return OkStatus();
    return Internal(
        fmt::format("{} in a private root: exit {}: {}", kNothing, ran.exit_code, ran.output));
  }

  Finding Qemu() {
    const std::string& binary = options_.qemu_binary;
    const auto driver =
        vmm::Qemu::Open({.binary = binary, .accelerator = "tcg", .kvm_probe = kvm_}, &*processes_);
    if (driver.ok()) {
      return Ok("QEMU", fmt::format("{} {}", binary, (*driver)->capabilities().version));
    }
    const bool there = FindExecutable(binary, "") == binary;
    const std::string why = there ? driver.error().message : "no executable " + binary;
    std::string remedy = "apt-get install qemu-system-x86 (7.2 or later), readable for everybody";
    const std::string other = FindExecutable(fs::path(binary).filename().string(), Path());
    if (!other.empty() && other != binary) remedy = "--hypervisors-qemu-binary " + other;
    return Missing("QEMU", why + ": only simulated machines run", remedy);
  }

  Finding Kvm() {
    const auto kvm = vmm::ProbeKvm(*processes_, kvm_);
    if (!kvm.ok()) {
      return Missing("KVM", kvm.error().message, "first get VMM process, then ask again");
    }
    if (kvm->runs) {
      return Ok("KVM", fmt::format("ran a probe guest as uid {}; {}", range_.helper,
                                   process::DescribeDevice(vmm::kKvmDevice)));
    }
    return Degraded("KVM",
                    kvm->why + ": guests are emulated (TCG), one CPU each, many times slower",
                    kvm->remedy);
  }

  const Options& options_;
  UidRange range_;
  vmm::KvmProbeOptions kvm_;
  std::optional<process::ScratchDirectory> directory_;
  std::unique_ptr<process::HostProcessDriver> processes_;
};

bool ReadableForOthers(const fs::path& file) {
  std::error_code ignored;
  return (fs::status(file, ignored).permissions() & fs::perms::others_read) != fs::perms::none;
}

// spec.boot may name any kernel; this is the one the samples name.
Finding GuestImage(const std::vector<std::string>& roots) {
  std::string looked;
  for (const std::string& root : roots) {
    std::error_code ignored;
    const fs::path kernel = fs::path(root) / guest::kKernelImage;
    const fs::path initramfs = fs::path(root) / guest::kInitramfsImage;
    if (fs::is_regular_file(kernel, ignored) && fs::is_regular_file(initramfs, ignored)) {
      for (const fs::path& image : {kernel, initramfs}) {
        if (ReadableForOthers(image)) continue;
        return Degraded("guest image", image.string() + ": a VMM's user cannot read it",
                        "chmod o+r " + image.string());
      }
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

std::vector<Finding> ProbeMachines(const Options& options, const std::string& self) {
  std::vector<Finding> findings = VmmProbe(options, self).Run();
  findings.push_back(GuestImage(options.image_roots));
  findings.push_back(Kubectl());
  return findings;
}

std::vector<Finding> ProbeAll(const Options& options, const std::string& self) {
  std::vector<Finding> findings = ProbeHost(options);
  for (Finding& finding : ProbeNetwork(options)) findings.push_back(std::move(finding));
  for (Finding& finding : ProbeMachines(options, self)) findings.push_back(std::move(finding));
  return findings;
}

}  // namespace forkplane::app
