// libnftables: command text in, output out (no process is started).
//
// NOTE Threading: thread-safe. NOTE Namespace: that of the thread that opened it.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "controller/base/mutex.h"
#include "controller/base/result.h"

struct nft_ctx;

namespace forkplane::nftables {

class Context {
 public:
  enum class Counters : bool { kHidden, kShown };
  // Numbers are not replaced by names in what it prints.
  static Result<std::unique_ptr<Context>> Open(Counters counters);

  // Runs one command text, in one transaction; gives its output. NotFound: something it names is
  // not there.
  Result<std::string> Run(const std::string& commands, std::string_view what) EXCLUDES(mutex_);

 private:
  struct Free {
    void operator()(nft_ctx* context) const;
  };
  explicit Context(nft_ctx* context) : context_(context) {}

  // One for all: nobody promises that libnftables keeps no state outside of a context.
  static Mutex mutex_;
  std::unique_ptr<nft_ctx, Free> context_ GUARDED_BY(mutex_);
};

}  // namespace forkplane::nftables
