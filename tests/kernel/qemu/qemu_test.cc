// Goal: a real Linux guest boots, is snapshotted while it runs, goes on, and three clones of it
// answer, all as unprivileged, sandboxed processes, without one byte of the template changing.
// Method: the guest image of drivers/guest, one TAP per machine in a namespace of the test's own.
// The figures printed are for reading; nothing is asserted about time but "it ends".
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>
#include <thread>

#include "drivers/storage/beneath.h"
#include "tests/kernel/qemu/guest_network.h"
#include "tests/kernel/qemu/qemu_world.h"

namespace forkplane::testing {
namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
using ::testing::HasSubstr;
using vmm::MachineState;

constexpr char kSource[] = "00000000-0000-4000-8000-00000000000a";
constexpr char kSnapshot[] = "00000000-0000-4000-8000-0000000000aa";
const std::stop_token kGoOn;

std::int64_t MillisecondsSince(steady_clock::time_point start) {
  return duration_cast<milliseconds>(steady_clock::now() - start).count();
}

std::string ReadProc(pid_t pid, const std::string& name) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/" + name);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

class QemuTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto world = QemuWorld::Make();
    if (!world.ok()) GTEST_SKIP() << world.error().message;
    world_ = std::move(*world);
  }
  void TearDown() override {
    if (!world_) return;
    const Status cleared = world_->Clear();
    EXPECT_TRUE(cleared.ok()) << cleared.error().message;
  }

  bool WaitForReady(const vmm::MachineRef& ref) {
    const auto deadline = steady_clock::now() + seconds(60);
    while (steady_clock::now() < deadline) {
      for (const std::string& line : world_->qemu->ConsoleTail(ref, 20)) {
        if (line.starts_with("READY")) return true;
      }
      ::poll(nullptr, 0, 5);
    }
    return false;
  }
  MachineState StateOf(const vmm::MachineRef& ref) {
    const auto observation = world_->qemu->Query(ref);
    EXPECT_TRUE(observation.ok());
    return observation.ok() ? observation->state : MachineState::kFailed;
  }
  void BootSource();
  void TakeSnapshot();
  void CheckUnprivileged(pid_t pid);
  void CheckSilence(pid_t pid);
  struct Fork {
    vmm::MachineSpec spec;
    std::string tap;
    UniqueFd tap_fd;
    UniqueFd memory;
    steady_clock::time_point start;
    std::int64_t running_ms = 0;
  };
  Fork StartFork(int number);

  std::unique_ptr<QemuWorld> world_;
  UniqueFd source_tap_;
  vmm::MachineSpec source_;
};

void QemuTest::BootSource() {
  auto tap = MakeTap("src");
  ASSERT_TRUE(tap.ok()) << tap.error().message;
  source_tap_ = std::move(*tap);
  auto spec = world_->NewMachine(kSource, source_tap_.get());
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  source_ = *spec;
  ASSERT_TRUE(world_->BootFromGuest(&source_).ok());
  const auto start = steady_clock::now();
  const auto record = world_->qemu->Launch(source_, kGoOn);
  ASSERT_TRUE(record.ok()) << record.error().message;
  const auto launched = MillisecondsSince(start);
  ASSERT_TRUE(WaitForReady(source_.ref)) << ReadProc(record->pid, "status");
  std::cout << "boot: launched " << launched << " ms, READY " << MillisecondsSince(start)
            << " ms\n";
  CheckUnprivileged(record->pid);
  CheckSilence(record->pid);
}

// A VMM that does not answer for a while (a busy host) is not reported as failed: who believed that
// would kill its guest.
void QemuTest::CheckSilence(pid_t pid) {
  ASSERT_EQ(::kill(pid, SIGSTOP), 0);
  const auto observation = world_->qemu->Query(source_.ref);
  EXPECT_EQ(::kill(pid, SIGCONT), 0);
  ASSERT_FALSE(observation.ok());
  EXPECT_EQ(observation.error().code, Code::kUnavailable) << observation.error().message;
  EXPECT_EQ(StateOf(source_.ref), MachineState::kRunning);
}

