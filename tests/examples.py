"""How many examples hypothesis tries: few by default, so that the suite is quick; many with ``make fuzz``.

A test that states no number tries `SMALL`. One that needs more, or can afford only fewer, is given a number by
`examples`, which grows with the profile as `SMALL` does: ``@settings(max_examples=examples(100))``.
"""

import os
from typing import Final

from hypothesis import HealthCheck, settings

CI: Final = os.environ.get("CI", "").lower() in {"1", "true"}
SMALL: Final = 25
LARGE: Final = 1000
_ANY: Final = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)


def register() -> None:
    """Make the profiles known, and load one of the first two: ``small``; ``ci``, the same in each run; ``fuzz``."""
    settings.register_profile("small", _ANY, max_examples=SMALL)
    settings.register_profile("ci", _ANY, max_examples=SMALL, derandomize=True)
    settings.register_profile("fuzz", _ANY, max_examples=LARGE)
    settings.load_profile("ci" if CI else "small")


def examples(number: int) -> int:
    """`number` in the small profile, and in proportion in others."""
    return max(1, number * settings().max_examples // SMALL)
