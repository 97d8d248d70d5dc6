"""Goal: /metrics is what a Prometheus wants: its own linter finds nothing and a real one scrapes it.

Method: promtool and prometheus of Debian, unpacked and never installed; a simulated VM gives the metrics values.
"""

import json
import os
import subprocess
import urllib.parse
import urllib.request

from support.lab import namespaces, traffic
from world import machine, network

NEEDS = ["prometheus"]
PROMETHEUS = "127.0.0.1:9090"
PATIENCE = 30
EXPECTED = ["forkplane_identity_drops_total", "forkplane_driver_call_duration_seconds_bucket",
            "workqueue_longest_running_processor_seconds", "controller_runtime_reconcile_total",
            "forkplane_ledger_leases", "apiserver_request_total", "forkplane_shaping_unshaped_interfaces",
            "forkplane_shaping_lag_seconds_bucket", "forkplane_network_repairs_total",
            "forkplane_interface_bytes_total", "forkplane_interface_metrics_dropped"]


def run(world):
    world.start("--interface-metrics=1")
    line = world.report.line
    for name in ("seen", "unseen"):
        world.apply(network(), machine(name))
        line(world.kubectl.wait(f"vm/{name}", "condition=Ready", PATIENCE), "a VM is Ready")
    text = world.daemon.metrics()
    linted = subprocess.run([os.environ["FORKPLANE_LAB_PROMTOOL"], "check", "metrics"], input=text, text=True,
                            capture_output=True, check=False)
    told = (linted.stdout + linted.stderr).strip()
    line(linted.returncode == 0 and told == "", "promtool check metrics", told or f"clean, {len(text.splitlines())} lines")
    scraped(world)


def scraped(world):
    configuration = os.path.join(world.state, "prometheus.yml")
    with open(configuration, "w", encoding="utf-8") as file:  # YAML reads JSON
        json.dump({"global": {"scrape_interval": "1s"}, "scrape_configs": [
            {"job_name": "forkplane", "static_configs": [{"targets": [world.daemon.METRICS]}]}]}, file)
    with open(os.path.join(world.state, "prometheus.log"), "w", encoding="utf-8") as log:
        prometheus = subprocess.Popen([os.environ["FORKPLANE_LAB_PROMETHEUS"], f"--config.file={configuration}",
                                       f"--storage.tsdb.path={world.state}/tsdb", f"--web.listen-address={PROMETHEUS}"],
                                      stdout=log, stderr=log)
    try:
        line = world.report.line
        up = traffic.until(lambda: query('up{job="forkplane"}') == [1.0], PATIENCE, pause=0.2)
        line(up is not None, "prometheus scrapes the daemon", "" if up is None else f"after {up:.1f} s")
        for name in EXPECTED:
            line(len(query(name)) > 0, f"it knows {name}", f"{len(query(name))} series")
        line(query('forkplane_ledger_leases{kind="vm"}') == [2.0], "it counts the VM leases")
        line(len(query('forkplane_interface_bytes_total{name="seen",namespace="default",interface="eth0"}')) == 2,
             "the first VM has series of both directions")
        line(query('forkplane_interface_bytes_total{name="unseen"}') == []
             and query("forkplane_interface_metrics_dropped") == [1.0], "the second is over the limit")
        line(query("sum(forkplane_shaping_unshaped_interfaces)") == [0.0], "both are shaped")
        lags = query("forkplane_shaping_lag_seconds_count")
        line(lags == [2.0], "each has its lag", f"{lags}")
        line(query("sum(forkplane_network_repairs_total)") == [0.0], "nothing was repaired yet")
        repaired(world, line)
        longest = query("max(workqueue_longest_running_processor_seconds)")
        line(len(longest) == 1 and longest[0] < PATIENCE, "ages of keys are fresh at each scrape", f"{longest}")
    finally:
        prometheus.kill()
        prometheus.wait()


def repaired(world, line):
    interfaces = [interface for vm in world.ledger()["vms"] for interface in vm["interfaces"]]
    namespaces.run("tc", "class", "del", "dev", "fkifb0", "classid", interfaces[0]["class"])
    repairs = 'forkplane_network_repairs_total{loop="shaping",part="class"}'
    line(traffic.until(lambda: query(repairs) == [1.0], PATIENCE, pause=0.2) is not None,
         "a class deleted by hand is a repair")


def query(expression):
    """The values of an instant query; [] before there are any."""
    url = f"http://{PROMETHEUS}/api/v1/query?" + urllib.parse.urlencode({"query": expression})
    with urllib.request.urlopen(url, timeout=5) as answer:
        return [float(result["value"][1]) for result in json.load(answer)["data"]["result"]]
