"""What is counted of an API server: requests, what held them back, how old the data is, why watches restarted."""

import asyncio

import pytest

from kdns.base.errors import ApiError
from kdns.metrics.cluster import NO_CODE, ClusterCounts
from kdns.watch.api.client import Api, open_session
from kdns.watch.api.credentials import Anonymous
from kdns.watch.api.pace import Pace
from tests.fakes.api_server import FakeApiServer, refuse
from tests.fakes.faults import Mark
from tests.fakes.objects import service
from tests.watch.api.dialogue import SERVICES, Following

WEB = service("shop", "web", "10.96.0.9")
REQUESTS = "coredns_kubernetes_rest_client_requests_total"
SECONDS = "coredns_kubernetes_rest_client_request_duration_seconds_count"
WAITED = "coredns_kubernetes_rest_client_rate_limiter_duration_seconds"


async def test_requests_are_counted_by_code() -> None:
    """Each request once, by its code, the method and the host; the host is what the URL says, port and all."""
    async with FakeApiServer([WEB]) as api, Following(api) as seen:
        await seen.synced()
        host = api.url.removeprefix("http://")
        assert seen.counted(REQUESTS) == {("200", host, "GET"): 1}
        assert seen.counted(SECONDS) == {(host, "GET"): 1}
        assert seen.counted(f"{WAITED}_count") == {(host, "GET"): 1}


async def test_requests_without_a_reply_are_counted(unused_tcp_port: int) -> None:
    """A server that is not there has no code: client-go's word is told."""
    url = f"http://127.0.0.1:{unused_tcp_port}"
    async with Following(url) as seen:
        await seen.until_said("lost Service")
        host = url.removeprefix("http://")
        assert seen.counted(REQUESTS)[NO_CODE, host, "GET"] >= 1
        assert seen.counted("kdns_watch_restarts_total")["Service", "refused"] >= 1
        assert seen.counted("kdns_watch_data_age_seconds") == {}  # there is no data that could be old


async def test_what_a_rationed_request_waits() -> None:
    """The seconds that qps and burst have held a request back, and a refusal's code."""
    counts = ClusterCounts()
    async with FakeApiServer([WEB]) as api, open_session() as session:
        pace = Pace(20, 1)
        asking = Api(session, Anonymous(api.url), pace=pace, counts=counts)
        await asking.newest(SERVICES)
        api.next_reply(refuse(500))
        with pytest.raises(ApiError):
            await asking.newest(SERVICES)
        host = api.url.removeprefix("http://")
    samples = {sample.name: sample.value for family in counts.collect() for sample in family.samples
               if sample.name.startswith(WAITED) and "le" not in sample.labels}  # fmt: skip
    assert samples[f"{WAITED}_count"] == 2
    assert 0.02 < samples[f"{WAITED}_sum"] < 2
    found = {tuple(sample.labels.values()): sample.value for family in counts.collect() for sample in family.samples
             if sample.name == REQUESTS}  # fmt: skip
    assert found == {("200", "GET", host): 1, ("500", "GET", host): 1}


async def test_the_age_of_data() -> None:
    """It grows while nothing is heard, a bookmark is enough to begin anew, and it ends with the watch."""
    async with FakeApiServer([WEB]) as api:
        async with Following(api) as seen:
            await seen.synced()
            await seen.until(lambda: bool(seen.counted("kdns_watch_data_age_seconds")))
            await asyncio.sleep(0.3)
            before = seen.counted("kdns_watch_data_age_seconds")["Service",]
            assert before >= 0.3
            api.disturb(Mark())
            await seen.until(lambda: seen.counted("kdns_watch_data_age_seconds")["Service",] < before)
        assert seen.counted("kdns_watch_data_age_seconds") == {}
