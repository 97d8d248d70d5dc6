"""Goal: a guest that is deleted or stopped switches itself off, so nobody waits for the grace period.

Method: a booted guest and a restored clone are deleted; each must be gone long before the 10 s after which the VMM is
ended.
"""

import os
import time

from support.lab import traffic
from world import guest_machine, machine, network

NEEDS = ["guest"]
BOOT_SECONDS = 90
GRACE_SECONDS = 10


def snapshot():
    return {"apiVersion": "forkplane.dev/v1alpha1", "kind": "Snapshot", "metadata": {"name": "warm", "namespace": "default"},
            "spec": {"source": {"virtualMachineName": "base"}}}


def run(world):
    world.start("--image-roots", os.environ["FORKPLANE_LAB_IMAGES"])
    world.apply(network(), guest_machine("base"))
    world.kubectl.wait("vm/base", "condition=Ready", BOOT_SECONDS)
    booted = traffic.answers(address(world, "base"), BOOT_SECONDS)
    world.report.line(booted is not None, "a guest boots")
    world.apply(snapshot())
    world.kubectl.wait("vmsnap/warm", "condition=Ready", BOOT_SECONDS)
    world.apply(machine("clone", hypervisor="qemu", restoreFrom={"snapshotName": "warm"}))
    world.kubectl.wait("vm/clone", "condition=Ready", BOOT_SECONDS)
    answered = traffic.answers(address(world, "clone"), BOOT_SECONDS)
    world.report.line(answered is not None, "a clone of it answers")
    for name, what in (("base", "the booted guest"), ("clone", "the restored clone")):
        began = time.monotonic()
        world.kubectl("delete", f"vm/{name}", "--timeout=60s")
        took = time.monotonic() - began
        world.report.line(took < GRACE_SECONDS / 2, f"{what} is deleted without waiting for the grace period",
                          f"{took:.2f} s of {GRACE_SECONDS} s")
    world.kubectl("delete", "vmsnap/warm", "--timeout=30s")
    world.kubectl("delete", "network/default", "--timeout=30s")
    world.report.line(world.made() == [], "nothing is left", str(world.made()))


def address(world, name):
    return world.kubectl.get("vm", name)["status"]["interfaces"][0]["ip"]
