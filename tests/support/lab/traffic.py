"""HTTP to guests and the rate of a transfer, as bits of Ethernet frames."""

import socket
import time
import urllib.request

# A TCP segment of 1448 bytes is a frame of 1514 as HTB and TBF count it (MTU 1500, timestamps on, no FCS).
FRAME_PER_GOODPUT = 1514 / 1448


def http_get(address, path="/", seconds=2):
    with urllib.request.urlopen(f"http://{address}{path}", timeout=seconds) as answer:
        return answer.read().decode(errors="replace")


def until(condition, seconds, pause=0.01):
    """Seconds until condition() was true, or None. Errors of sockets count as "not yet"."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        try:
            if condition():
                return time.monotonic() - began
        except OSError:
            pass
        time.sleep(pause)
    return None


def answers(address, seconds):
    """Seconds until the guest answered HTTP, or None. Each try waits at most a tenth of a second for the connection."""
    def once():
        with socket.create_connection((address, 80), timeout=0.1) as connection:
            connection.settimeout(2)
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return connection.recv(1) != b""
    return until(once, seconds)


def upload_rate(address, path, seconds, settle=1.0):
    """Bits of frames per second that leave the guest: an HTTP download of `path` from it."""
    with socket.create_connection((address, 80), timeout=5) as connection:
        connection.settimeout(5)
        connection.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        return _rate(lambda: len(connection.recv(1 << 16)), seconds, settle)


def download_rate(address, port, seconds, settle=1.0):
    """Bits of frames per second that reach the guest's sink. The small send buffer keeps what was written close to what
    was sent."""
    with _connect_to_sink(address, port) as connection:
        block = b"\0" * 16384
        return _rate(lambda: connection.send(block), seconds, settle)


def _connect_to_sink(address, port, seconds=10):
    """The guest's sink serves one after the other: after the last has gone, it listens again when it has read all."""
    deadline = time.monotonic() + seconds
    while True:
        connection = socket.socket()
        try:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * 1024)
            connection.settimeout(5)
            connection.connect((address, port))
            return connection
        except OSError:
            connection.close()
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _rate(step, seconds, settle):
    began = time.monotonic()
    while time.monotonic() - began < settle:  # slow start and the burst are over after this
        if step() == 0:
            return 0.0
    moved = 0
    began = time.monotonic()
    while (elapsed := time.monotonic() - began) < seconds:
        step_bytes = step()
        if step_bytes == 0:
            break
        moved += step_bytes
    return moved * 8 * FRAME_PER_GOODPUT / elapsed
