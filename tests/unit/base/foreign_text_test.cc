// Goal: whatever a hostile process says, what is kept of it is short, one line, and valid UTF-8.
#include "controller/base/foreign_text.h"

#include <gtest/gtest.h>

#include "controller/base/rng.h"

namespace forkplane {
namespace {

bool IsClean(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = Utf8Length(text, at);
    if (length == 0 || static_cast<unsigned char>(text[at]) < 0x20) return false;
    at += length;
  }
  return true;
}

TEST(ForeignTextTest, PlainWordsStay) {
  EXPECT_EQ(CleanForeignText(""), "");
  EXPECT_EQ(CleanForeignText("Could not open 'x': Größe 漢字 😀"),
            "Could not open 'x': Größe 漢字 😀");
}

TEST(ForeignTextTest, WhatSteersATerminalOrEndsALineBecomesABlank) {
  EXPECT_EQ(CleanForeignText("a\x1b[2Jb\nc\r\td\x7f"), "a [2Jb c  d ");
  EXPECT_EQ(CleanForeignText(std::string_view("a\0b", 3)), "a b");
  EXPECT_EQ(CleanForeignText("a\u009bb\u2028c\u2029d"), "a b c d");
  EXPECT_EQ(CleanForeignText("\u00a0\u2027"), "\u00a0\u2027") << "their neighbours are text";
}

TEST(ForeignTextTest, BrokenBytesBecomeQuestionMarks) {
  EXPECT_EQ(CleanForeignText("a\xff\xfe"
                             "b"),
            "a??b");
  EXPECT_EQ(CleanForeignText("\xed\xa0\x80"), "???") << "half of a surrogate pair";
  EXPECT_EQ(CleanForeignText("\xe6\xbc"), "??") << "ends inside a character";
}

TEST(ForeignTextTest, LongTextIsCutBetweenCharactersAndSaysSo) {
  EXPECT_EQ(CleanForeignText("12345678", 8), "12345678");
  EXPECT_EQ(CleanForeignText("123456789", 8), "12345...");
  EXPECT_EQ(CleanForeignText("123漢字", 8), "123...") << "a character has no room before the cut";
  EXPECT_EQ(CleanForeignText("漢字漢", 9), "漢字漢");
  EXPECT_EQ(CleanForeignText(std::string(1U << 20U, 'x')).size(), kForeignTextBytesMax);
}

TEST(ForeignTextTest, AnyBytesComeOutCleanAndBounded) {
  SeededRng rng(11);
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    const std::size_t size = rng.Below(64);
    while (text.size() < size) text += static_cast<char>(rng.Below(256));
    const std::size_t most = 3 + rng.Below(40);
    const std::string clean = CleanForeignText(text, most);
    EXPECT_LE(clean.size(), most);
    EXPECT_TRUE(IsClean(clean)) << "round " << round;
    EXPECT_EQ(CleanForeignText(clean, most), clean);
  }
}

TEST(ForeignTextTest, ACutLeavesNoHalfCharacter) {
  EXPECT_EQ(CutUtf8("abc", 3), "abc");
  EXPECT_EQ(CutUtf8("abcd", 3), "abc");
  for (std::size_t most = 0; most <= 12; ++most) {
    EXPECT_EQ(CutUtf8("aß漢😀bc", most).size(), most < 1    ? 0U
                                               : most < 3  ? 1U
                                               : most < 6  ? 3U
                                               : most < 10 ? 6U
                                                           : most)
        << most;
  }
  EXPECT_EQ(CutUtf8("\xff\xff\xff\xff", 3), "\xff\xff\xff") << "what is not UTF-8 stays";
}

}  // namespace
}  // namespace forkplane
