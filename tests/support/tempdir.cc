#include "tests/support/tempdir.h"

#include <cstdlib>

#include "controller/base/check.h"

namespace forkplane::testing {

TempDir::TempDir() {
  std::string name = (std::filesystem::temp_directory_path() / "forkplane-test.XXXXXX").string();
  CHECK(::mkdtemp(name.data()) != nullptr);
  path_ = name;
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace forkplane::testing
