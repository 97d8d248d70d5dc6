// A connection whose client's bytes are known beforehand and arrive in pieces of a size the test
// chooses; then the client closes. No socket, no time.
#pragma once

#include <algorithm>
#include <string>
#include <utility>

#include "controller/apiserver/http/transport.h"

namespace forkplane::apiserver {

class ScriptedTransport final : public Transport {
 public:
  // `piece`: how many bytes one read gives, at least 1.
  ScriptedTransport(std::string bytes, std::size_t piece)
      : Transport(UniqueFd(), -1), bytes_(std::move(bytes)), piece_(piece) {}

  Io Handshake(MonotonicTime) override { return Io::kOk; }
  std::optional<TlsPeer> Peer() const override { return std::nullopt; }
  std::size_t bytes_read() const { return read_; }
  const std::string& written() const { return written_; }

 protected:
  Try TryRead(char* buffer, std::size_t size, std::size_t& count) override {
    count = std::min({size, piece_, bytes_.size() - read_});
    std::copy_n(bytes_.data() + read_, count, buffer);
    read_ += count;
    return count > 0 ? Try::kDone : Try::kClosed;
  }
  Try TryWrite(const char* bytes, std::size_t size, std::size_t& count) override {
    written_.append(bytes, size);
    count = size;
    return Try::kDone;
  }
  bool HasBuffered() const override { return true; }
  void SendGoodbye() override {}

 private:
  const std::string bytes_;
  const std::size_t piece_;
  std::size_t read_ = 0;
  std::string written_;
};

}  // namespace forkplane::apiserver