void QemuTest::CheckUnprivileged(pid_t pid) {
  const std::string status = ReadProc(pid, "status");
  EXPECT_THAT(status, HasSubstr("Uid:\t64101\t64101\t64101\t64101"));
  EXPECT_THAT(status, HasSubstr("CapEff:\t0000000000000000"));
  EXPECT_THAT(status, HasSubstr("NoNewPrivs:\t1"));
  EXPECT_THAT(status, HasSubstr("Seccomp:\t2")) << "the sandbox is off";
  EXPECT_EQ(ReadProc(pid, "oom_score_adj"), "500\n");
  const std::string ns = "/proc/" + std::to_string(pid) + "/ns/";
  for (const std::string kind : {"net", "ipc", "uts", "mnt"}) {
    EXPECT_NE(std::filesystem::read_symlink(ns + kind),
              std::filesystem::read_symlink("/proc/thread-self/ns/" + kind))
        << kind;
  }
}

void QemuTest::TakeSnapshot() {
  auto stage = world_->storage->BeginSnapshot(kSnapshot);
  ASSERT_TRUE(stage.ok());
  auto start = steady_clock::now();
  auto capture = world_->qemu->Snapshot(source_.ref, stage->directory, kGoOn);
  ASSERT_TRUE(capture.ok()) << capture.error().message;
  std::cout << "snapshot: pause " << capture->pause.count() << " us of " << MillisecondsSince(start)
            << " ms, state " << capture->state_bytes << " bytes\n";
  EXPECT_EQ(StateOf(source_.ref), MachineState::kRunning) << "the source was left standing";

  start = steady_clock::now();
  auto file = world_->storage->CreateSnapshotFile(*stage, "memory");
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE(storage::CopySparse(capture->memory.get(), file->get()).ok());
  ASSERT_TRUE(storage::Seal(capture->memory).ok());
  ASSERT_TRUE(world_->templates->Keep(kSnapshot, capture->memory).ok());
  storage::SnapshotManifest manifest;
  manifest.hypervisor = world_->qemu->capabilities().name;
  manifest.state_format = world_->qemu->capabilities().state_format;
  manifest.memory_bytes = capture->memory_bytes;
  const auto committed = world_->storage->CommitSnapshot(*stage, manifest);
  ASSERT_TRUE(committed.ok()) << committed.error().message;
  std::cout << "snapshot: on disk and held " << MillisecondsSince(start) << " ms later\n";
}

QemuTest::Fork QemuTest::StartFork(int number) {
  Fork fork;
  fork.tap = "f" + std::to_string(number);
  fork.tap_fd = *MakeTap(fork.tap);
  fork.memory = std::move(**world_->templates->Get(kSnapshot));
  fork.spec = *world_->NewMachine("00000000-0000-4000-8000-00000000000" + std::to_string(number),
                                  fork.tap_fd.get());
  fork.spec.restore =
      vmm::RestoreSource{world_->storage->SnapshotDirectory(kSnapshot) + "/state",
                         fork.memory.get(), world_->qemu->capabilities().state_format};
  fork.start = steady_clock::now();
  const auto record = world_->qemu->Launch(fork.spec, kGoOn);
  EXPECT_TRUE(record.ok()) << record.error().message;
  const Status loaded = world_->qemu->Load(fork.spec.ref, *fork.spec.restore, kGoOn);
  EXPECT_TRUE(loaded.ok()) << loaded.error().message;
  EXPECT_EQ(StateOf(fork.spec.ref), MachineState::kPaused);
  EXPECT_TRUE(world_->qemu->Resume(fork.spec.ref).ok());
  fork.running_ms = MillisecondsSince(fork.start);
  if (record.ok()) CheckUnprivileged(record->pid);
  return fork;
}

