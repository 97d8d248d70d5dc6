"""What must be true once the daemon has come to rest, said from the API's objects alone. Each judge returns what is not."""

import time

import host
from support.lab.objects import STEP_SECONDS

INNER = ("02:fc:00:00:01:00", "10.90.0.2", "10.90.0.1")
BRIDGE = "fkbr0"


class Wrong(Exception):
    """The host is not what the objects say."""


def settle(what, judge):
    """Waits until `judge` finds nothing wrong."""
    deadline = time.monotonic() + STEP_SECONDS
    while problems := judge():
        if time.monotonic() > deadline:
            raise Wrong(f"{what}: " + "; ".join(problems))
        time.sleep(0.02)


def differ(what, expected, found):
    return [] if expected == found else [f"{what}: expected {expected}, found {found}"]


def uid(thing):
    return thing["metadata"]["uid"]


def judge_built(api, state, must_run):
    """Everything there; `must_run` are the processes that ran before the crash: none of them may have been replaced."""
    vms = {uid(vm): vm for vm in api.list("virtualmachines")}
    ports = {vm_uid: vm["status"]["interfaces"][0] for vm_uid, vm in vms.items() if vm["status"].get("interfaces")}
    problems = differ("VMs", ["base", "workers-0", "workers-1"], sorted(vm["metadata"]["name"] for vm in vms.values()))
    problems += differ("VMs with an interface", sorted(vms), sorted(ports))
    if problems:
        return problems
    problems += judge_unique(vms, ports)
    problems += judge_links(api, vms, ports)
    problems += judge_rates(vms, ports)
    problems += judge_addresses(ports)
    problems += judge_ledger(api, vms, ports)
    problems += judge_disk(api, state, set(vms))
    running = host.running(state)
    problems += differ("running machines", sorted(vms), sorted(running))
    for vm_uid, process in must_run.items():
        if vm_uid in vms:
            problems += differ(f"process of {vms[vm_uid]['metadata']['name']}, which ran already", process,
                               running.get(vm_uid))
    return problems


def judge_unique(vms, ports):
    problems = []
    for field in ("ip", "mac", "tap", "classID"):
        values = [port[field] for port in ports.values()]
        problems += differ(f"{field} held once each", len(values), len(set(values)))
    users = [vm["status"]["vmm"]["uid"] for vm in vms.values()]
    return problems + differ("VMM uids held once each", len(users), len(set(users)))


def judge_links(api, vms, ports):
    links = host.links()
    problems = differ("links", sorted({host.IFB, BRIDGE} | {port["tap"] for port in ports.values()}), sorted(links))
    if problems:
        return problems
    bridge = links[BRIDGE]
    problems += differ("bridge's owner", uid(api.get("networks", "default")), bridge.get("ifalias"))
    problems += differ("bridge's MAC", "02:fc:00:00:00:01", bridge["address"])
    problems += differ("bridge's address", ["10.90.0.1/24"], host.addresses(BRIDGE))
    for name in (BRIDGE, host.IFB):
        problems += differ(f"{name} up", True, "UP" in links[name]["flags"])
    for vm_uid in vms:
        port = ports[vm_uid]
        tap = links[port["tap"]]
        number = tap["ifindex"] - 0x46000000
        problems += differ("TAP's name", f"fk{tap['ifindex']:08x}", port["tap"])
        problems += differ("class of the TAP", f"7f00:{number & 0xffff:x}", port["classID"])
        problems += differ(f"{port['tap']}: owner, bridge, up, isolated, programs", (vm_uid, BRIDGE, True, True, 2),
                           (tap.get("ifalias"), tap.get("master"), "UP" in tap["flags"],
                            tap["linkinfo"].get("info_slave_data", {}).get("isolated"), host.programs(port["tap"])))
    return problems


