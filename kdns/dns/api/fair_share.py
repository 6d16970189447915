"""Places that clients take and give back, of which none may take what others need."""

from collections.abc import Iterator
from contextlib import contextmanager


class FairShare:
    """So many places, and who has how many of them.

    A client may hold as many as are free: one alone gets half, and the other half is left for all others; of several
    greedy ones each gets the same, and as much again is left. That is the dynamic threshold of shared switch memory
    (Choudhury and Hahne, IEEE/ACM Transactions on Networking 6(2), 1998), with a factor of 1.
    """

    def __init__(self, places: int) -> None:
        self.places = places
        """For all clients together."""
        self._taken = 0
        self._held: dict[str, int] = {}

    @property
    def taken(self) -> int:
        """By all clients."""
        return self._taken

    @property
    def full(self) -> bool:
        """No place is left for any client."""
        return self._taken >= self.places

    def exceeded(self, client: str) -> bool:
        """A client, by its address, may not have one more now."""
        return self._held.get(client, 0) >= self.places - self._taken

    def holds(self, client: str) -> int:
        """How many places a client has."""
        return self._held.get(client, 0)

    def admit(self, client: str) -> bool:
        """Hold one place more, if there is one and the client's share allows it: `full`, `exceeded` and `take`."""
        held, left = self._held, self.places - self._taken
        own = held.get(client, 0)
        if left <= 0 or own >= left:
            return False
        self._taken += 1
        held[client] = own + 1
        return True

    def take(self, client: str) -> None:
        """Hold one place more, until `give`."""
        self._taken += 1
        self._held[client] = self._held.get(client, 0) + 1

    def give(self, client: str) -> None:
        """Hold one place less."""
        self._taken -= 1
        self._held[client] -= 1
        if not self._held[client]:
            del self._held[client]

    @contextmanager
    def place(self, client: str) -> Iterator[None]:
        """Hold one place meanwhile."""
        self.take(client)
        try:
            yield
        finally:
            self.give(client)
