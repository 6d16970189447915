"""A name that acl denies, asked for in every way round: no way gets its address out of a running server."""

from pathlib import Path

import pytest

from kdns.demo.ask import Question, ask
from tests.dns.server.test_corefile_served import Served
from tests.running import SHOP

pytestmark = pytest.mark.e2e

SECRET = """
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: secret}
spec: {clusterIP: 10.96.7.7, clusterIPs: [10.96.7.7], ports: [{name: sql, port: 1, protocol: TCP}]}
---
apiVersion: v1
kind: Service
metadata: {name: alias, namespace: shop}
spec: {type: ExternalName, externalName: db.secret.svc.cluster.local}
---
apiVersion: v1
kind: Service
metadata: {name: twice, namespace: shop}
spec: {type: ExternalName, externalName: alias.shop.svc.cluster.local}
---
apiVersion: v1
kind: Service
metadata: {name: open, namespace: shop}
spec: {type: ExternalName, externalName: web.shop.svc.cluster.local}
---
apiVersion: v1
kind: Service
metadata: {name: round, namespace: shop}
spec: {type: ExternalName, externalName: round.shop.svc.cluster.local}
"""
COREFILE = """
.:0 {
    bind 127.0.0.1
    errors
    acl secret.svc.cluster.local {
        block
    }
    rewrite name exact x.test db.secret.svc.cluster.local
    rewrite name exact y.test db.secret
    rewrite name regex (.*)[.]re[.]test {1}.svc.cluster.local answer auto
    shortnames
    kubernetes cluster.local
    cache 30
    loadbalance
    template IN A t.test {
        answer "{{ .Name }} 60 IN CNAME db.secret.svc.cluster.local."
    }
}
"""
DENIED = (
    *("db.secret.svc.cluster.local", "DB.Secret.svc.cluster.local", "db.secret", "db.secret.svc"),
    *("x.test", "y.test", "db.secret.re.test", "alias.shop.re.test", "t.test"),
    *("alias.shop.svc.cluster.local", "twice.shop.svc.cluster.local", "alias.shop", "twice.shop.svc"),
)


async def test_no_way_leads_to_a_denied_name(tmp_path: Path) -> None:
    """Rewritten, short, an alias, remembered, cached, in capitals, over TCP: never the address; others have theirs."""
    (tmp_path / "objects.yaml").write_text(SHOP + SECRET)
    corefile = tmp_path / "Corefile"
    corefile.write_text(COREFILE)
    async with Served(corefile, "--source", str(tmp_path / "objects.yaml")) as kdns:
        port = await kdns.port()
        for proto in ("udp", "udp", "tcp", "tcp"):
            for name in DENIED:
                reply = await ask(Question(name, "A", proto), "127.0.0.1", port)
                assert "10.96.7.7" not in reply.data, f"{name} over {proto}"
            reply = await ask(Question("open.shop.svc.cluster.local", "A", proto), "127.0.0.1", port)
            assert reply == ("NOERROR", ("CNAME web.shop.svc.cluster.local.", "10.96.0.9"))
            reply = await ask(Question("round.shop.svc.cluster.local", "A", proto), "127.0.0.1", port)
            assert reply.rcode == "SERVFAIL"
