// Template holders as processes of the process driver, one per snapshot, owner `template-<uid>`.
//
// The socket lies in `<directory>/<uid>/socket`; the daemon listens on it and the holder inherits
// it together with the memory, so the holder opens nothing. Anyone who can connect (root: 0600 in
// 0700) and is uid 0 gets the descriptor.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "drivers/process_driver.h"
#include "drivers/template_holder.h"

namespace forkplane::storage {

struct ProcessTemplateHolderOptions {
  std::string directory;   // absolute; made when absent, 0700
  std::string executable;  // what runs TemplateHolderMain: our own binary
  std::vector<std::string> arguments = {"template-holder"};
  uid_t user = 0;  // unprivileged, shared by all holders; not 0
  gid_t group = 0;
  std::chrono::milliseconds patience{5000};  // with a holder that is slow: once to connect, once to
                                             // receive
};

class ProcessTemplateHolder final : public TemplateHolder {
 public:
  // `processes` must outlive it.
  static Result<std::unique_ptr<ProcessTemplateHolder>> Open(ProcessTemplateHolderOptions options,
                                                             process::ProcessDriver* processes);
  Status Keep(const std::string& uid, const UniqueFd& memfd) override;
  Lookup<UniqueFd> Get(const std::string& uid) override;
  Status Drop(const std::string& uid) override;
  Result<std::vector<TemplateInfo>> List() override;

 private:
  ProcessTemplateHolder(ProcessTemplateHolderOptions options, process::ProcessDriver* processes,
                        std::vector<process::Bind> binds)
      : options_(std::move(options)), processes_(processes), binds_(std::move(binds)) {}
  Lookup<UniqueFd> WhyNoAnswer(const std::string& uid, Result<UniqueFd> received);
  std::string DirectoryOf(const std::string& uid) const { return options_.directory + "/" + uid; }

  ProcessTemplateHolderOptions options_;
  process::ProcessDriver* processes_;
  std::vector<process::Bind> binds_;
};

}  // namespace forkplane::storage
