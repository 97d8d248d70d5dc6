"""What every bench needs: a place on the disk, the state of the machine, and one form of output."""

import json
import os
import shutil
import statistics
import tempfile
import time


class CannotRun(Exception):
    """This machine lacks something; the text says what."""


class Session:
    """One call of `run`: its flags, its scratch directory, its output."""

    FSYNC_ROUNDS = 51
    FSYNC_BYTES = 4096

    def __init__(self, arguments):
        self.build = os.path.abspath(arguments.build)
        self.smoke = arguments.smoke
        self.rounds = arguments.rounds
        self.as_json = arguments.json
        self.scratch = None
        self.fdatasync_p50_ms = None
        self.printed_heading = None

    def __enter__(self):
        # Beside the build, on a real disk: /tmp is often memory, where a commit costs nothing.
        self.scratch = tempfile.mkdtemp(prefix="bench-", dir=self.build)
        self.fdatasync_p50_ms = self._measure_fdatasync()
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.scratch, ignore_errors=True)

    def program(self, path):
        full = os.path.join(self.build, path)
        if not os.path.exists(full):
            raise CannotRun(f"{full} is not built")
        return full

    def need(self, *programs):
        missing = [program for program in programs if shutil.which(program) is None]
        if missing:
            raise CannotRun(f"not installed: {', '.join(missing)}")

    def directory(self, name):
        path = os.path.join(self.scratch, name)
        os.makedirs(path)
        return path

    def report(self, bench, case, ours, unit, *, target, met, lower_is_better=True, peer=None, peer_name=None,
               floor=None):
        """One measured case; ours, peer and floor are medians (or what the case says)."""
        row = {"id": bench, "case": case, "ours": round(ours, 3)}
        if peer is not None:
            row |= {"peer": round(peer, 3), "peer_name": peer_name}
        if floor is not None:
            row["floor"] = round(floor, 3)
        row |= {"unit": unit, "lower_is_better": lower_is_better}
        if peer:
            row["ratio_to_peer"] = round(ours / peer, 3)
        if floor:
            row["ratio_to_floor"] = round(ours / floor, 3)
        row |= {"target": target, "met": bool(met), "load_average": round(os.getloadavg()[0], 2),
                "fdatasync_p50_ms": round(self.fdatasync_p50_ms, 3)}
        if self.as_json:
            print(json.dumps(row), flush=True)
        else:
            self._print_line(row)

    def _print_line(self, row):
        if self.printed_heading != row["id"]:
            self.printed_heading = row["id"]
            print(f"\n{row['id']}  (fdatasync p50 {row['fdatasync_p50_ms']} ms; ratios are ours/peer, ours/floor)\n"
                  f"{'case':<44}{'ours':>10}{'peer':>10}{'floor':>10} {'unit':<7}{'/peer':>7}{'/floor':>7}"
                  f"{'load':>7}  target")
        cells = [f"{row.get(key, '-'):>{width}}" for key, width in (("ours", 10), ("peer", 10), ("floor", 10))]
        ratios = [f"{row.get(key, '-'):>7}" for key in ("ratio_to_peer", "ratio_to_floor")]
        peer = f" (peer: {row['peer_name']})" if "peer_name" in row else ""
        print(f"{row['case']:<44}{''.join(cells)} {row['unit']:<7}{''.join(ratios)}{row['load_average']:>7}"
              f"  {row['target']}: {'met' if row['met'] else 'MISSED'}{peer}", flush=True)

    def _measure_fdatasync(self):
        milliseconds = []
        with open(os.path.join(self.scratch, "fdatasync"), "wb", buffering=0) as file:
            for _ in range(5 if self.smoke else self.FSYNC_ROUNDS):
                file.write(b"\0" * self.FSYNC_BYTES)
                began = time.perf_counter()
                os.fdatasync(file.fileno())
                milliseconds.append((time.perf_counter() - began) * 1000)
        return statistics.median(milliseconds)


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
