"""What a client may have of places that all share."""

from contextlib import ExitStack

import pytest

from kdns.dns.api.fair_share import FairShare


@pytest.mark.parametrize(("greedy", "each"), [(1, 50), (2, 33), (3, 25), (9, 10), (99, 1)])
def test_greedy_clients_get_the_same_and_leave_as_much(greedy: int, each: int) -> None:
    """Choudhury and Hahne 1998: with n greedy ones each gets the (n + 1)th part, and one part stays free."""
    share = FairShare(100)
    with ExitStack() as held:
        for _ in range(100):
            for client in map(str, range(greedy)):
                if not share.exceeded(client):
                    held.enter_context(share.place(client))
        assert abs(share.taken - greedy * each) <= greedy
        assert not share.exceeded("a new one")
        assert not share.full
    assert share.taken == 0


def test_places_come_back() -> None:
    """A place is given back however its use ends, and nothing is kept of a client without places."""
    share = FairShare(2)

    def use() -> None:
        with share.place("a"):
            assert share.exceeded("a")
            assert not share.exceeded("b")
            raise ValueError("whatever")

    with pytest.raises(ValueError, match="whatever"):
        use()
    assert (share.taken, share.exceeded("a"), share._held) == (0, False, {})


def test_the_last_place() -> None:
    """When all is taken nobody gets more."""
    share = FairShare(1)
    with share.place("a"):
        assert share.full
        assert share.exceeded("b")
