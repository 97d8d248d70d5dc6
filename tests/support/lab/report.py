"""One line per claim, with its numbers; the exit code is the claims'."""

import sys
import time


class Report:
    """Prints `ok`/`FAIL` lines as they come. A failed line never stops the rest: the operator wants all of them."""

    def __init__(self):
        self.failed = []
        self.started = time.monotonic()

    def line(self, holds, what, detail=""):
        mark = "ok  " if holds else "FAIL"
        print(f"[{time.monotonic() - self.started:6.1f} s] {mark} {what}{': ' + detail if detail else ''}", flush=True)
        if not holds:
            self.failed.append(what)
        return holds

    def finish(self):
        total = time.monotonic() - self.started
        if self.failed:
            print(f"{len(self.failed)} of the lines above did not hold: {'; '.join(self.failed)}")
        else:
            print(f"every line held, {total:.0f} s")
        return 1 if self.failed else 0


def fail(text):
    print(f"demo: {text}", file=sys.stderr)
    sys.exit(1)
