"""Many requests in one packet, each with its own answer; attributes there and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink import NETLINK_ROUTE
from pyroute2.netlink.rtnl import RTM_GETADDR, RTM_NEWADDR

from kdns.base.errors import ConfigError, KernelError
from kdns.kernel.netlink import BATCH, Netlink, attribute, attributes, elements, generic_family, nested
from kdns.proxy.apply import ipvs
from kdns.proxy.model import Family, NodeRules
from tests.proxy.apply.namespaces import in_a_namespace, needs_root


@given(st.lists(st.tuples(st.integers(1, 0x3FFF), st.binary(max_size=40)), max_size=10))
def test_attributes_come_back(parts: list[tuple[int, bytes]]) -> None:
    """Whatever is written is read, in its order, also when it is nested."""
    data = b"".join(attribute(kind, payload) for kind, payload in parts)
    assert elements(data) == parts
    assert attributes(nested(7, data)).get(7, b"") == data


@given(st.binary(max_size=60))
def test_any_octets_can_be_read(data: bytes) -> None:
    """What is cut off or nonsense ends the reading and nothing else; what is read was there."""
    assert all(value in data for value in attributes(data).values())
    assert all(value in data for _, value in elements(data))


def payload(number: int) -> bytes:
    """An address for the loopback link."""
    address = (0x0A000000 + number).to_bytes(4, "big")
    return bytes((2, 32, 0, 0, 1, 0, 0, 0)) + attribute(2, address) + attribute(1, address)


@pytest.mark.kernel
@needs_root
def test_each_request_has_its_answer() -> None:
    """In more than one packet of requests the refused ones are known by their place."""

    def case() -> None:
        with Netlink(NETLINK_ROUTE, "addresses") as link:
            wanted = [number // 2 for number in range(1, BATCH * 2 + 51)]
            codes = link.ask(RTM_NEWADDR, 0x600, [payload(number) for number in wanted])
            seen: set[int] = set()
            for number, code in zip(wanted, codes, strict=True):
                assert code == (17 if number in seen else 0), number
                seen.add(number)
            listed = list(link.dump(RTM_GETADDR, bytes((2,)) + bytes(7)))
            assert len(listed) == len(seen)

    in_a_namespace(case)


@pytest.mark.kernel
@needs_root
def test_a_refusal_says_what_and_why() -> None:
    """The error names the subsystem and the kernel's reason."""

    def case() -> None:
        with Netlink(NETLINK_ROUTE, "addresses") as link:
            link.command(RTM_NEWADDR, 0x600, payload(1))
            assert link.command(RTM_NEWADDR, 0x600, payload(1), accepted=(17,)) == 17
            with pytest.raises(KernelError, match="netlink addresses: exit status 17: File exists"):
                link.command(RTM_NEWADDR, 0x600, payload(1))

    in_a_namespace(case)


@pytest.mark.kernel
@needs_root
def test_a_generic_family_is_found_or_not() -> None:
    """The controller itself is there; a name that nobody has is no error."""
    assert generic_family("nlctrl") == 16
    assert generic_family("kdns-none") is None


async def test_a_kernel_without_ipvs_is_a_mistake_with_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the module."""
    monkeypatch.setattr(ipvs, "generic_family", lambda _: None)
    with pytest.raises(ConfigError, match="modprobe ip_vs"):
        await ipvs.Ipvs(NodeRules(Family.IPV4), ipvs.IpvsSettings()).prepare()
