"""Objects as a client writes them, and waiting for what becomes of them."""

import time

STEP_SECONDS = 20
PAUSE_SECONDS = 0.005


def named(kind, name, spec):
    return {"apiVersion": "forkplane.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


class Stuck(Exception):
    """A step did not come to its end in time."""


def wait(what, condition, seconds=STEP_SECONDS):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Stuck(f"not reached in {seconds} s: {what}")
        time.sleep(PAUSE_SECONDS)


def is_ready(thing):
    """Ready, and said of the spec as it is now."""
    status = (thing or {}).get("status", {})
    return any(condition["type"] == "Ready" and condition["status"] == "True"
               and condition.get("observedGeneration") == thing["metadata"]["generation"]
               for condition in status.get("conditions", []))
