// Goal: VMs are bound to a host by its name, so a machine that is renamed keeps the one it had.
#include "controller/app/host_object.h"

#include <gtest/gtest.h>

#include "controller/base/clock.h"
#include "controller/base/metrics.h"
#include "controller/base/rng.h"
#include "controller/store/local_object_store.h"
#include "controller/store/revision_log.h"
#include "crd/type_registry.h"

namespace forkplane::app {
namespace {

class HostObjectTest : public ::testing::Test {
 protected:
  std::size_t Hosts() { return store_->List({"forkplane.dev", "hosts"}, {})->items.size(); }

  ManualClock clock_;
  SeededRng rng_{1};
  metrics::Registry metrics_;
  std::unique_ptr<crd::TypeRegistry> types_ = crd::NewTypeRegistry().value();
  std::unique_ptr<store::LocalObjectStore> store_ =
      store::LocalObjectStore::Open(store::NewMemoryLog(rng_), {.types = types_.get()}, clock_,
                                    rng_, metrics_)
          .value();
};

TEST_F(HostObjectTest, IsMadeOnceUnderTheMachinesName) {
  EXPECT_EQ(*EnsureHostObject(*store_, "blue", false), "blue");
  EXPECT_EQ(*EnsureHostObject(*store_, "blue", false), "blue");
  EXPECT_EQ(Hosts(), 1u);
}

TEST_F(HostObjectTest, ARenamedMachineKeepsTheNameOnRecord) {
  EXPECT_EQ(*EnsureHostObject(*store_, "blue", false), "blue");
  EXPECT_EQ(*EnsureHostObject(*store_, "green", false), "blue");
  EXPECT_EQ(Hosts(), 1u);
}

TEST_F(HostObjectTest, ANameThatWasChosenIsObeyed) {
  EXPECT_EQ(*EnsureHostObject(*store_, "blue", false), "blue");
  EXPECT_EQ(*EnsureHostObject(*store_, "green", true), "green");
  EXPECT_EQ(Hosts(), 2u);
  EXPECT_EQ(*EnsureHostObject(*store_, "red", false), "red") << "two are on record: none is it";
}

TEST_F(HostObjectTest, AnImpossibleNameIsRefusedByItsFlag) {
  const auto made = EnsureHostObject(*store_, "Not_A_Name", true);
  ASSERT_FALSE(made.ok());
  EXPECT_NE(made.error().message.find("--host-name Not_A_Name"), std::string::npos);
}

}  // namespace
}  // namespace forkplane::app
