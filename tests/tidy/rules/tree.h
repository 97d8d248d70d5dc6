// The checkout as the tidy tests see it: every source file of ours with its lines.
#pragma once

#include <string>
#include <vector>

namespace forkplane::tidy {

struct File {
  std::string path;  // from the root, with slashes
  std::vector<std::string> lines;
};

// *.h, *.cc and *.c below the rooms, in order of path.
const std::vector<File>& Sources();

// A whole text file of the checkout; "" when it is absent.
std::string ReadText(const std::string& path);

// "path:line", for messages.
std::string At(const File& file, std::size_t index);

// The line without its // comment and without the contents of its string literals (good enough for
// rules about words).
std::string CodeOf(const std::string& line);

}  // namespace forkplane::tidy
