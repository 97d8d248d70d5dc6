"""P1: 25 TAPs at once, ready and shaped, against `tc` as upstream starts it, the CNI plugins and the bare drivers."""

import json
import os
import statistics
import sys

from lab import kube
from lab.namespaces import run

TIMES_FASTER = 10
OVER_FLOOR = 1.3
SWITCHES_PER_VM = 25
PACKAGE, PLUGIN = "containernetworking-plugins", "usr/lib/cni/bridge"
PLUGINS = "FORKPLANE_BENCH_CNI"


def prepare(_build):
    """What needs the network outside: the CNI plugins, unpacked once and kept in the cache."""
    try:
        os.environ[PLUGINS] = os.path.dirname(kube.debian_binary(PACKAGE, PLUGIN))
    except RuntimeError as error:
        print(f"P1: no CNI plugins, that peer is left out: {error}", file=sys.stderr, flush=True)


def bench(session):
    program = session.program("tests/bench/network/bench_taps")
    session.need("tc")
    count = 3 if session.smoke else 25
    rounds = session.rounds or (1 if session.smoke else 9)
    words = [program, session.directory("p1"), str(count), str(rounds), "all", os.environ.get(PLUGINS, "")]
    sides = {name: statistics.median(values) for name, values in json.loads(run(*words).stdout).items()}
    ours, peer, floor = sides["ours"], sides["peer"], sides["floor"]
    session.report("P1", f"{count} at once", ours, "ms", peer=peer, peer_name="exec ip/tc", floor=floor,
                   target="peer/10, floor*1.3", met=ours * TIMES_FASTER <= peer and ours <= floor * OVER_FLOOR)
    switches, least = (sides[f"{name} switches"] / count for name in ("ours", "floor"))
    session.report("P1", f"{count} at once, switches per VM", switches, "times", floor=least,
                   target=f"< {SWITCHES_PER_VM}", met=switches < SWITCHES_PER_VM)
    if "cni" in sides:
        session.report("P1", f"{count} at once, containers", ours, "ms", peer=sides["cni"],
                       peer_name="CNI bridge+bandwidth", target="peer/10", met=ours * TIMES_FASTER <= sides["cni"])
