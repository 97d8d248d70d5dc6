"""P1: 25 TAPs at once, ready and shaped, against `tc` as upstream starts it and against the bare drivers."""

import json
import statistics

from lab.namespaces import run

TIMES_FASTER = 10
OVER_FLOOR = 1.3


def bench(session):
    program = session.program("tests/bench/network/bench_taps")
    session.need("tc")
    count = 3 if session.smoke else 25
    rounds = session.rounds or (1 if session.smoke else 9)
    done = run(program, session.directory("p1"), str(count), str(rounds))
    sides = {name: statistics.median(values) for name, values in json.loads(done.stdout).items()}
    ours, peer, floor = sides["ours"], sides["peer"], sides["floor"]
    session.report("P1", f"{count} at once", ours, "ms", peer=peer, peer_name="exec ip/tc", floor=floor,
                   target="peer/10, floor*1.3", met=ours * TIMES_FASTER <= peer and ours <= floor * OVER_FLOOR)
