"""How old an object is, as kubectl shows it: ``12d``, ``3h4m``. Pure."""

from datetime import UTC, datetime


def rfc3339(seconds: float) -> str:
    """Seconds since 1970 as the API server writes times; empty for 0, and for what is not a time."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if seconds else ""
    except (ValueError, OverflowError, OSError):
        return ""


def age_text(created: str, at: str) -> str:
    """The time between two of RFC 3339; empty where one is not known, or is later than the other."""
    try:
        passed = datetime.fromisoformat(at) - datetime.fromisoformat(created)
    except (ValueError, TypeError):  # TypeError: one of them has no time zone
        return ""
    seconds = int(passed.total_seconds())
    return "" if seconds < -1 else duration_text(max(seconds, 0))  # clocks differ a little


def duration_text(seconds: int) -> str:
    """As kubectl's column AGE: HumanDuration of k8s.io/apimachinery/pkg/util/duration."""
    if seconds < 120:
        return f"{seconds}s"
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if minutes < 10:
        return _two(minutes, "m", seconds % 60, "s")
    if hours < 3:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return _two(days, "d", hours % 24, "h")
    if days < 730:
        return f"{days}d"
    return _two(days // 365, "y", days % 365, "d") if days < 8 * 365 else f"{days // 365}y"


def _two(large: int, unit: str, small: int, unit_of_small: str) -> str:
    return f"{large}{unit}{small}{unit_of_small}" if small else f"{large}{unit}"
