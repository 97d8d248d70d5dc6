"""P3: CPU per uploaded packet with 1000 shaped VMs over that with one, against a linear list of filters."""

import json

from lab.namespaces import run

MOST = 1.08
PEER = "list of u32 filters"


def bench(session):
    program = session.program("tests/bench/network/bench_packets")
    session.need("tc", "ip")
    count = 10 if session.smoke else 1000
    rounds = session.rounds or (1 if session.smoke else 7)
    packets = 5_000 if session.smoke else 200_000
    words = [program, session.directory("p3"), str(count), str(rounds), str(packets)]
    # What disturbs makes a run slower, never faster.
    least = {name: min(values) for name, values in json.loads(run(*words).stdout).items()}
    ours, peer = (least[f"{side}_all"] / least[f"{side}_one"] for side in ("ours", "list"))
    session.report("P3", f"CPU per packet, {count} VMs over 1", ours, "times", peer=peer, peer_name=PEER,
                   target=f"<= {MOST}", met=ours <= MOST)
    for name, which in (("1 VM", "one"), (f"{count} VMs", "all")):
        session.report("P3", f"CPU per packet, {name}", least[f"ours_{which}"], "ns", peer=least[f"list_{which}"],
                       peer_name=PEER, target="none", met=True)
