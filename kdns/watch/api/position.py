"""Where in the history of one kind we are: resource versions, and how many objects the server has shown. Pure.

Versions are compared as numbers, which KEP-5504 (Kubernetes 1.35) made official and etcd always had. That shows what
nothing else does: a server that was restored from a backup knows less than we do, accepts our version, and never says
what vanished; and a bookmark that promised more than there was.
"""

from kdns.base.errors import Expired


class Position:
    """The newest version that we know, and the number of objects at that version."""

    def __init__(self) -> None:
        self.version = ""
        """Of the newest event or bookmark; empty before the first list."""
        self.objects: int | None = 0
        """How many objects there are by what the server has shown, those that we leave out too; None: unknown."""
        self._began = 0
        """The version that the present watch began with: what is older comes from another past."""
        self._shown = 0
        """The version of the newest event of the present watch."""

    @property
    def number(self) -> int:
        """The newest version, to be compared; 0 if it is not a number."""
        return number_of(self.version)

    def listed(self, version: str, objects: int | None) -> None:
        """A list of that version is complete."""
        self.version, self.objects = version, objects
        self.resumed()

    def resumed(self) -> None:
        """A watch begins at the newest version."""
        self._began = self._shown = self.number

    def event(self, version: str) -> bool:
        """An object has changed; False: we have seen it before, so it changes nothing. Raises Expired: an older past,
        or a change that a bookmark had left out."""
        number = number_of(version)
        if 0 < number < self._began:
            raise Expired(0, "older", f"an event has version {version}, we had resumed at {self._began}")
        if 0 < number <= self._shown:
            return False
        if 0 < number < self.number:
            raise Expired(0, "older", f"an event has version {version}, a bookmark has promised {self.version}")
        self.version = version or self.version
        self._shown = max(self._shown, number)
        return True

    def bookmark(self, version: str) -> None:
        """All up to that version was shown. Raises Expired: an older past."""
        number = number_of(version)
        if 0 < number < self._began:
            raise Expired(0, "older", f"the server is at version {version}, we have seen {self.version}")
        if number >= self.number and version:
            self.version = version

    def compare(self, newest: str, seen: str) -> None:
        """The server's newest version, asked for when ours was `seen`. Raises Expired if the server is behind us."""
        if 0 < number_of(newest) < number_of(seen):
            raise Expired(0, "older", f"the server is at version {newest}, we have seen {seen}")

    def count(self, more: int) -> None:
        """So many objects came, or went (negative)."""
        if self.objects is not None:
            self.objects += more


def number_of(version: str) -> int:
    """A resource version as a number; 0 for none, or for a server that counts otherwise: then nothing is compared."""
    return int(version) if version.isascii() and version.isdigit() and len(version) < 20 else 0
