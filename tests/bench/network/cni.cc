// The second peer of P1: container networking by its standard plugins.
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/bench/network/foreign.h"

namespace forkplane::bench {
namespace {

using nlohmann::json;

constexpr const char* kVersion = "0.4.0";

Result<std::array<UniqueFd, 2>> Pipe() {
  std::array<int, 2> ends = {};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return FromErrno(errno, "pipe");
  return std::array<UniqueFd, 2>{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

// Runs a program with `input` and gives its output.
Result<std::string> Exchange(const std::string& program,
                             const std::vector<std::string>& environment,
                             const std::string& input) {
  ASSIGN_OR_RETURN(auto in, Pipe());
  ASSIGN_OR_RETURN(auto out, Pipe());
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in[0].get(), STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out[1].get(), STDOUT_FILENO);
  std::vector<char*> variables;
  variables.reserve(environment.size() + 1);
  for (const std::string& line : environment) variables.push_back(const_cast<char*>(line.c_str()));
  variables.push_back(nullptr);
  std::array<char*, 2> argv = {const_cast<char*>(program.c_str()), nullptr};
  pid_t pid = 0;
  const int error =
      posix_spawn(&pid, program.c_str(), &actions, nullptr, argv.data(), variables.data());
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return FromErrno(error, program);
  in[0] = UniqueFd();
  out[1] = UniqueFd();
  // A few hundred bytes: the pipe has room for them.
  if (write(in[1].get(), input.data(), input.size()) < 0) return FromErrno(errno, "write");
  in[1] = UniqueFd();
  std::string output;
  std::array<char, 4096> buffer = {};
  for (ssize_t size = 1; size > 0;) {
    size = read(out[0].get(), buffer.data(), buffer.size());
    if (size > 0) output.append(buffer.data(), static_cast<std::size_t>(size));
  }
  int status = 0;
  if (waitpid(pid, &status, 0) != pid || status != 0) {
    return Unavailable(fmt::format("{} exited with {}: {}", program, status, output));
  }
  return output;
}

class Cni final : public Side {
 public:
  Cni(std::string directory, std::string plugins)
      : directory_(std::move(directory)), plugins_(std::move(plugins)) {}
  std::string name() const override { return "cni"; }

  // As `ip netns add` makes them, without a name.
  Status Prepare(std::uint32_t count) override {
    pods_.clear();
    pods_.resize(count);
    Status status = OkStatus();
    std::jthread([&] {
      for (Pod& pod : pods_) {
        auto net = Namespace::New();
        if (!net.ok()) {
          status = std::move(net).error();
          return;
        }
        pod.net = std::make_unique<Namespace>(std::move(net).value());
      }
    }).join();
    return status;
  }

  Status Raise(std::uint32_t count) override {
    return crew_.Run(count, [this](std::uint32_t n) -> Status {
      Pod& pod = pods_.at(n - 1);
      ASSIGN_OR_RETURN(const std::string bridged, Call("bridge", "ADD", n, Bridge()));
      json limits = Bandwidth();
      limits["prevResult"] = json::parse(bridged);
      ASSIGN_OR_RETURN(const std::string limited, Call("bandwidth", "ADD", n, limits));
      pod.result = json::parse(limited);
      return OkStatus();
    });
  }

  Status Drop() override {
    return crew_.Run(static_cast<std::uint32_t>(pods_.size()), [this](std::uint32_t n) -> Status {
      for (const char* plugin : {"bandwidth", "bridge"}) {
        json config = plugin == std::string("bridge") ? Bridge() : Bandwidth();
        config["prevResult"] = pods_.at(n - 1).result;
        RETURN_IF_ERROR(Call(plugin, "DEL", n, config));
      }
      return OkStatus();
    });
  }

 private:
  struct Pod {
    std::unique_ptr<Namespace> net;
    json result;  // of ADD
  };

  json Bridge() const {
    return {{"cniVersion", kVersion},
            {"name", "bench"},
            {"type", "bridge"},
            {"bridge", "cni0"},
            {"isGateway", true},
            {"ipam",
             {{"type", "host-local"},
              {"dataDir", directory_ + "/cni"},
              {"ranges", json::array({json::array({{{"subnet", "10.88.0.0/16"}}})})}}}};
  }
  // Its bursts are bits.
  static json Bandwidth() {
    const shaping::Rates rates = RatesOf(1);
    return {{"cniVersion", kVersion},
            {"name", "bench"},
            {"type", "bandwidth"},
            {"ingressRate", kDownloadBits},
            {"ingressBurst", std::uint64_t{rates.tbf.burst_bytes} * 8},
            {"egressRate", kUploadBits},
            {"egressBurst", std::uint64_t{rates.htb.burst_bytes} * 8}};
  }

  Result<std::string> Call(const std::string& plugin, const char* command, std::uint32_t pod,
                           const json& config) {
    const std::vector<std::string> environment = {
        fmt::format("CNI_COMMAND={}", command),
        fmt::format("CNI_CONTAINERID=vm-{}", pod),
        fmt::format("CNI_NETNS=/proc/{}/fd/{}", getpid(), pods_.at(pod - 1).net->fd()),
        "CNI_IFNAME=eth0",
        "CNI_PATH=" + plugins_,
        "PATH=/usr/sbin:/usr/bin:/sbin:/bin"};
    return Exchange(plugins_ + "/" + plugin, environment, config.dump());
  }

  const std::string directory_;
  const std::string plugins_;
  std::vector<Pod> pods_;
  Crew crew_;  // last: what it does uses the rest
};

}  // namespace

Result<std::unique_ptr<Side>> OpenCni(const std::string& directory, const std::string& plugins) {
  return std::unique_ptr<Side>(std::make_unique<Cni>(directory, plugins));
}

}  // namespace forkplane::bench
