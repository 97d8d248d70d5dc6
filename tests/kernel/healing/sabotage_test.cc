// Goal: whatever is done to a thing of ours, it comes back as it was; at once where the kernel
// tells of it, else with the next resync, and the tables say which; and nothing of anybody else is
// touched, by all the repairs and by the removal of everything of ours.
// Method: one act of sabotage after the other. The events are held up first, so that the damage is
// seen before it is repaired and it is certain whether the kernel told of it. Then they go on to
// the loops. The judge is a picture drawn by ip, tc, nft and sysctl.
#include <bpf/bpf.h>
#include <gtest/gtest.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "controller/base/network_names.h"
#include "drivers/bpf/identity_map.h"
#include "tests/kernel/healing/commands.h"
#include "tests/kernel/healing/sabotages.h"
#include "tests/kernel/healing/world.h"

namespace forkplane::healing {
namespace {

// The handle of the first rule of that chain of ours that has this text.
std::string HandleOf(const std::string& chain, const std::string& text) {
  const auto listing = RunLine("nft -a list chain inet forkplane " + chain);
  const std::size_t rule = listing.ok() ? listing->find(text) : std::string::npos;
  constexpr std::string_view kMark = "# handle ";
  const std::size_t mark = rule == std::string::npos ? rule : listing->find(kMark, rule);
  if (mark == std::string::npos) return "none";
  const std::size_t start = mark + kMark.size();
  return listing->substr(start, listing->find('\n', start) - start);
}

std::string Filled(std::string line, const std::string& pins) {
  constexpr std::string_view kPins = "{pins}";
  for (std::size_t at = line.find(kPins); at != std::string::npos; at = line.find(kPins)) {
    line.replace(at, kPins.size(), pins);
  }
  struct Rule {
    std::string_view word, chain, text;
  };
  for (const Rule& rule : {Rule{"{drop}", "from_guest", "oifname \"fk*\" drop"},
                           Rule{"{answers}", "to_guest", "ct state"}}) {
    const std::size_t at = line.find(rule.word);
    if (at == std::string::npos) continue;
    line.replace(at, rule.word.size(), HandleOf(std::string(rule.chain), std::string(rule.text)));
  }
  return line;
}

Status SabotageMap(const std::string& pins, bool remove) {
  const UniqueFd map(bpf_obj_get((pins + "/identities").c_str()));
  const std::uint32_t index = TapIndex(1);
  fk_identity entry = {};
  if (bpf_map_lookup_elem(map.get(), &index, &entry) != 0) return FromErrno(errno, "look up");
  entry.outer_address ^= 1U << 24;
  const int rc = remove ? bpf_map_delete_elem(map.get(), &index)
                        : bpf_map_update_elem(map.get(), &index, &entry, BPF_EXIST);
  return rc == 0 ? OkStatus() : Status(FromErrno(errno, "change the map"));
}

Status Run(const World& world, const std::string& command) {
  RETURN_IF_ERROR(RunLine(Filled(command, world.pins())));
  return OkStatus();
}

Status Do(const World& world, const std::string& command) {
  if (command == "map delete") return SabotageMap(world.pins(), true);
  if (command == "map change") return SabotageMap(world.pins(), false);
  Status done = Run(world, command);
  const std::size_t name = command.find(" name ");
  if (done.ok() || !command.starts_with("ip link set dev ") || name == std::string::npos) {
    return done;
  }
  // Linux 6.1 renames only what is down: EBUSY.
  RETURN_IF_ERROR(Run(world, command.substr(0, name) + " down"));
  return Run(world, command);
}

// The picture where it shows the damage, "" where it does not.
std::string Damage(const World& world, const Sabotage& sabotage) {
  std::string damage;
  for (const Part part : sabotage.parts) {
    if (world.IsWhole(part)) continue;
    damage += "is\n" + PortraitOf(part, world.pins()) + "was\n" + world.Golden(part);
  }
  return damage;
}

void ExpectHealed(World& world, const Sabotage& sabotage) {
  SCOPED_TRACE(sabotage.name);
  Gate& gate = world.gate();
  gate.Hold();
  gate.Gathered(false);
  ASSERT_TRUE(world.WaitUntilIdle());
  gate.Gathered(true);
  ASSERT_EQ(Damage(world, sabotage), "") << "what came before is not repaired";
  for (const std::string& command : sabotage.commands) {
    const Status done = Do(world, command);
    ASSERT_TRUE(done.ok()) << done.error().message;
  }
  EXPECT_NE(Damage(world, sabotage), "") << "no damage done";
  const auto events = gate.Gathered(false);
  const bool told = std::any_of(events.begin(), events.end(),
                                [&](const auto& e) { return ToldBy(e) == sabotage.told; });
  EXPECT_EQ(told, !events.empty()) << "by what the kernel tells of it";
  EXPECT_EQ(told, sabotage.told != Told::kResync) << "whether the kernel tells of it";
  gate.Release();
  if (sabotage.told == Told::kResync) world.loops().Resync();
  for (const Part part : sabotage.parts) {
    EXPECT_TRUE(world.WaitUntilWhole(part)) << "is\n"
                                            << PortraitOf(part, world.pins()) << "was\n"
                                            << world.Golden(part);
  }
}

std::string DeviceOf(const UniqueFd& file) {
  ifreq request = {};
  return ioctl(file.get(), TUNGETIFF, &request) == 0 ? request.ifr_name : "none";
}

// In the end: a carrier that the kernel takes away again, it takes away later.
void ExpectUntouched(const std::string& others) {
  World::Eventually([&] { return PortraitOfOthers() == others; });
  EXPECT_EQ(PortraitOfOthers(), others);
}

// All of a table, in one world; what belongs to others is compared before and after, and after
// everything of ours is gone.
void RunTable(const std::vector<Sabotage>& table, const Setup& setup = {}) {
  InWorld(setup, [&](World& world) {
    const std::string others = PortraitOfOthers();
    // The VMM of the first VM has its TAP open.
    const UniqueFd vmm = *world.drivers().taps->Dup(1);
    world.boards().vmms.Publish(world.lease(0).owner.uid, {.pid = getpid(), .running = true});
    for (const Sabotage& sabotage : table) ExpectHealed(world, sabotage);
    ASSERT_TRUE(world.WaitUntilIdle());
    for (const Part part : kParts) EXPECT_EQ(PortraitOf(part, world.pins()), world.Golden(part));
    EXPECT_EQ(DeviceOf(vmm), "fk46000001") << "the guest is cut off";
    ExpectUntouched(others);
    EXPECT_EQ(world.Remove(), "");
    EXPECT_EQ(PortraitOf(Part::kFirewall, world.pins()).find("chain"), std::string::npos);
    EXPECT_EQ(PortraitOf(Part::kEntries, world.pins()).find("true"), std::string::npos);
    EXPECT_EQ(PortraitOf(Part::kRoutes, world.pins()), "");
    EXPECT_EQ(PortraitOf(Part::kNeighbours, world.pins()), "");
    ExpectUntouched(others);
  });
}

// The document is for operators; the table is what the tests above run. UPDATE_GOLDEN=1 writes it.
TEST(SabotageTest, TheDocumentHoldsTheTable) {
  const std::string path = FORKPLANE_SOURCE_DIR "/docs/healing.md";
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  const std::string head = text.str().substr(0, text.str().find("| what is done"));
  if (std::getenv("UPDATE_GOLDEN") != nullptr) std::ofstream(path) << head << HealingTable();
  EXPECT_EQ(text.str(), head + HealingTable());
}

TEST(SabotageTest, OfTapsIsRepaired) { RunTable(OfTaps()); }
TEST(SabotageTest, OfTheUplinkIsRepaired) { RunTable(OfUplink()); }
TEST(SabotageTest, OfANetworkIsRepaired) {  // W21
  RunTable(OfNetwork());
}

// In this mode a second filter on each TAP names the IFB, and forgets it when the IFB goes.
TEST(SabotageTest, OfTheIfbThatMirredNamesIsRepaired) {
  RunTable({OfUplink().front()}, {.mode = drivers::RedirectMode::kMirred});
}

// A daemon that was restarted has no file of a TAP but the one its VMM has.
TEST(SabotageTest, OfATapUnderAVmmIsRepairedByADaemonThatHoldsNoFile) {
  InWorld({}, [](World& world) {
    const UniqueFd vmm = *world.drivers().taps->Dup(1);
    world.boards().vmms.Publish(world.lease(0).owner.uid, {.pid = getpid(), .running = true});
    ASSERT_TRUE(world.WaitUntilIdle());
    ASSERT_TRUE(world.drivers().taps->Forget(1).ok());
    ExpectHealed(world, OfTaps().front());
    EXPECT_EQ(DeviceOf(vmm), "fk46000001");
  });
}

}  // namespace
}  // namespace forkplane::healing
