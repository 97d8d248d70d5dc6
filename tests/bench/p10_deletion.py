"""P10: the network of 25 and of 1000 VMs is deleted, against bare netlink with 25 threads; who creates meanwhile."""

import json
import statistics

from harness import percentile
from lab.namespaces import run

OVER_FLOOR = 1.2
ADDED_DELAY_LIMIT_MS = 5


def bench(session):
    program = session.program("tests/bench/network/bench_deletion")
    for count in (5,) if session.smoke else (25, 1000):
        rounds = session.rounds or (1 if session.smoke else 9 if count == 25 else 3)
        words = [program, session.directory(f"p10-{count}"), str(count), str(rounds)]
        sides = json.loads(run(*words).stdout)
        ours, floor = (statistics.median(sides[name]) for name in ("ours", "floor"))
        session.report("P10", f"delete the network of {count} VMs", ours, "ms", floor=floor, target="floor*1.2",
                       met=ours <= floor * OVER_FLOOR)
        for name, of in (("p50", statistics.median), ("p95", lambda values: percentile(values, 0.95))):
            quiet, during = of(sides["quiet"]), of(sides["during"])
            session.report("P10", f"create one while {count} are deleted, {name}", during, "ms", peer=quiet,
                           peer_name="nothing deleted", target=f"<= {ADDED_DELAY_LIMIT_MS} ms added",
                           met=during - quiet <= ADDED_DELAY_LIMIT_MS)
