"""The guest image of drivers/guest with the tests' pages laid over it, in the cache."""

import os

from .kube import cache_directory
from .namespaces import run

OVERLAY = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "guest")


def build_image(binary):
    """The image root. Made each time from cached packages, since its /init is ours and changes; needs a mirror only the
    first time. Without one, or without apt, the last image serves."""
    images = os.path.join(cache_directory(), "test-images")
    packages = os.path.join(cache_directory(), "images", ".cache")
    done = run(binary, "image", "build-guest", "--output", images, "--cache", packages, "--overlay", OVERLAY, check=False)
    if done.returncode != 0 and not os.path.exists(os.path.join(images, "guest", "initramfs")):
        raise RuntimeError(done.stderr.strip() or done.stdout.strip())
    return images
