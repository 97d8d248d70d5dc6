#include "controller/app/commands.h"

#include <fmt/format.h>

#include <cstdio>

#include "drivers/guest/guest_image.h"
#include "drivers/template_holder.h"

namespace forkplane::app {

Status PrintVersion() {
  fmt::print("forkplane {}\n", FORKPLANE_VERSION);
  return OkStatus();
}

Status PrintConfig(const Options& options) {
  fmt::print("{}", ToYaml(options));
  return OkStatus();
}

Status BuildGuestImage(const std::string& output, const std::string& cache,
                       const std::string& overlay) {
  ASSIGN_OR_RETURN(const guest::GuestImage image,
                   guest::BuildGuestImage({.cache_dir = cache.empty() ? output + "/.cache" : cache,
                                           .output_dir = output,
                                           .overlay_dir = overlay}));
  fmt::print("kernel {} ({})\ninitramfs {}\n", image.kernel, image.kernel_version, image.initramfs);
  return OkStatus();
}

Status HoldTemplate() {
  const int code = storage::TemplateHolderMain();
  if (code != 0) return Internal(fmt::format("template holder ended with {}", code));
  return OkStatus();
}

}  // namespace forkplane::app