def judge_rates(vms, ports):
    uploads, downloads = {}, {}
    for vm_uid, vm in vms.items():
        wanted = vm["spec"]["interfaces"][0]["bandwidth"]
        upload = host.bits(wanted["upload"]["rate"])
        uploads[ports[vm_uid]["classID"]] = (upload, upload)
        downloads[ports[vm_uid]["tap"]] = host.bits(wanted["download"]["rate"])
    return differ("upload classes", uploads, host.classes()) + differ("download limits", downloads, host.tbfs())


def judge_addresses(ports):
    inner_mac, inner, gateway = INNER
    problems = differ("blackholes", ["10.90.0.0/24"], host.blackholes())
    problems += differ("host routes", {port["ip"]: BRIDGE for port in ports.values()}, host.host_routes())
    problems += differ("neighbours", {port["ip"]: port["mac"] for port in ports.values()}, host.neighbours())
    identities = {int(port["tap"][2:], 16): (inner_mac, port["mac"], inner, port["ip"], gateway)
                  for port in ports.values()}
    problems += differ("identity map", identities, host.identities())
    rules = host.firewall()
    named = rules.count("elements = { 10.90.0.0/24 }")  # in cidrs and nat
    return problems + differ("rules masquerade and isolate the Network", (2, False),
                             (named, "10.90.0.0/24 . 10.90.0.0/24" in rules))


def judge_ledger(api, vms, ports):
    ledger = api.request("GET", "/debug/ledger")
    held = {vm["uid"]: vm for vm in ledger["vms"]}
    problems = differ("owners of leases", sorted(vms), sorted(held)) + differ("readable", "", ledger["unreadable"])
    problems += differ("Networks leased", [uid(api.get("networks", "default"))], [n["uid"] for n in ledger["networks"]])
    problems += differ("slots in use", [], [p["pool"] for p in ledger["pools"] if p["granted"] or p["waiting"]])
    for vm_uid in set(vms) & set(held):
        lease, port, status = held[vm_uid], ports[vm_uid], vms[vm_uid]["status"]["vmm"]
        leased = [(i["address"], i["tap"], i["class"], i["state"]) for i in lease["interfaces"]]
        problems += differ("interfaces leased", [(port["ip"], port["tap"], port["classID"], "Active")], leased)
        problems += differ("VMM on record", (status["uid"], status["pid"]),
                           (lease["vmmUid"], lease.get("vmm", {}).get("pid")))
    return problems


def judge_disk(api, state, vm_uids):
    snapshots = api.list("snapshots")
    return (differ("Snapshots", ["warm"], [snapshot["metadata"]["name"] for snapshot in snapshots])
            + differ("VM directories", vm_uids, host.directories(state, "vms"))
            + differ("snapshot directories", {uid(snapshot) for snapshot in snapshots},
                     host.directories(state, "snapshots")))


def judge_empty(api, state):
    """Nothing left but the IFB with the host's own two classes."""
    problems = []
    for plural in ("virtualmachines", "snapshots", "forks", "forksets", "networks"):
        problems += differ(plural, [], [thing["metadata"]["name"] for thing in api.list(plural)])
    ledger = api.request("GET", "/debug/ledger")
    problems += differ("leases", ([], [], [], ""), (ledger["vms"], ledger["networks"], ledger["restingAddresses"],
                                                    ledger["unreadable"]))
    problems += differ("slots in use", [], [p["pool"] for p in ledger["pools"] if p["granted"] or p["waiting"]])
    problems += differ("links", [host.IFB], sorted(host.links()))
    problems += differ("classes, limits, routes, neighbours, identities", ({}, {}, {}, {}, {}),
                       (host.classes(), host.tbfs(), host.host_routes(), host.neighbours(), host.identities()))
    problems += differ("blackholes", [], host.blackholes())
    problems += differ("firewall", "", host.firewall())
    for kind in ("vms", "snapshots", "templates"):
        problems += differ(f"{kind}/", set(), host.directories(state, kind))
    return problems
