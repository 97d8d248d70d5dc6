#include "controller/base/result.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <memory>

namespace forkplane {
namespace {

Result<int> Half(int n) {
  if (n % 2 != 0) return Invalid("odd");
  return n / 2;
}

Result<int> Quarter(int n) {
  ASSIGN_OR_RETURN(const int half, Half(n));
  ASSIGN_OR_RETURN(const int quarter, Half(half));
  return quarter;
}

Status Check(int n) {
  RETURN_IF_ERROR(Quarter(n));
  return OkStatus();
}

TEST(ResultTest, ValuesAndErrorsTravelThroughTheMacros) {
  EXPECT_EQ(*Quarter(8), 2);
  EXPECT_EQ(Quarter(6).error().message, "odd");
  EXPECT_TRUE(Check(8).ok());
  EXPECT_EQ(Check(7).error().code, Code::kInvalid);
}

TEST(ResultTest, HoldsWhatCanOnlyBeMoved) {
  Result<std::unique_ptr<int>> result = std::make_unique<int>(3);
  const std::unique_ptr<int> taken = std::move(result).value();
  EXPECT_EQ(*taken, 3);
}

TEST(ResultTest, ContextGoesInFront) {
  const Error error = FromErrno(ENODEV, "add class 1:23").WithContext("shape default/a");
  EXPECT_EQ(error.message, "shape default/a: add class 1:23: No such device");
  EXPECT_EQ(error.code, Code::kNotFound);
  EXPECT_EQ(error.sys_errno, ENODEV);
}

TEST(ResultTest, ErrnoChoosesTheCode) {
  EXPECT_EQ(FromErrno(EEXIST, "x").code, Code::kExists);
  EXPECT_EQ(FromErrno(EBUSY, "x").code, Code::kConflict);
  EXPECT_EQ(FromErrno(ENOSPC, "x").code, Code::kExhausted);
  EXPECT_EQ(FromErrno(EAGAIN, "x").code, Code::kUnavailable);
  EXPECT_EQ(FromErrno(EPERM, "x").code, Code::kInternal);
}

TEST(ResultDeathTest, ReadingTheValueOfAnErrorAborts) {
  Result<int> result = Internal("broken");
  EXPECT_DEATH(result.value(), "broken");
}

}  // namespace
}  // namespace forkplane
