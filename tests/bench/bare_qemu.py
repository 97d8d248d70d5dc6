#!/usr/bin/env python3
"""The peer of P7: starts forks of a template as a script would, with nothing around them.

bare_qemu.py RECIPE, in a network namespace of its own. RECIPE is JSON {argv, state, memory_fd, address, gateway,
gateway_mac, directory}: the command line of a VMM that the daemon started, the same state file and memory. For each
line N of the input: makes N TAPs, then starts, loads and resumes N VMMs at once and prints the milliseconds from each
start to the guest's first HTTP answer as a JSON list.
"""

import array
import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time

TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
SO_BINDTODEVICE = 25
# Where the daemon puts descriptors (QemuArguments): both monitors, memory, TAP.
CONTROL, HEALTH, MEMORY, TAP = 3, 4, 5, 6
CLEAR_OF_THOSE = 32
CONSOLE = "/vm/console"
PATIENCE_SECONDS = 120
PING_SECONDS = 0.01
ECHO, ECHO_REPLY = bytes.fromhex("0800f7ff00000000"), 0


def first_answer(address, device=None):
    """Waits for the first byte of an HTTP answer.

    A SYN that is lost because the guest is not there yet comes again after a second only, and each further connection
    costs the guest a process. So pings ask when it is there: it answers the ones that waited in its TAP all at once.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as pinger:
        _bind(pinger, device)
        pinger.settimeout(PING_SECONDS)
        while not _answers_ping(pinger, address):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{address} does not answer")
    with socket.socket() as connection:
        _bind(connection, device)
        connection.settimeout(PATIENCE_SECONDS)
        connection.connect((address, 80))
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        if connection.recv(1) == b"":
            raise RuntimeError("the guest closed the connection")


def _bind(any_socket, device):
    if device:
        any_socket.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, device.encode() + b"\0")


def _answers_ping(pinger, address):
    try:
        pinger.connect((address, 0))
        pinger.send(ECHO)
        return pinger.recv(256)[20] == ECHO_REPLY
    except TimeoutError:
        return False
    except OSError:  # there is no way to it yet
        time.sleep(PING_SECONDS)
        return False


class Qmp:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE_SECONDS)
        self.socket.connect(path)
        self.lines = self.socket.makefile("r")
        self._read("QMP")
        self("qmp_capabilities")

    def __call__(self, command, arguments=None, fd=None):
        if fd is not None:
            rights = array.array("i", [fd]).tobytes()
            self.socket.sendmsg([b" "], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        message = {"execute": command} | ({"arguments": arguments} if arguments else {})
        self.socket.sendall(json.dumps(message).encode())
        return self._read("return")

    def wait_loaded(self):
        while True:
            event = self._read("event")
            if event["event"] == "MIGRATION" and event["data"]["status"] == "completed":
                return
            if event["event"] == "MIGRATION" and event["data"]["status"] == "failed":
                raise RuntimeError("the state does not load")

    def _read(self, key):
        for line in self.lines:
            message = json.loads(line)
            if "error" in message:
                raise RuntimeError(f"QEMU: {message['error']['desc']}")
            if key in message:
                return message
        raise RuntimeError("QEMU has ended")


class Machine:
    def __init__(self, recipe, number):
        self.recipe = recipe
        self.device = f"tap{number}"
        self.base = os.path.join(recipe["directory"], str(number))
        self.tap = _tap(self.device)
        self.pid = None
        for words in (["link", "set", self.device, "address", recipe["gateway_mac"], "up"],
                      ["addr", "add", recipe["gateway"], "dev", self.device]):
            subprocess.run(["ip", *words], check=True)
        self.listeners = {CONTROL: _listen(self.base + ".control"), HEALTH: _listen(self.base + ".health")}

    def fork(self):
        """Milliseconds to the first answer."""
        began = time.monotonic()
        self._spawn()
        qmp = Qmp(self.base + ".control")
        qmp("migrate-set-capabilities", {"capabilities": [{"capability": name, "state": True}
                                                          for name in ("x-ignore-shared", "events")]})
        qmp("migrate-set-parameters", {"announce-rounds": 0})
        state = os.open(self.recipe["state"], os.O_RDONLY)
        qmp("getfd", {"fdname": "state"}, fd=state)
        os.close(state)
        qmp("migrate-incoming", {"uri": "fd:state"})
        qmp.wait_loaded()
        qmp("cont")
        first_answer(self.recipe["address"], self.device)
        return (time.monotonic() - began) * 1000

    def _spawn(self):
        argv = [word.replace(CONSOLE, self.base + ".console") for word in self.recipe["argv"]]
        log = os.open(self.base + ".log", os.O_WRONLY | os.O_CREAT, 0o600)
        fds = {CONTROL: self.listeners[CONTROL].fileno(), HEALTH: self.listeners[HEALTH].fileno(),
               MEMORY: self.recipe["memory_fd"], TAP: self.tap, 1: log, 2: log}
        clear = {to: fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, CLEAR_OF_THOSE) for to, fd in fds.items()}
        # A session of its own, as the daemon gives it: the scheduler shares the CPU between sessions.
        self.pid = os.posix_spawn(argv[0], argv, {}, setsid=True,
                                  file_actions=[(os.POSIX_SPAWN_DUP2, fd, to) for to, fd in clear.items()])
        for fd in (log, *clear.values()):
            os.close(fd)

    def close(self):
        if self.pid is not None:
            os.kill(self.pid, 9)
            os.waitpid(self.pid, 0)
        for listener in self.listeners.values():
            listener.close()
        os.close(self.tap)
        for suffix in (".control", ".health"):
            os.unlink(self.base + suffix)


def _tap(name):
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
    return fd


def _listen(path):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(4)
    return listener


def at_once(actions):
    """Runs all in threads that begin together; their results, in order. The first error is raised."""
    results = [None] * len(actions)
    begin = threading.Barrier(len(actions))

    def one(index, action):
        begin.wait()
        try:
            results[index] = action()
        except Exception as error:  # of any kind: raised below, on the caller's thread
            results[index] = error
    threads = [threading.Thread(target=one, args=item) for item in enumerate(actions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        if isinstance(result, Exception):
            raise result
    return results


def main():
    recipe = json.loads(sys.argv[1])
    for line in sys.stdin:
        machines = [Machine(recipe, number) for number in range(int(line))]
        time.sleep(0.2)
        try:
            print(json.dumps(at_once([machine.fork for machine in machines])), flush=True)
        finally:
            for machine in machines:
                machine.close()


if __name__ == "__main__":
    main()
