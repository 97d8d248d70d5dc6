// Goal: no input that a fuzzer or a person once found costs more than the bound again.
// Method: every file of the corpus goes through the fuzz target, each in a child process whose
// memory and time are measured. Usage: replay CORPUS_DIRECTORY
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/support/measured_child.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size);

int main(int argc, char** argv) {
  constexpr std::size_t kGrowthMax = std::size_t{256} * 1024 * 1024;
  if (argc != 2) return 2;
  int files = 0;
  int failed = 0;
  for (const auto& entry : std::filesystem::directory_iterator(argv[1])) {
    std::ifstream file(entry.path(), std::ios::binary);
    std::ostringstream content;
    content << file.rdbuf();
    const std::string text = content.str();
    const auto child = forkplane::testing::RunMeasured(
        [&text] {
          return LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(text.data()),
                                        text.size());
        },
        {.cpu_seconds = 20});
    ++files;
    if (child.exited_well && child.growth_bytes <= kGrowthMax) continue;
    ++failed;
    std::printf("%s: signal %d, %zu KiB\n", entry.path().c_str(), child.signal,
                child.growth_bytes / 1024);
  }
  std::printf("%d inputs, %d failed\n", files, failed);
  return files > 0 && failed == 0 ? 0 : 1;
}
