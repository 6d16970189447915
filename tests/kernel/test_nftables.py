"""Tables of nftables in a network namespace of their own; nft is the witness of what is in them."""

import subprocess
import sys
from collections.abc import Callable
from errno import EEXIST, ENOENT, ERESTART
from socket import AF_INET

import pytest

from kdns.base.errors import KernelError
from kdns.kernel.nft_elements import (
    GOTO,
    Element,
    Verdict,
    compose,
    compose_key,
    compose_leading,
    compose_mapped,
    key_of,
    parse,
)
from kdns.kernel.nftables import WHOLE, ForeignChange, Nftables
from tests.needs import lacks_kernel
from tests.proxy.apply.namespaces import in_a_namespace, needs_root

pytestmark = [pytest.mark.kernel, needs_root]

TABLE = """
add table ip t
add set ip t alive { type inet_service ; flags timeout ; timeout 1h ; }
add map ip t ways { type ipv4_addr . inet_proto . inet_service : verdict ; }
add map ip t backends { typeof ip daddr . tcp dport . numgen random mod 2 : ip daddr . tcp dport ; }
add chain ip t spread/2
"""
PORT = (53).to_bytes(2, "big")
WAY = bytes((10, 96, 0, 10, 6, 0, 0, 0, 0, 80, 0, 0))


def nft(*words: str, stdin: str = "") -> str:
    """Another program's view."""
    return subprocess.run(["nft", *words], check=True, capture_output=True, text=True, input=stdin).stdout


def with_table(case: Callable[[Nftables], None]) -> None:
    """Call it where the table is, and nothing else."""

    def run() -> None:
        nft("-f", "-", stdin=TABLE)
        with Nftables(AF_INET) as tables:
            case(tables)

    in_a_namespace(run)


def test_nft_lists_elements_as_its_own() -> None:
    """Concatenations, values, verdicts and comments."""

    def case(tables: Nftables) -> None:
        backend = compose_mapped(
            bytes((10, 96, 0, 10, 0, 80, 0, 0)) + bytes(4), bytes((10, 244, 1, 3, 0x24, 0xA0, 0, 0))
        )
        way = compose_leading(WAY, Verdict(GOTO, "spread/2"), "shop/web cluster IP")
        tables.commit([*tables.add("t", "ways", [way]), *tables.add("t", "backends", [backend])])
        listed = nft("list", "table", "ip", "t")
        assert 'elements = { 10.96.0.10 . tcp . 80 comment "shop/web cluster IP" : goto spread/2 }' in listed
        assert "elements = { 10.96.0.10 . 80 . 0 : 10.244.1.3 . 9376 }" in listed
        assert list(tables.elements("t", "ways") or ()) == [way]
        assert list(tables.elements("t", "backends") or ()) == [backend]

    with_table(case)


def test_what_nft_wrote_is_read_as_what_we_would_write() -> None:
    """So a table can be compared with what it should be as octets."""

    def case(tables: Nftables) -> None:
        text = '10.96.0.10 . tcp . 80 comment "shop/web cluster IP" : goto spread/2'
        nft("add", "element", "ip", "t", "ways", f"{{ {text} }}")
        assert list(tables.elements("t", "ways") or ()) == [
            compose_leading(WAY, Verdict(GOTO, "spread/2"), "shop/web cluster IP")
        ]
        assert list(tables.elements("t", "backends") or ()) == []
        assert tables.elements("t", "missing") is None

    with_table(case)


def test_a_timeout_is_renewed_by_delete_and_add() -> None:
    """Add, delete, add in one transaction does, whether the element is there or not; add alone does not."""

    def case(tables: Nftables) -> None:
        short, long = (
            list(tables.add("t", "alive", [compose(Element(PORT, timeout=ms))])) for ms in (600_000, 1_200_000)
        )
        gone = list(tables.delete("t", "alive", [compose_key(PORT)]))
        for messages, timeout in (([*short, *gone, *short], 600_000), ([*long, *gone, *long], 1_200_000)):
            tables.commit(messages)
            assert [parse(one) for one in tables.elements("t", "alive") or ()] == [Element(PORT, timeout=timeout)]
        assert "elements = { 53 timeout 20m" in nft("list", "set", "ip", "t", "alive")

    with_table(case)


