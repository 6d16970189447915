"""A network namespace that is nobody's but one thread's, and gone with it."""

import ctypes
import os
import threading
from collections.abc import Callable
from typing import TypeVar

import pytest

T = TypeVar("T")
CLONE_NEWNET = 0x40000000

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make network namespaces")


def in_a_namespace(what: Callable[[], T]) -> T:
    """Call `what` in a new, empty network namespace; threads and processes it starts are in it, too."""
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "unshare")
            results.append(what())
        except BaseException as error:  # noqa: BLE001 - raised again below, where the test sees it
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]
