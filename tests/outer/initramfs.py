"""The outer machine's first file system: busybox and the modules by which it reaches its real root."""

import gzip
import os
import stat

from support.lab.namespaces import run

REACH_ROOT = ("virtio_pci", "9pnet_virtio", "9p", "overlay")
APPLETS = ("sh", "mount", "mkdir", "insmod", "switch_root", "echo")


def modules_needed(kernel, version):
    """Paths of the modules, in the order in which they must be loaded."""
    found = []
    for name in REACH_ROOT:
        for line in run("modprobe", "-d", kernel, "-S", version, "--show-depends", name).stdout.splitlines():
            path = line.split()[1] if line.startswith("insmod ") else None
            if path and path not in found:
                found.append(path)
    return found


class Archive:
    """A cpio archive of the form "newc" (Documentation/driver-api/early-userspace/buffer-format.rst of Linux)."""

    def __init__(self):
        self.parts = []
        self.count = 0

    def add(self, name, mode, content=b""):
        self.count += 1
        encoded = name.encode() + b"\0"
        numbers = [self.count, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(encoded), 0]
        header = b"070701" + b"".join(b"%08x" % number for number in numbers)
        self.parts += [pad(header + encoded), pad(content)]

    def add_directory(self, name):
        self.add(name, stat.S_IFDIR | 0o755)

    def add_link(self, name, target):
        self.add(name, stat.S_IFLNK | 0o777, target.encode())

    def add_file(self, name, path, mode=0o755):
        with open(path, "rb") as file:
            self.add(name, stat.S_IFREG | mode, file.read())

    def finish(self):
        self.add("TRAILER!!!", 0)
        return b"".join(self.parts)


def pad(data):
    return data + b"\0" * (-len(data) % 4)


def write(path, busybox, modules, init):
    archive = Archive()
    for name in ("bin", "dev", "proc", "sys", "new", "lower", "over", "modules"):
        archive.add_directory(name)
    archive.add_file("bin/busybox", busybox)
    for applet in APPLETS:
        archive.add_link(f"bin/{applet}", "busybox")
    for order, module in enumerate(modules):
        archive.add_file(f"modules/{order:02}-{os.path.basename(module)}", module, 0o644)
    archive.add_file("init", init)
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(archive.finish())