def test_a_large_set_takes_several_messages_and_one_transaction() -> None:
    """An attribute holds 64 kB; 20,000 elements are a packet of more than the usual send buffer."""

    def case(tables: Nftables) -> None:
        elements = [compose_mapped(bytes(8) + number.to_bytes(4, "little"), bytes(8)) for number in range(20_000)]
        before = tables.generation()
        messages = list(tables.add("t", "backends", elements))
        assert len(messages) > 10
        tables.commit(messages)
        assert tables.generation() == before + 1
        # Not listed: the kernel may still be enlarging its hash table, and then lists some elements twice.
        assert tables.look("t", "backends", map(key_of, elements)) == elements

    with_table(case)


@pytest.mark.parametrize(
    ("name", "added", "deleted", "refused", "code"),
    [
        ("ways", [], [compose_key(WAY)], 1, ENOENT),
        ("ways", [compose_leading(WAY, Verdict(GOTO, "missing"), "x")], [], 1, ENOENT),
        ("missing", [compose_leading(WAY, Verdict(GOTO, "spread/2"), "x")], [], 1, ENOENT),
        (
            "backends",
            [compose_mapped(bytes(12), bytes(8)), compose_mapped(bytes(12), b"\1" * 8)],
            [],
            1,
            EEXIST,
        ),
    ],
    ids=["an element that is not there", "a chain that is not there", "a map that is not there", "two values"],
)
def test_a_refusal_names_the_message_and_nothing_is_done(
    name: str, added: list[bytes], deleted: list[bytes], refused: int, code: int
) -> None:
    """What came before and after it is undone, too."""

    def case(tables: Nftables) -> None:
        fine = list(tables.add("t", "alive", [compose(Element(PORT))]))
        messages = [*fine, *tables.delete("t", name, deleted), *tables.add("t", name, added), *fine]
        with pytest.raises(KernelError) as caught:
            tables.commit(messages)
        assert (caught.value.refused, caught.value.code) == (refused, code)
        assert list(tables.elements("t", "alive") or ()) == []
        tables.commit(fine)  # the answers of the first are not taken for those of the second

    with_table(case)


def test_a_transaction_can_be_tied_to_a_generation() -> None:
    """So what was read is what is changed, or nothing is."""

    def case(tables: Nftables) -> None:
        known = tables.generation()
        messages = list(tables.add("t", "alive", [compose(Element(PORT))]))
        nft("add", "table", "ip", "other")
        with pytest.raises(KernelError) as caught:
            tables.commit(messages, known)
        assert (caught.value.refused, caught.value.code) == (WHOLE, ERESTART)
        tables.commit(messages, tables.generation())
        assert [parse(one).key for one in tables.elements("t", "alive") or ()] == [PORT]

    with_table(case)


def test_nothing_to_do_is_no_transaction() -> None:
    """The kernel is not asked."""

    def case(tables: Nftables) -> None:
        before = tables.generation()
        tables.commit([])
        assert tables.generation() == before

    with_table(case)


def test_what_others_do_to_a_table_is_heard() -> None:
    """Not what the own socket does, nor what concerns other tables or families; elements are named by their keys."""

    def case(tables: Nftables) -> None:
        with Nftables(AF_INET) as listener:

            def heard() -> list[ForeignChange]:
                changes = listener.changes_of_others("t", tables.port)
                assert changes is not None
                return changes

            listener.listen()
            tables.commit(list(tables.add("t", "alive", [compose(Element(PORT))])))
            assert heard() == []
            nft("-f", "-", stdin="add table ip other\nadd set ip other s { type inet_service ; }\nadd table ip6 t")
            assert heard() == []
            nft("-f", "-", stdin="delete element ip t alive { 53 }\nadd element ip t alive { 54 }")
            assert heard() == [ForeignChange("elements", "alive", (key,)) for key in (PORT, b"\0\x36")]
            assert heard() == [], "once each"
            nft("-f", "-", stdin="add chain ip t c\nadd rule ip t c accept")
            assert [change.what for change in heard()] == ["chains", "chains"]
            nft("flush", "chain", "ip", "t", "c")
            assert [change.what for change in heard()] == ["chains"]
            nft("add", "set", "ip", "t", "more", "{ type inet_service ; }")
            assert [change.what for change in heard()] == ["others"]
            listener.ignore()
            nft("flush", "ruleset")
            assert heard() == []

    with_table(case)