TEST_F(QemuTest, ABootedGuestIsSnapshottedAndItsClonesAnswer) {
  ASSERT_NO_FATAL_FAILURE(BootSource());
  auto page = HttpGet("src", "/", steady_clock::now() + seconds(20));
  ASSERT_TRUE(page.ok()) << page.error().message;
  EXPECT_THAT(*page, HasSubstr(std::string("mac=") + kInnerMac));
  ASSERT_NO_FATAL_FAILURE(TakeSnapshot());
  page = HttpGet("src", "/", steady_clock::now() + seconds(20));
  ASSERT_TRUE(page.ok()) << "the source does not answer after its snapshot";

  auto held = world_->templates->Get(kSnapshot);
  ASSERT_TRUE(held.ok() && held->has_value());
  const std::string before = storage::DigestFile((*held)->get())->sha256;

  const Fork alone = StartFork(1);
  page = HttpGet(alone.tap, "/", steady_clock::now() + seconds(20));
  ASSERT_TRUE(page.ok()) << page.error().message;
  std::cout << "fork alone: running " << alone.running_ms << " ms, first HTTP answer "
            << MillisecondsSince(alone.start) << " ms\n";

  const auto start = steady_clock::now();
  std::vector<std::jthread> threads;
  std::array<std::string, 3> reports;
  std::vector<Fork> forks;
  forks.reserve(reports.size());
  for (int i = 0; i < 3; ++i) forks.push_back(StartFork(i + 2));
  for (std::size_t i = 0; i < forks.size(); ++i) {
    threads.emplace_back([&, i] {
      const auto answer = HttpGet(forks[i].tap, "/", steady_clock::now() + seconds(30));
      reports.at(i) = answer.ok() ? fmt::format("{} ms", MillisecondsSince(start))
                                  : "no answer: " + answer.error().message;
    });
  }
  threads.clear();
  for (std::size_t i = 0; i < forks.size(); ++i) {
    EXPECT_THAT(reports.at(i), Not(HasSubstr("no answer")));
    std::cout << "three forks: " << forks[i].tap << " running " << forks[i].running_ms
              << " ms after its own start, first answer " << reports.at(i)
              << " after the first start\n";
  }
  EXPECT_EQ(storage::DigestFile((*held)->get())->sha256, before) << "a fork wrote the template";
  EXPECT_TRUE(world_->storage->VerifySnapshot(kSnapshot).ok());

  // What a fork is cannot be snapshotted by this driver: it says so and the fork goes on.
  const auto refused =
      world_->qemu->Snapshot(alone.spec.ref, world_->storage->VmDirectory("x"), kGoOn);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::kInvalid);
  EXPECT_EQ(StateOf(alone.spec.ref), MachineState::kRunning);
  EXPECT_TRUE(world_->templates->Drop(kSnapshot).ok());
  EXPECT_FALSE(world_->templates->Get(kSnapshot)->has_value());
  EXPECT_TRUE(HttpGet(alone.tap, "/", steady_clock::now() + seconds(20)).ok())
      << "a fork lost its memory with the template's holder";
}

TEST_F(QemuTest, AKernelThatIsNoneFailsTheLaunchWithTheVmmsWords) {
  auto spec = world_->NewMachine(kSource, -1);
  ASSERT_TRUE(spec.ok());
  ASSERT_TRUE(world_->storage->WriteVmFile(kSource, "nonsense", "not a kernel").ok());
  const std::string path = spec->ref.directory + "/nonsense";
  ASSERT_EQ(::chmod(path.c_str(), 0644), 0);
  const UniqueFd kernel(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  spec->boot = vmm::BootSource{kernel.get(), -1, ""};
  const auto record = world_->qemu->Launch(*spec, kGoOn);
  ASSERT_FALSE(record.ok());
  EXPECT_THAT(record.error().message, HasSubstr("vmm said: "));
  std::cout << record.error().message << "\n";
  EXPECT_EQ(StateOf(spec->ref), MachineState::kAbsent);
}

}  // namespace
}  // namespace forkplane::testing
