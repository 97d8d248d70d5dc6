"""What a QEMU says of itself, asked at the monitor that its daemon left behind."""

import json
import os
import socket

PATIENCE_SECONDS = 5


def status(state, uid):
    """The run state ("running", "paused", ...) of the VM `uid` of the state directory, without a daemon's help."""
    with socket.socket(socket.AF_UNIX) as monitor:
        monitor.settimeout(PATIENCE_SECONDS)
        monitor.connect(os.path.join(state, "vms", uid, "health"))
        with monitor.makefile("rw") as lines:
            json.loads(lines.readline())  # the greeting
            _ask(lines, "qmp_capabilities")
            return _ask(lines, "query-status")["status"]


def _ask(lines, command):
    lines.write(json.dumps({"execute": command}) + "\n")
    lines.flush()
    while True:  # events come in between
        answer = json.loads(lines.readline())
        if "return" in answer:
            return answer["return"]
        if "error" in answer:
            raise RuntimeError(f"{command}: {answer['error']['desc']}")