def test_lost_notifications_are_reported_and_what_waited_is_dropped() -> None:
    """More came than the receive buffer holds."""

    def case(tables: Nftables) -> None:
        with Nftables(AF_INET) as listener:
            listener.listen()
            elements = [compose_mapped(bytes(8) + number.to_bytes(4, "little"), bytes(8)) for number in range(100_000)]
            tables.commit(list(tables.add("t", "backends", elements)))
            assert listener.changes_of_others("t", tables.port) is None
            assert listener.changes_of_others("t", tables.port) == []

    with_table(case)


def test_elements_are_counted_and_asked_for_by_key() -> None:
    """Where the kernel counts them; a key that is not there has no answer and is no error."""

    def case(tables: Nftables) -> None:
        elements = [compose_mapped(bytes(8) + number.to_bytes(4, "little"), bytes(8)) for number in range(3)]
        tables.commit(list(tables.add("t", "backends", elements)))
        assert tables.counts("t") in ({"alive": 0, "ways": 0, "backends": 3}, None)
        keys = [bytes(8) + number.to_bytes(4, "little") for number in (0, 2, 9)]
        assert tables.present("t", "backends", keys) == {keys[0]: elements[0], keys[1]: elements[2]}
        assert tables.present("t", "missing", keys) == {}

    with_table(case)


def test_what_is_there_with_the_same_value_is_no_change() -> None:
    """To add it once more makes no new generation of the rules, so no process is notified."""

    def case(tables: Nftables) -> None:
        elements = [compose_mapped(bytes(8) + number.to_bytes(4, "little"), bytes(8)) for number in range(3)]
        messages = list(tables.add("t", "backends", elements))
        tables.commit(messages)
        before = tables.generation()
        assert tables.attempt(messages) == []
        assert tables.generation() == before

    with_table(case)


def test_each_message_that_is_refused_is_named() -> None:
    """And nothing is done."""

    def case(tables: Nftables) -> None:
        keys = [bytes(8) + number.to_bytes(4, "little") for number in range(4)]
        tables.commit([*tables.add("t", "backends", [compose_mapped(key, bytes(8)) for key in keys[:2]])])
        others = [[*tables.add("t", "backends", [compose_mapped(key, b"\1" * 8)])] for key in (keys[2], *keys[:2])]
        assert tables.attempt([message for messages in others for message in messages]) == [(1, EEXIST), (2, EEXIST)]
        assert list(tables.present("t", "backends", keys)) == keys[:2]

    with_table(case)


IN_A_USER_NAMESPACE = f"""
import subprocess
import sys
from kdns.kernel.nft_elements import compose_mapped
from kdns.kernel.nftables import Nftables

subprocess.run(["nft", "-f", "-"], input={TABLE!r}, text=True, check=True)
with Nftables({int(AF_INET)}) as tables:
    elements = [compose_mapped(bytes(8) + number.to_bytes(4, "little"), bytes(8)) for number in range(5_000)]
    tables.commit(list(tables.add("t", "backends", elements)))
    print(len(list(tables.elements("t", "backends"))))
"""


def test_root_of_a_user_namespace_is_enough() -> None:
    """There the send buffer cannot be larger than what net.core.wmem_max allows, which does for one transaction."""
    apart = ["unshare", "--user", "--map-root-user", "--net"]
    if subprocess.run([*apart, "true"], check=False, capture_output=True).returncode:
        lacks_kernel("user namespaces for root, or forbids them")
    words = [*apart, sys.executable, "-c", IN_A_USER_NAMESPACE]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["5000"]
