#include <fmt/format.h>

int main() {
  fmt::print("forkplane {}\n", FORKPLANE_VERSION);
  return 0;
}
