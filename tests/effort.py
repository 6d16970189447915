"""Bounds on work: processor time of this thread, which does not grow when the machine is busy with other things."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def processor_time(most: float) -> Iterator[None]:
    """What is done within takes at most that many seconds of this thread's processor time.

    It is to tell linear from quadratic, so give many times what it takes; figures are for bench/.
    """
    begun = time.thread_time()
    try:
        yield
    finally:
        used = time.thread_time() - begun
        assert used < most, f"took {used:.1f} s of processor time, more than {most:g} s"
