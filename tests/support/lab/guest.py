"""The guest image of drivers/guest, in the cache."""

import os

from .kube import cache_directory
from .namespaces import run


def build_image(binary):
    """The image root. Made each time from cached packages, since its /init is ours and changes; needs a mirror only the
    first time. Without one, or without apt, the last image serves."""
    images = os.path.join(cache_directory(), "images")
    done = run(binary, "image", "build-guest", "--output", images, check=False)
    if done.returncode != 0 and not os.path.exists(os.path.join(images, "guest", "initramfs")):
        raise RuntimeError(done.stderr.strip() or done.stdout.strip())
    return images
