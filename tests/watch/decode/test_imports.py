"""ServiceImports of an API server: followed where they are installed, lived without where they are not."""

from kdns.base.objects import ObjectKey
from kdns.watch.decode import packing, schema
from kdns.watch.source import Want
from tests.fakes.api_server import SYSTEM_COREDNS, WITH_IMPORTS, FakeApiServer
from tests.fakes.objects import endpoint_slice, imported_slice, service, service_import
from tests.watch.api.dialogue import SERVICES, Following, asked

IMPORTS = Want("ServiceImport", installed=False)
SLICES = Want("EndpointSlice", imports=True)
WEB = service_import("shop", "web", ("10.112.0.9",))
EAST = imported_slice("shop", "web-east", "web", "east", ("10.1.0.4",))
KEY = ObjectKey("ServiceImport", "shop", "web")


async def test_they_are_followed() -> None:
    """With their slices, beside the Service of the same name."""
    own = (service("shop", "web", "10.96.0.9"), endpoint_slice("shop", "web-1", "web", ("10.0.0.4",)))
    async with (
        FakeApiServer((WEB, EAST, *own), rules=WITH_IMPORTS) as api,
        Following(api, SERVICES, SLICES, IMPORTS) as following,
    ):
        await following.synced()
        views = {key: view for key, view in following.store.views() if view.service is not None}
        assert set(views) == {KEY, ObjectKey("Service", "shop", "web")}
        (part,) = views[KEY].slices
        assert (part.cluster, part.addresses) == ("east", b"\n\1\0\4")
        api.delete("EndpointSlice", "shop", "web-east")
        await following.until_said("gone EndpointSlice shop/web-east")
        (own_view,) = (view for key, view in following.store.views() if key != KEY)
        assert [each.key.name for each in own_view.slices] == ["web-1"]
        imported = following.store.view(KEY)
        assert imported is not None
        assert imported.slices == ()


async def test_a_cluster_without_them() -> None:
    """Not installed: told once, lists of other kinds are streamed as before, and it is asked again later."""
    async with FakeApiServer((EAST,), rules=WITH_IMPORTS) as api:
        api.absent.add("serviceimports")
        async with Following(api, IMPORTS, SERVICES) as following:
            await following.synced()
            await following.until(lambda: len(following.pauses) > 1)
            waived = "waived ServiceImport: 404: the server could not find the requested resource (not installed)"
            assert [line for line in following.said if line.startswith(("waived", "lost"))] == [waived]
            assert min(following.pauses[:2]) >= 300
            assert "stream services" in asked(api)
            assert "list services" not in asked(api)
            api.absent.clear()
            api.put(WEB)
            await following.until_said("listed ServiceImport")
            assert following.store.view(KEY) is not None


async def test_a_cluster_that_forbids_them() -> None:
    """Forbidden is not "there are none": it is said which right is missing, and waited for."""
    async with FakeApiServer((WEB,), rules=SYSTEM_COREDNS) as api, Following(api, IMPORTS) as following:
        await following.until_said("lost ServiceImport: 403: may not list serviceimports")
        assert not following.store.synced("ServiceImport")
        api.rules = set(WITH_IMPORTS)
        await following.synced()


def test_a_cluster_that_is_no_label() -> None:
    """Its endpoints could have no name, so they are left out with a warning."""
    said: list[str] = []
    wire = schema.ApiEndpointSlice(
        metadata=schema.Metadata(
            name="web-1", namespace="shop", labels=schema.Labels(import_name="web", source_cluster="eu.west")
        ),
        address_type="IPv4",
    )
    kept = packing.keep_slice(wire, pod_names=False, imports=True, warn=said.append)
    assert kept is not None
    assert (kept.imported, kept.cluster) == ("", "")
    assert said == ["no endpoints of ServiceImport 'web': 'eu.west' is not a valid name of a cluster"]
