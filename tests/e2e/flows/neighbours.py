"""Goal: what guests can do to each other: nothing. And what they have of a link they share.

Method: two guests whose limits are changed while they send. Rates are bits of Ethernet frames, measured from the host's
side of the TAP. Bounds from above are the product's; those from below leave room for an emulated guest on a busy machine.
"""

import concurrent.futures
import contextlib
import hashlib
import os
import random
import statistics
import time

from support.lab import objects
from support.lab import traffic as lab
from support.lab.listener import Listener
from support.lab.namespaces import UPLINK, received_bytes
from world import BRIDGE, IFB, guest_machine, interface, network

NEEDS = ["guest"]
BOOT_SECONDS = 90
ASK_SECONDS = 30
RATE_SECONDS = 2.5
TOLERANCE = 0.03
MTU = 1500
BULK_BYTES = 4 << 20
A, B = "alpha", "beta"
LIVE = ("10M", "40M", "10M")
CAPACITY, SHARE = 20e6, 5e6
FIRST, SECOND = 16e6, 12e6  # more than CAPACITY together
FLOODED = 5e6  # an emulated guest on a slow host sends but three times as much
FLOOD_SECONDS = 5
ASKED_TIMES = 15


def run(world):
    world.start("--image-roots", os.environ["FORKPLANE_LAB_IMAGES"])
    world.apply(network(), *[guest_machine(name) for name in (A, B)])
    for name in (A, B):
        world.kubectl.wait(f"vm/{name}", "condition=Ready", BOOT_SECONDS)
        at = world.address(name)
        world.report.line(lab.answers(at, BOOT_SECONDS) is not None, f"{name} answers", at)
    bulk(world)
    live_change(world)
    borrowing(world)
    oversold(world)
    hijack(world)
    flood(world)
    world.kubectl("delete", "vm", "--all", "--timeout=60s")
    world.kubectl("delete", "network/default", "--timeout=30s")
    world.report.line(world.made() == [], "everything deleted, nothing left", str(world.made()))


def shape(world, name, bandwidth):
    """Returns when the kernel is seen to hold it. No bandwidth: no limit."""
    world.apply(guest_machine(name, interfaces=[interface(**({"bandwidth": bandwidth} if bandwidth else {}))]))

    def shaped():
        condition = world.condition("vm", name, "NetworkShaped")
        generation = world.kubectl.get("vm", name)["metadata"]["generation"]
        return condition.get("status") == "True" and condition.get("observedGeneration") == generation
    objects.wait(f"{name} is shaped", shaped)


def set_uplinks(world, *uplinks):
    world.apply(objects.named("Host", "e2e", {"uplinks": list(uplinks)}))
    objects.wait("the host follows its uplinks", lambda: objects.is_ready(world.kubectl.get("host", "e2e")))


def bulk(world):
    """Every byte of a guest's TCP passes the translation, mostly in segments that are cut only later, with checksums that
    are finished only later. The receiver's kernel drops what it spoils; digests tell whether anything else did."""
    at = world.address(B)
    sent = random.Random(1).randbytes(BULK_BYTES)
    with Listener(BRIDGE) as listener:
        in_guest = lab.http_post(at, "/cgi-bin/keep", sent, ASK_SECONDS).split()[0]
        back = lab.http_bytes(at, "/files/kept", ASK_SECONDS)
    for way, data, frame in (("into", sent, listener.largest_out), ("out of", back, listener.largest_in)):
        outside = hashlib.sha256(data).hexdigest()
        world.report.line(outside == in_guest and frame > MTU, f"{len(data) / (1 << 20):g} MiB {way} the guest, unspoiled",
                          f"sha256 {in_guest[:12]} inside, {outside[:12]} outside, frames of up to {frame} bytes")


def live_change(world):
    at = world.address(A)
    for way, transfer in (("upload", lambda: lab.Upload(at, "/files/zeros")), ("download", lambda: lab.Download(at, 5001))):
        limits = [float(limit[:-1]) * 1e6 for limit in LIVE]
        shape(world, A, {way: {"rate": LIVE[0]}})
        with transfer() as moving:
            found = []
            for limit in LIVE:
                shape(world, A, {way: {"rate": limit}})
                found += lab.rates([moving], RATE_SECONDS)
            whole = not moving.ended.is_set()
        held = all(limit / 2 <= rate <= limit * (1 + TOLERANCE) for rate, limit in zip(found, limits, strict=True))
        world.report.line(whole and held and found[1] >= 2 * found[0], f"one {way} while its limit is {', '.join(LIVE)}",
                          megabits(found) + ("" if whole else ", broken off"))


def borrowing(world):
    set_uplinks(world, {"interface": UPLINK, "capacity": {"upload": str(int(CAPACITY))}})
    for name in (A, B):
        shape(world, name, {"upload": {"rate": str(int(SHARE)), "ceil": str(int(CAPACITY))}})
    with lab.Upload(world.address(A), "/files/zeros") as first:
        alone = lab.rates([first], RATE_SECONDS)
        world.report.line(1.5 * SHARE <= alone[0] <= CAPACITY * (1 + TOLERANCE),
                          "a guest alone has more than its share of the uplink, not more than the uplink", megabits(alone))
        with lab.Upload(world.address(B), "/files/zeros") as second:
            both = lab.rates([first, second], RATE_SECONDS)
    world.report.line(min(both) >= SHARE, "both at once have their shares", megabits(both))
    world.report.line(sum(both) <= CAPACITY * (1 + TOLERANCE), "together not more than the uplink", megabits([sum(both)]))
    set_uplinks(world)
    for name in (A, B):
        shape(world, name, None)


