// Goal: a child reaches nothing of the host's network and System V IPC, and what it inherits of the
// daemon when memory runs out is set, not left. Method: one probe program, run beside the test (it
// reaches everything) and by the process driver, from the same thread and network namespace.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <future>
#include <set>
#include <sstream>

#include "drivers/process/process.h"
#include "drivers/process/run_command.h"
#include "tests/support/netns.h"
#include "tests/support/tempdir.h"

namespace forkplane::process {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::chrono::seconds kPatience{20};
constexpr char kOwner[] = "5f6e0b6a-0000-4000-8000-000000000002";

std::string ReadAll(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// A listener each in the abstract namespace and on the loopback, and a segment of shared memory.
class Bait {
 public:
  Bait()
      : name_("forkplane-test-" + std::to_string(::getpid())),
        abstract_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)),
        loopback_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)),
        key_(0x464b0000 + ::getpid()),
        segment_(::shmget(key_, 4096, IPC_CREAT | IPC_EXCL | 0666)) {
    sockaddr_un named{};
    named.sun_family = AF_UNIX;
    std::copy(name_.begin(), name_.end(), named.sun_path + 1);
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name_.size());
    EXPECT_EQ(::bind(abstract_.get(), reinterpret_cast<sockaddr*>(&named), length), 0);
    EXPECT_EQ(::listen(abstract_.get(), 8), 0);
    sockaddr_in local{};
    local.sin_family = AF_INET;
    local.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof local;
    EXPECT_EQ(::bind(loopback_.get(), reinterpret_cast<sockaddr*>(&local), size), 0);
    EXPECT_EQ(::listen(loopback_.get(), 8), 0);
    EXPECT_EQ(::getsockname(loopback_.get(), reinterpret_cast<sockaddr*>(&local), &size), 0);
    port_ = ::ntohs(local.sin_port);
    EXPECT_GE(segment_, 0);
  }
  ~Bait() { ::shmctl(segment_, IPC_RMID, nullptr); }
  Bait(const Bait&) = delete;
  Bait& operator=(const Bait&) = delete;

  std::vector<std::string> Arguments() const {
    return {name_, std::to_string(port_), std::to_string(key_)};
  }

 private:
  std::string name_;
  UniqueFd abstract_;
  UniqueFd loopback_;
  std::uint16_t port_ = 0;
  key_t key_;
  int segment_;
};

class IsolationTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string reason = testing::WhyNoNetworkNamespace();
    if (!reason.empty()) GTEST_SKIP() << reason;
    options_.cgroup_parent = "forkplane-test-" + std::to_string(::getpid());
    options_.mount_point = dir_.File("root");
    vm_dir_ = dir_.File("vm");
    ASSERT_EQ(::mkdir(vm_dir_.c_str(), 0755), 0);
    auto driver = HostProcessDriver::Open(options_);
    ASSERT_TRUE(driver.ok()) << driver.error().message;
    driver_ = std::move(*driver);
  }
  void TearDown() override {
    if (!driver_) return;
    EXPECT_TRUE(driver_->Kill(kOwner).ok());
    EXPECT_TRUE(driver_->RemoveCgroupFolder().ok());
  }

  SpawnSpec Spec(const std::string& executable, std::vector<std::string> arguments) const {
    SpawnSpec spec;
    spec.owner = kOwner;
    spec.executable = executable;
    spec.arguments = std::move(arguments);
    spec.directory = vm_dir_;
    auto binds = BindsOf(executable);
    EXPECT_TRUE(binds.ok()) << executable;
    if (binds.ok()) spec.binds = *binds;
    spec.user = 64001;
    spec.group = 64002;
    return spec;
  }

  // Runs to the end; what it printed.
  std::string Run(const SpawnSpec& spec) {
    const auto record = driver_->Spawn(spec);
    if (!record.ok()) return "spawn failed: " + record.error().message;
    std::promise<int> ended;
    EXPECT_TRUE(driver_
                    ->Watch(kOwner, *record,
                            [&](const auto&, const ExitInfo& exit) { ended.set_value(exit.code); })
                    .ok());
    auto future = ended.get_future();
    if (future.wait_for(kPatience) != std::future_status::ready) {
      ADD_FAILURE() << "the process did not end";
      EXPECT_TRUE(driver_->Kill(kOwner).ok());
    }
    EXPECT_EQ(future.get(), 0);
    EXPECT_TRUE(driver_->Kill(kOwner).ok());
    return ReadAll(vm_dir_ + "/vmm.log");
  }

  testing::TempDir dir_;
  HostProcessOptions options_;
  std::string vm_dir_;
  std::unique_ptr<HostProcessDriver> driver_;
};

