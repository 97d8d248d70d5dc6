// Text of somebody who may be hostile (a guest, a VMM), made fit to be shown: in errors,
// conditions, Events and logs.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace forkplane {

// Room for a sentence of a VMM's; a condition that holds a few of them is still read by people.
inline constexpr std::size_t kForeignTextBytesMax = 512;

// The same text as valid UTF-8 without control characters (C0, DEL, C1 and the line separators of
// Unicode become a blank, each broken byte a '?'), at most `bytes_max` long; one that was cut ends
// with "...". Never cuts a character. `bytes_max` is at least 3.
std::string CleanForeignText(std::string_view text, std::size_t bytes_max = kForeignTextBytesMax);

// At most `bytes_max` of the text, without a character cut in two; what is not UTF-8 stays.
std::string_view CutUtf8(std::string_view text, std::size_t bytes_max);

// Bytes of the character that begins at `at`; 0: it is not UTF-8.
std::size_t Utf8Length(std::string_view text, std::size_t at);
bool IsUtf8(std::string_view text);

}  // namespace forkplane
