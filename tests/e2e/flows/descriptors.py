"""Goal: clients that watch cannot take the descriptors and the memory that machines need.

Method: a daemon whose hard limit of descriptors is the usual 1024; watches over TLS are opened until one is refused.
While all are open a VM starts, others are listed and told 429 with Retry-After, and the memory of an idle one is counted.
"""

import os
import re
import resource
import socket
import ssl

from support.lab import traffic
from world import machine, network

NEEDS = []
PATIENCE = 20
LIMIT = 1024
WATCHES = LIMIT // 16 * 3
IDLE_WATCH_KIB_MAX = 96


def run(world):
    resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, LIMIT))  # the daemon's, and ours
    world.start()
    world.apply(network())
    world.kubectl.wait("network/default", "condition=Ready", PATIENCE)
    context = ssl.create_default_context(cafile=os.path.join(world.state, "pki", "ca.crt"))
    context.load_cert_chain(os.path.join(world.state, "pki", "admin.crt"), os.path.join(world.state, "pki", "admin.key"))
    watches = [watch(world, context) for _ in range(8)]  # what the first ones make is not theirs
    before = memory_kib(world)
    watches += [watch(world, context) for _ in range(WATCHES - len(watches))]

    def each():
        return (memory_kib(world) - before) / (WATCHES - 8)
    # What a handshake left on the stacks is given back after a second of idleness.
    held = traffic.until(lambda: each() < IDLE_WATCH_KIB_MAX, PATIENCE) is not None
    answers = {told.split(" ")[1] for _, told in watches}
    world.report.line(answers == {"200"}, f"{WATCHES} watches are open", str(answers))
    world.report.line(held, f"an idle TLS watch costs less than {IDLE_WATCH_KIB_MAX} KiB", f"{each():.1f} KiB")

    _, refused = watch(world, context)
    held = refused.startswith("HTTP/1.1 429 ") and "Retry-After: 10" in refused
    world.report.line(held, "one more is answered 429 with Retry-After", refused.splitlines()[0])
    world.apply(machine("one"))
    phase = traffic.until(lambda: world.kubectl.get("vm", "one").get("status", {}).get("phase") == "Running", PATIENCE)
    world.report.line(phase is not None, "a VM starts meanwhile", str(world.condition("vm", "one", "Ready")))
    held_now = len(os.listdir(f"/proc/{world.daemon.process.pid}/fd"))
    world.report.line(held_now < LIMIT, "the daemon has descriptors left", f"{held_now} of {LIMIT}")
    metrics = world.daemon.metrics()
    world.report.line(f"forkplane_watches_max {WATCHES}" in metrics and "forkplane_watches_refused_total 1" in metrics,
                      "metrics say the bound and who was refused", "")

    for connection, _ in watches:
        connection.close()
    again = traffic.until(lambda: watch(world, context)[1].startswith("HTTP/1.1 200 "), PATIENCE)
    world.report.line(again is not None, "places are given back", "")


def watch(world, context):
    """An open connection and the head of what it was told. 429 comes with a body, a watch goes on."""
    host, port = world.daemon.API.split(":")
    connection = context.wrap_socket(socket.create_connection((host, int(port)), timeout=PATIENCE), server_hostname=host)
    connection.sendall(b"GET /apis/forkplane.dev/v1alpha1/snapshots?watch=1&timeoutSeconds=600 HTTP/1.1\r\nHost: x\r\n\r\n")
    told = b""
    while b"\r\n\r\n" not in told:
        part = connection.recv(4096)
        if not part:
            break
        told += part
    return connection, told.decode()


def memory_kib(world):
    """Anonymous memory: what the daemon took, whatever of its file is mapped in."""
    with open(f"/proc/{world.daemon.process.pid}/smaps_rollup", encoding="ascii") as rollup:
        return int(re.search(r"Anonymous:\s+(\d+)", rollup.read()).group(1))
