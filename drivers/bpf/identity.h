// IdentityDriver over libbpf (loading, maps) and rtnetlink (cls_bpf filters on clsact).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "drivers/bpf/filter.h"
#include "drivers/bpf/programs.h"
#include "drivers/identity_driver.h"
#include "drivers/netlink/quiet_socket.h"
#include "drivers/netlink/socket.h"

namespace forkplane::bpf {

struct IdentityOptions {
  // Folder in a bpffs where programs and maps are pinned, made when absent. Empty: not pinned, they
  // go with the last filter and descriptor (tests).
  std::string pin_directory;
  // Empty: a probe packet decides.
  std::optional<drivers::RedirectMode> mode;
  netlink::OwnChanges own = netlink::OwnChanges::kTold;
};

class BpfIdentityDriver final : public drivers::IdentityDriver {
 public:
  static Result<std::unique_ptr<BpfIdentityDriver>> Open(const IdentityOptions& options);

  drivers::RedirectMode Mode() const override { return mode_; }
  Lookup<drivers::IdentityEntry> ObserveEntry(std::uint32_t index) override;
  Result<std::vector<drivers::IdentityEntryAt>> ListEntries() override;
  Status SetEntry(std::uint32_t index, const drivers::IdentityEntry& entry) override;
  Status DeleteEntry(std::uint32_t index) override;
  Result<drivers::IdentityCounters> Counters(std::uint32_t index) override;
  Result<drivers::AttachedPrograms> ObservePrograms(std::uint32_t index) override;
  Status Attach(std::uint32_t index, drivers::Direction direction) override;
  Status Detach(std::uint32_t index, drivers::Direction direction) override;
  Result<bool> ArePinned() override;
  Status Pin() override;
  Result<drivers::ProgramState> ObserveClassifier(std::uint32_t index) override;
  Status AttachClassifier(std::uint32_t index) override;

 private:
  BpfIdentityDriver(Programs programs, netlink::Socket socket,
                    std::unique_ptr<netlink::QuietSocket> quiet, drivers::RedirectMode mode,
                    std::string pin_directory)
      : programs_(std::move(programs)),
        socket_(std::move(socket)),
        quiet_(std::move(quiet)),
        mode_(mode),
        pin_directory_(std::move(pin_directory)) {}
  // The program for a direction in this mode.
  const Program& ProgramFor(drivers::Direction direction) const;
  drivers::ProgramState RedirectStateOf(const std::vector<Filter>& ingress,
                                        std::uint32_t index) const;

  // For changes of a TAP's filters.
  netlink::SharedSocket& SocketOfTap() { return quiet_ ? quiet_->socket() : socket_; }

  Programs programs_;
  netlink::SharedSocket socket_;
  std::unique_ptr<netlink::QuietSocket> quiet_;  // null: told
  drivers::RedirectMode mode_;
  std::string pin_directory_;
};

// kBpf: true when a packet that is redirected to an IFB comes back without passing clsact again:
// tried with one. kMirred: true when the kernel knows the action. In a network namespace of its
// own, in a thread of its own. ~10 ms.
Result<bool> ProbeRedirect(drivers::RedirectMode mode);

}  // namespace forkplane::bpf
