"""What a mode does in its own way, in lines; the kernels' own word on all of it is in tests/proxy/flows."""

from tests.build import State, proxied, tcp
from tests.proxy.walk import NODE, OTHER, lined, policy, rules_of, walks


def test_in_ipvs_mode_a_node_is_always_masqueraded() -> None:
    """Also where no detector tells pods from others; pods keep their addresses as in every mode."""
    service = proxied("shop/web", ["10.96.0.9"], [tcp(80)])
    rules = rules_of(service, (State("10.244.0.5", NODE), State("10.244.1.6", OTHER)), policy(None))
    lines = """
        host 10.96.0.9:80 -> 10.244.0.5 10.244.1.6 +M
        pod 10.96.0.9:80 -> 10.244.0.5 10.244.1.6
    """
    assert walks(rules, lines, "ipvs") == lined(lines)
    assert walks(rules, "host 10.96.0.9:80", "iptables") == ["host 10.96.0.9:80 -> 10.244.0.5 10.244.1.6"]
