"""What the API server writes, read from its lines."""

import pytest

from kdns.watch.decode import schema


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-01-01T00:00:00Z", 1767225600.0),
        ("2026-01-01T00:00:00.25Z", 1767225600.25),
        ("2026-01-01T01:00:00+01:00", 1767225600.0),
        ("2026-01-01T00:00:00", None),
        ("yesterday", None),
        ("", None),
        (None, None),
    ],
)
def test_trigger_times(text: str | None, seconds: float | None) -> None:
    """RFC 3339 to Unix seconds; what is no moment is unknown."""
    assert schema.trigger_time(schema.Metadata(annotations=schema.Annotations(trigger_time=text))) == seconds
    assert schema.trigger_time(None) is None


def test_watch_events() -> None:
    """Each type of line becomes its own type; the order of type and object does not matter."""
    decode = schema.watch_decoder("Service").decode
    assert isinstance(decode(b'{"object":{},"type":"MODIFIED"}'), schema.Modified)
    assert isinstance(decode(b'{"type":"DELETED","object":{}}'), schema.Deleted)
    mark = decode(b'{"type":"BOOKMARK","object":{"metadata":{"annotations":{"k8s.io/initial-events-end":"true"}}}}')
    assert isinstance(mark, schema.Bookmark)
    assert mark.object.metadata is not None
    assert mark.object.metadata.annotations is not None
    assert mark.object.metadata.annotations.initial_events_end == "true"
    failed = decode(b'{"type":"ERROR","object":{"code":410,"reason":"Expired","details":null}}')
    assert isinstance(failed, schema.Failed)
    assert failed.object.code == 410
    assert not failed.object.too_large_version
