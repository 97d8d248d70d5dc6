"""How fast this processor's time stamp counter runs, which is also the one that a guest of TCG reads."""

import ctypes
import mmap
import time

# rdtsc; shl rdx, 32; or rax, rdx; ret
READ = b"\x0f\x31\x48\xc1\xe2\x20\x48\x09\xd0\xc3"
SECONDS = 0.1


def khz():
    with mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC) as page:
        page.write(READ)
        place = ctypes.c_char.from_buffer(page)
        read = ctypes.CFUNCTYPE(ctypes.c_uint64)(ctypes.addressof(place))
        ticks, began = read(), time.monotonic_ns()
        time.sleep(SECONDS)
        rate = (read() - ticks) * 1_000_000 // (time.monotonic_ns() - began)
        del read, place  # else the page could not be given back
        return rate
