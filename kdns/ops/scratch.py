"""A folder for files that live for a moment, where a Pod's root is read-only: in memory, if there is such a place."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from kdns.base.errors import ConfigError

MEMORY: Final = Path("/dev/shm")
"""Every container has one that it may write to, also with readOnlyRootFilesystem and without a volume at /tmp; what is
written there, keys for instance, is on no disk."""


def scratch_folder(memory: Path = MEMORY) -> TemporaryDirectory[str]:
    """A new folder for this user alone; a context manager that removes it. Raises ConfigError: none can be had."""
    place = str(memory) if os.access(memory, os.W_OK | os.X_OK) else None
    try:
        return TemporaryDirectory(prefix="kdns-", dir=place)
    except OSError as error:
        raise ConfigError(
            f"no folder for temporary files: {error.strerror}",
            hint=f"let this user write to {memory} or /tmp (in a Pod: an emptyDir), or set TMPDIR",
        ) from error
