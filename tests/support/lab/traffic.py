"""HTTP to guests and the rate of a transfer, as bits of Ethernet frames."""

import contextlib
import socket
import struct
import threading
import time
import urllib.request

from .namespaces import PATIENCE

# A TCP segment of 1448 bytes is a frame of 1514 as HTB and TBF count it (MTU 1500, timestamps on, no FCS).
FRAME_PER_GOODPUT = 1514 / 1448
BYTES_ACKED_OFFSET = 120  # in struct tcp_info; bytes_received follows


def http_get(address, path="/", seconds=2):
    return http_bytes(address, path, seconds).decode(errors="replace")


def http_bytes(address, path, seconds):
    with urllib.request.urlopen(f"http://{address}{path}", timeout=seconds * PATIENCE) as answer:
        return answer.read()


def http_post(address, path, body, seconds=2):
    with urllib.request.urlopen(f"http://{address}{path}", data=body, timeout=seconds * PATIENCE) as answer:
        return answer.read().decode(errors="replace")


def until(condition, seconds, pause=0.01):
    """Seconds until condition() was true, or None. Errors of sockets count as "not yet"."""
    began = time.monotonic()
    while time.monotonic() - began < seconds * PATIENCE:
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
        with socket.create_connection((address, 80), timeout=0.1 * PATIENCE) as connection:
            connection.settimeout(2 * PATIENCE)
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return connection.recv(1) != b""
    return until(once, seconds)


def upload_rate(address, path, seconds, settle=1.0):
    """Bits of frames per second that leave the guest: an HTTP download of `path` from it."""
    with Upload(address, path) as upload:
        return rates([upload], seconds, settle)[0]


def download_rate(address, port, seconds, settle=1.0):
    """Bits of frames per second that reach the guest's sink."""
    with Download(address, port) as download:
        return rates([download], seconds, settle)[0]


def rates(transfers, seconds, settle=1.0):
    """Bits of frames per second of each, over the same seconds."""
    time.sleep(settle)  # slow start and the burst are over after this
    began = time.monotonic()
    before = [transfer.moved() for transfer in transfers]
    time.sleep(seconds)
    elapsed = time.monotonic() - began
    return [(transfer.moved() - start) * 8 * FRAME_PER_GOODPUT / elapsed
            for transfer, start in zip(transfers, before, strict=True)]


class Transfer:
    """One TCP connection as busy as it can be, by a thread of its own, until the end of `with`."""

    def __init__(self, connection, step):
        self.connection = connection
        self.thread = threading.Thread(target=self._pump, args=(step,), daemon=True)
        self.ended = threading.Event()  # by us or by the other side

    def _pump(self, step):
        with contextlib.suppress(OSError):
            while not self.ended.is_set() and step():
                pass
        self.ended.set()

    def _counters(self):
        """What was acknowledged and what arrived, as the kernel counts: a thread that gets no processor shifts nothing."""
        info = self.connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192)
        return struct.unpack_from("QQ", info, BYTES_ACKED_OFFSET)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
        self.connection.close()


class Upload(Transfer):
    """Leaves the guest: an HTTP download of `path` from it."""

    def __init__(self, address, path):
        connection = socket.create_connection((address, 80), timeout=5)
        connection.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        super().__init__(connection, lambda: connection.recv(1 << 16))

    def moved(self):
        return self._counters()[1]


class Download(Transfer):
    """Reaches the guest's sink."""

    def __init__(self, address, port):
        connection = _connect_to_sink(address, port)
        block = b"\0" * 16384
        super().__init__(connection, lambda: connection.send(block))

    def moved(self):
        return self._counters()[0]


def _connect_to_sink(address, port, seconds=10):
    """The guest's sink serves one after the other: after the last has gone, it listens again when it has read all. A small
    send buffer leaves it little to read."""
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