def oversold(world):
    """Both run already and ask for more than there is: who came first keeps what it was promised."""
    set_uplinks(world, {"interface": UPLINK, "capacity": {"upload": str(int(CAPACITY))}})
    for name, rate in ((A, FIRST), (B, SECOND)):
        shape(world, name, {"upload": {"rate": str(int(rate))}})
    told = world.condition("vm", B, "NetworkShaped")
    left = f"{int(CAPACITY - FIRST)} bit/s"
    world.report.line(told["reason"] == "GuaranteeShort" and left in told["message"],
                      "a rate that the uplink has no room for is told, with what is left", told["message"])
    with lab.Upload(world.address(A), "/files/zeros") as first, lab.Upload(world.address(B), "/files/zeros") as second:
        both = lab.rates([first, second], RATE_SECONDS)
    world.report.line(sum(both) <= CAPACITY * (1 + TOLERANCE), "oversold, the uplink carries what it can", megabits([sum(both)]))
    world.report.line(both[0] >= 0.9 * FIRST, "who came first has its rate", megabits(both))
    shape(world, A, {"upload": {"rate": str(int(CAPACITY - SECOND))}})
    objects.wait(f"{B} has what {A} gave back",
                 lambda: world.condition("vm", B, "NetworkShaped").get("reason") == "Shaped")
    set_uplinks(world)
    for name in (A, B):
        shape(world, name, None)


def hijack(world):
    """A takes B's address, then its MAC too, and announces them."""
    attacker, victim = world.address(A), world.address(B)
    mac = world.kubectl.get("vm", B)["status"]["interfaces"][0]["mac"]
    lab.http_post(attacker, "/cgi-bin/keep", b"this is A", ASK_SECONDS)
    lab.http_post(victim, "/cgi-bin/keep", b"this is B", ASK_SECONDS)
    before = world.identity_drops()
    pages = []
    with Listener(BRIDGE) as listener, concurrent.futures.ThreadPoolExecutor() as pool:
        attack = pool.submit(lab.http_get, attacker, f"/cgi-bin/spoof?{victim},{mac}", seconds=ASK_SECONDS)
        while not attack.done():
            try:
                pages.append(lab.http_get(victim, "/files/kept"))
            except OSError as error:
                pages.append(str(error))
            time.sleep(0.1)
    grown = world.identity_drops() - before
    answered = pages.count("this is B")
    world.report.line(answered == len(pages) >= 10, f"{B} answers at its address while {A} takes it",
                      f"{answered} of {len(pages)} times")
    false = [frame for frame in listener.frames
             if frame.source == victim and (frame.kind != "arp" or frame.mac != mac)]  # B itself asks who the gateway is
    own = [listener.heard(kind=kind, source=attacker) for kind in ("announcement", "icmp")]
    world.report.line(min(own) > 0, f"what {A} sends under its own names is heard on the bridge", f"{sum(own)} frames")
    world.report.line(not false, f"nothing it sends under {B}'s is", ", ".join(frame.kind for frame in false))
    # Twice 2 announcements and 3 requests; 3 pings; under the other MAC also a ping, or the question for the gateway.
    least = {"arp_sender": 5, "source_address": 3, "source_mac": 3}
    world.report.line(all(grown[reason] >= count for reason, count in least.items()),
                      "forkplane_identity_drops_total counts them", str(dict(grown)))


def answer_time(address):
    """Seconds; an answer that does not come counts as one that took as long as it was waited for."""
    began = time.monotonic()
    with contextlib.suppress(OSError):
        lab.http_get(address)
    return time.monotonic() - began


def flood(world):
    """B has no limit and no queue of its own choosing: what keeps A's flood out of its way is that A has its own."""
    shape(world, A, {"upload": {"rate": str(int(FLOODED))}})
    at = world.address(B)
    tap = world.kubectl.get("vm", A)["status"]["interfaces"][0]["tap"]
    calm = statistics.median(answer_time(at) for _ in range(ASKED_TIMES))
    links = (tap, IFB)  # before the limit, behind it
    with concurrent.futures.ThreadPoolExecutor() as pool:
        flooding = pool.submit(lab.http_get, world.address(A), f"/cgi-bin/flood?{FLOOD_SECONDS}", seconds=ASK_SECONDS)
        time.sleep(1)
        began = time.monotonic()
        before = [received_bytes(link) for link in links]
        times = []
        while time.monotonic() < began + FLOOD_SECONDS - 2:
            times.append(answer_time(at))
            time.sleep(0.1)
        after = [received_bytes(link) for link in links]
        elapsed = time.monotonic() - began
        flooding.result()
    sent, passed = ((end - start) * 8 / elapsed for end, start in zip(after, before, strict=True))
    world.report.line(sent >= 2 * FLOODED and FLOODED / 2 <= passed <= FLOODED * (1 + TOLERANCE),
                      f"{A} floods, and is held to its limit", f"{megabits([sent])} sent, {megabits([passed])} passed")
    beside = statistics.median(times)
    world.report.line(beside <= 5 * calm + 0.05, f"{B}, which has no limit, answers beside it",
                      f"{beside * 1000:.0f} ms, median of {len(times)}; {calm * 1000:.0f} ms before")


def megabits(found):
    return ", ".join(f"{rate / 1e6:.1f}" for rate in found) + " Mbit/s"
