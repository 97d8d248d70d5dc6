#include "tests/tidy/rules/tree.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace forkplane::tidy {
namespace {

namespace fs = std::filesystem;

std::vector<File> Load() {
  std::vector<File> files;
  const fs::path root(FORKPLANE_SOURCE_DIR);
  for (const char* room : {"controller", "crd", "drivers", "reconcilers", "tests"}) {
    for (const auto& entry : fs::recursive_directory_iterator(root / room)) {
      const std::string extension = entry.path().extension();
      if (extension != ".h" && extension != ".cc" && extension != ".c") continue;
      File file{entry.path().lexically_relative(root).string(), {}};
      std::ifstream in(entry.path());
      for (std::string line; std::getline(in, line);) file.lines.push_back(line);
      files.push_back(std::move(file));
    }
  }
  std::sort(files.begin(), files.end(),
            [](const File& a, const File& b) { return a.path < b.path; });
  return files;
}

}  // namespace

const std::vector<File>& Sources() {
  static const std::vector<File> files = Load();
  return files;
}

std::string ReadText(const std::string& path) {
  std::ifstream in(fs::path(FORKPLANE_SOURCE_DIR) / path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

std::string At(const File& file, std::size_t index) {
  return fmt::format("{}:{}", file.path, index + 1);
}

std::string CodeOf(const std::string& line) {
  std::string code;
  char quote = 0;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quote != 0) {
      if (c == '\\') {
        ++i;
      } else if (c == quote) {
        quote = 0;
        code += c;
      }
      continue;
    }
    const bool digit_separator =
        c == '\'' && i > 0 && std::isalnum(static_cast<unsigned char>(line[i - 1])) != 0;
    if (c == '/' && i + 1 < line.size() && line[i + 1] == '/') break;
    if (c == '"' || (c == '\'' && !digit_separator)) quote = c;
    code += c;
  }
  return code;
}

}  // namespace forkplane::tidy
