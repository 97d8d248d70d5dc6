#include "controller/base/rng.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace forkplane {
namespace {

TEST(RngTest, UuidsAreVersionFour) {
  SeededRng rng(1);
  EXPECT_THAT(NewUuid(rng), ::testing::ContainsRegex(
                                "^[0-9a-f]+-[0-9a-f]+-4[0-9a-f]+-[89ab][0-9a-f]+-[0-9a-f]+$"));
  EXPECT_EQ(NewUuid(rng).size(), 36U);
  EXPECT_NE(NewUuid(SystemRng()), NewUuid(SystemRng()));
}

TEST(RngTest, ASeedReplays) {
  SeededRng a(7);
  SeededRng b(7);
  EXPECT_EQ(RandomSuffix(a, 5), RandomSuffix(b, 5));
}

TEST(RngTest, SuffixesUseTheAlphabetOfGenerateName) {
  EXPECT_EQ(RandomSuffix(SystemRng(), 200).find_first_not_of("bcdfghjklmnpqrstvwxz2456789"),
            std::string::npos);
}

}  // namespace
}  // namespace forkplane
