// Small operations on text that several files here need.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace forkplane::apiserver {

std::string_view Trim(std::string_view text);
std::string Lower(std::string_view text);
// "a,,b" at ',' gives "a", "", "b"; an empty text gives one empty part.
std::vector<std::string_view> Split(std::string_view text, char separator);
// As Go's %q and as a JSON string: quotes, backslashes and control characters escaped.
std::string Quoted(std::string_view text);

}  // namespace forkplane::apiserver
