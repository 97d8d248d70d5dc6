"""P2: 1000 VMs are given their rates by one pass, against `tc -batch` and the bare drivers; one class is repaired."""

import json
import statistics

from harness import percentile
from lab.namespaces import run

OVER_FLOOR = 1.15
REPAIR_MS = 5


def bench(session):
    program = session.program("tests/bench/network/bench_shaping")
    session.need("tc")
    count = 20 if session.smoke else 1000
    rounds = session.rounds or (1 if session.smoke else 9)
    repairs = 5 if session.smoke else 300
    words = [program, session.directory("p2"), str(count), str(rounds), str(repairs)]
    sides = json.loads(run(*words).stdout)
    ours, peer, floor = (statistics.median(sides[name]) for name in ("ours", "peer", "floor"))
    session.report("P2", f"shape {count} VMs (class, leaf, TBF's rates)", ours, "ms", peer=peer, peer_name="tc -batch",
                   floor=floor, target="floor*1.15", met=ours <= floor * OVER_FLOOR)
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        took = percentile(sides["repairs"], share)
        session.report("P2", f"class deleted to repaired, {count} VMs, {name}", took, "ms",
                       target=f"p99 < {REPAIR_MS} ms", met=took < REPAIR_MS)