TEST_F(IsolationTest, AChildReachesNothingThatIsNotPassedToIt) {
  std::string beside;
  std::string inside;
  testing::RunInNetworkNamespace([&] {
    const Bait bait;
    CommandSpec command;
    command.argv = bait.Arguments();
    command.argv.insert(command.argv.begin(), FORKPLANE_TEST_PROBE);
    const auto ran = RunCommandOk(command);
    ASSERT_TRUE(ran.ok()) << ran.error().message;
    beside = *ran;
    inside = Run(Spec(FORKPLANE_TEST_PROBE, bait.Arguments()));
  });
  EXPECT_THAT(beside, HasSubstr("link lo: up\nabstract socket: reached\nloopback: reached\n"
                                "shared memory: reached\n"));
  EXPECT_THAT(inside, HasSubstr("link lo: down\n"));
  EXPECT_THAT(inside, Not(HasSubstr(": up")));
  EXPECT_THAT(inside, HasSubstr("abstract socket: Connection refused\n"
                                "loopback: Network is unreachable\n"
                                "shared memory: No such file or directory\n"
                                "host name: vmm\n"));
}

// Made at Open: no namespace is created on the road of a spawn.
TEST_F(IsolationTest, AllChildrenOfOneDriverAreInOneNetworkNamespace) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
  const UniqueFd reader(ends[0]);
  const UniqueFd writer(ends[1]);
  std::set<std::string> networks;
  std::set<std::string> ipcs;
  for (const std::string suffix : {"a", "b", "c"}) {
    SpawnSpec spec = Spec("/bin/sh", {"-c", "read x <&3"});
    spec.owner += suffix;
    spec.fds = {reader.get()};
    const auto record = driver_->Spawn(spec);
    ASSERT_TRUE(record.ok()) << record.error().message;
    const std::string ns = "/proc/" + std::to_string(record->pid) + "/ns/";
    networks.insert(std::filesystem::read_symlink(ns + "net"));
    ipcs.insert(std::filesystem::read_symlink(ns + "ipc"));
    EXPECT_TRUE(driver_->Kill(spec.owner).ok());
  }
  EXPECT_EQ(networks.size(), 1U);
  EXPECT_FALSE(networks.contains(std::filesystem::read_symlink("/proc/self/ns/net")));
  EXPECT_FALSE(ipcs.contains(std::filesystem::read_symlink("/proc/self/ns/ipc")));
}

// The test's own value stands for what a service manager gave the daemon.
TEST_F(IsolationTest, TheOomScoreIsSetAndNotInherited) {
  const std::string mine = ReadAll("/proc/self/oom_score_adj");
  std::ofstream("/proc/self/oom_score_adj") << 100;
  SpawnSpec spec = Spec("/bin/sh", {"-c", "read x < /proc/self/oom_score_adj; echo $x"});
  EXPECT_EQ(Run(spec), "0\n");
  spec.oom_score_adj = 500;
  EXPECT_EQ(Run(spec), "0\n500\n");
  std::ofstream("/proc/self/oom_score_adj") << mine;
}

TEST_F(IsolationTest, BoundsAreInForceWhereTheTreeOffersThem) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
  const UniqueFd reader(ends[0]);
  const UniqueFd writer(ends[1]);
  SpawnSpec spec = Spec("/bin/sh", {"-c", "read x <&3"});
  spec.fds = {reader.get()};
  spec.bounds = {.memory_bytes_max = 64U << 20U, .pids_max = 17};
  ASSERT_TRUE(driver_->Spawn(spec).ok()) << "a tree without controllers is enough";
  const auto folder = CgroupFolder::Open(options_.cgroup_parent);
  ASSERT_TRUE(folder.ok());
  const std::string cgroup = folder->path() + "/" + kOwner;
  EXPECT_EQ(ReadAll(cgroup + "/memory.max"), driver_->controllers().memory ? "67108864\n" : "");
  EXPECT_EQ(ReadAll(cgroup + "/memory.oom.group"), driver_->controllers().memory ? "1\n" : "");
  EXPECT_EQ(ReadAll(cgroup + "/pids.max"), driver_->controllers().pids ? "17\n" : "");
}

}  // namespace
}  // namespace forkplane::process
