"""What a rule does with a packet, as a plain sentence. Pure."""

from kdns.base.objects import address_text
from kdns.explain.kernel.model import Choose, Dnat, Jump, MapMark, NoTrack, Rule, SetMark, Snat, Statement, Verdict
from kdns.explain.kernel.packet import Packet

VERDICTS = {
    "accept": "accepts it here",
    "drop": "drops it, silently",
    "reject": "refuses it",
    "return": "goes back to the chain before",
}


def meaning(statement: Statement, rule: Rule, packet: Packet) -> str:
    """Such as ``sends it to 10.244.1.7:8080``."""
    match statement:
        case Verdict(word):
            return VERDICTS.get(word, word)
        case Jump(name, goto):
            return f"{'goes' if goto else 'looks'} into chain {name}"
        case Choose(fields):
            return f"looks up {' and '.join(map(_field, fields))}"
        case Dnat(address, port):
            if address:
                return f"sends it to {endpoint(address, port or packet.dport)}"
            return "sends it to an endpoint of its map" if statement.fields else "sends it to the node itself"
        case Snat(masquerade):
            return "masquerades it: the source becomes the node's address" if masquerade else "changes its source"
        case SetMark(keep, flip):
            return f"marks it: {packet.mark:#x} becomes {(packet.mark & keep) ^ flip:#x}"
        case NoTrack():
            return "has it not tracked, so no translation of addresses sees it"
        case MapMark(_, name):
            return f"gives it the mark that set {name} has for it"
    return f"does something that is not known here: {rule.position.text.strip()}"


def endpoint(address: bytes, port: int) -> str:
    """``10.244.1.7:8080``."""
    text = address_text(address)
    return f"{text}:{port}" if len(address) == 4 else f"[{text}]:{port}"


def _field(field: str) -> str:
    return "a random number" if field.startswith("numgen") else field
