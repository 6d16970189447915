"""kube-proxy's own rules for the cluster of `tests.explain.kernel.plan` on worker-1, as its releases write them."""

NFTABLES = """
add table ip kube-proxy { comment "rules for kube-proxy" ; }
add chain ip kube-proxy filter-prerouting-pre-dnat { type filter hook prerouting priority -110 ; }
add chain ip kube-proxy filter-output-pre-dnat { type filter hook output priority -110 ; }
add chain ip kube-proxy nat-prerouting { type nat hook prerouting priority -100 ; }
add chain ip kube-proxy nat-output { type nat hook output priority -100 ; }
add chain ip kube-proxy filter-input { type filter hook input priority 0 ; }
add chain ip kube-proxy filter-forward { type filter hook forward priority 0 ; }
add chain ip kube-proxy filter-output { type filter hook output priority 0 ; }
add chain ip kube-proxy nat-postrouting { type nat hook postrouting priority 100 ; }
add chain ip kube-proxy services
add chain ip kube-proxy firewall-check
add chain ip kube-proxy service-endpoints-check
add chain ip kube-proxy nodeport-endpoints-check
add chain ip kube-proxy cluster-ips-check
add chain ip kube-proxy mark-for-masquerade
add chain ip kube-proxy masquerading
add chain ip kube-proxy reject-chain
add set ip kube-proxy cluster-ips { type ipv4_addr ; comment "Active ClusterIPs" ; }
add set ip kube-proxy nodeport-ips { type ipv4_addr ; comment "IPs that accept NodePort traffic" ; }
add map ip kube-proxy service-ips { type ipv4_addr . inet_proto . inet_service : verdict ; }
add map ip kube-proxy service-nodeports { type inet_proto . inet_service : verdict ; }
add map ip kube-proxy firewall-ips { type ipv4_addr . inet_proto . inet_service : verdict ; }
add map ip kube-proxy no-endpoint-services { type ipv4_addr . inet_proto . inet_service : verdict ; }
add map ip kube-proxy no-endpoint-nodeports { type inet_proto . inet_service : verdict ; }
add rule ip kube-proxy filter-prerouting-pre-dnat ct state new jump firewall-check
add rule ip kube-proxy filter-output-pre-dnat ct state new jump firewall-check
add rule ip kube-proxy nat-prerouting jump services
add rule ip kube-proxy nat-output jump services
add rule ip kube-proxy filter-input ct state new jump nodeport-endpoints-check
add rule ip kube-proxy filter-input ct state new jump service-endpoints-check
add rule ip kube-proxy filter-forward ct state new jump service-endpoints-check
add rule ip kube-proxy filter-forward ct state new jump cluster-ips-check
add rule ip kube-proxy filter-output ct state new jump service-endpoints-check
add rule ip kube-proxy filter-output ct state new jump cluster-ips-check
add rule ip kube-proxy nat-postrouting jump masquerading
add rule ip kube-proxy services ip daddr . meta l4proto . th dport vmap @service-ips
add rule ip kube-proxy services ip daddr @nodeport-ips meta l4proto . th dport vmap @service-nodeports
add rule ip kube-proxy firewall-check ip daddr . meta l4proto . th dport vmap @firewall-ips
add rule ip kube-proxy service-endpoints-check ip daddr . meta l4proto . th dport vmap @no-endpoint-services
add rule ip kube-proxy nodeport-endpoints-check ip daddr @nodeport-ips meta l4proto . th dport vmap @no-endpoint-nodeports
add rule ip kube-proxy cluster-ips-check ip daddr @cluster-ips reject comment "Reject traffic to invalid ports of ClusterIPs"
add rule ip kube-proxy cluster-ips-check ip daddr { 10.96.0.0/12 } drop comment "Drop traffic to unallocated ClusterIPs"
add rule ip kube-proxy mark-for-masquerade mark set mark or 0x4000
add rule ip kube-proxy masquerading mark and 0x4000 == 0 return
add rule ip kube-proxy masquerading mark set mark xor 0x4000
add rule ip kube-proxy masquerading masquerade fully-random
add rule ip kube-proxy reject-chain reject
add chain ip kube-proxy endpoint-AAAAAAAA-shop/cart/tcp/http__10.244.1.7/8080
add chain ip kube-proxy endpoint-BBBBBBBB-shop/cart/tcp/http__10.244.2.9/8080
add chain ip kube-proxy endpoint-CCCCCCCC-shop/guarded/tcp/http__10.244.2.8/80
add chain ip kube-proxy service-DDDDDDDD-shop/cart/tcp/http
add chain ip kube-proxy external-DDDDDDDD-shop/cart/tcp/http
add chain ip kube-proxy service-EEEEEEEE-shop/guarded/tcp/http
add chain ip kube-proxy external-EEEEEEEE-shop/guarded/tcp/http
add chain ip kube-proxy firewall-EEEEEEEE-shop/guarded/tcp/http
add rule ip kube-proxy endpoint-AAAAAAAA-shop/cart/tcp/http__10.244.1.7/8080 ip saddr 10.244.1.7 jump mark-for-masquerade
add rule ip kube-proxy endpoint-AAAAAAAA-shop/cart/tcp/http__10.244.1.7/8080 meta l4proto tcp dnat to 10.244.1.7:8080
add rule ip kube-proxy endpoint-BBBBBBBB-shop/cart/tcp/http__10.244.2.9/8080 ip saddr 10.244.2.9 jump mark-for-masquerade
add rule ip kube-proxy endpoint-BBBBBBBB-shop/cart/tcp/http__10.244.2.9/8080 meta l4proto tcp dnat to 10.244.2.9:8080
add rule ip kube-proxy endpoint-CCCCCCCC-shop/guarded/tcp/http__10.244.2.8/80 ip saddr 10.244.2.8 jump mark-for-masquerade
add rule ip kube-proxy endpoint-CCCCCCCC-shop/guarded/tcp/http__10.244.2.8/80 meta l4proto tcp dnat to 10.244.2.8:80
add rule ip kube-proxy service-DDDDDDDD-shop/cart/tcp/http ip daddr 10.96.7.7 tcp dport 80 ip saddr != 10.244.0.0/16 jump mark-for-masquerade
add rule ip kube-proxy service-DDDDDDDD-shop/cart/tcp/http numgen random mod 2 vmap { 0 : goto endpoint-AAAAAAAA-shop/cart/tcp/http__10.244.1.7/8080 , 1 : goto endpoint-BBBBBBBB-shop/cart/tcp/http__10.244.2.9/8080 }
add rule ip kube-proxy external-DDDDDDDD-shop/cart/tcp/http jump mark-for-masquerade
add rule ip kube-proxy external-DDDDDDDD-shop/cart/tcp/http goto service-DDDDDDDD-shop/cart/tcp/http
add rule ip kube-proxy service-EEEEEEEE-shop/guarded/tcp/http ip daddr 10.96.7.8 ip saddr != 10.244.0.0/16 jump mark-for-masquerade
add rule ip kube-proxy service-EEEEEEEE-shop/guarded/tcp/http numgen random mod 1 vmap { 0 : goto endpoint-CCCCCCCC-shop/guarded/tcp/http__10.244.2.8/80 }
add rule ip kube-proxy external-EEEEEEEE-shop/guarded/tcp/http jump mark-for-masquerade
add rule ip kube-proxy external-EEEEEEEE-shop/guarded/tcp/http goto service-EEEEEEEE-shop/guarded/tcp/http
add rule ip kube-proxy firewall-EEEEEEEE-shop/guarded/tcp/http ip saddr != { 203.0.113.0/25 } drop
add element ip kube-proxy cluster-ips { 10.96.7.7, 10.96.7.8, 10.96.7.10 }
add element ip kube-proxy nodeport-ips { 172.18.0.2 }
add element ip kube-proxy service-ips { 10.96.7.7 . tcp . 80 : goto service-DDDDDDDD-shop/cart/tcp/http }
add element ip kube-proxy service-ips { 198.51.100.20 . tcp . 80 : goto external-DDDDDDDD-shop/cart/tcp/http }
add element ip kube-proxy service-ips { 10.96.7.8 . tcp . 80 : goto service-EEEEEEEE-shop/guarded/tcp/http }
add element ip kube-proxy service-ips { 198.51.100.21 . tcp . 80 : goto external-EEEEEEEE-shop/guarded/tcp/http }
add element ip kube-proxy service-nodeports { tcp . 30080 : goto external-DDDDDDDD-shop/cart/tcp/http }
add element ip kube-proxy service-nodeports { tcp . 30081 : goto external-EEEEEEEE-shop/guarded/tcp/http }
add element ip kube-proxy firewall-ips { 198.51.100.21 . tcp . 80 comment "shop/guarded:http" : goto firewall-EEEEEEEE-shop/guarded/tcp/http }
add element ip kube-proxy no-endpoint-services { 10.96.7.10 . tcp . 80 comment "shop/depot:http" : drop }
"""  # noqa: E501 - as kube-proxy writes them, a command a line
"""Of about release 1.33: a chain for each Service and endpoint, verdict maps by random number."""

IPTABLES_OLD = """
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:KUBE-EXTERNAL-SERVICES - [0:0]
:KUBE-FIREWALL - [0:0]
:KUBE-FORWARD - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-SERVICES - [0:0]
-A INPUT -m comment --comment "kubernetes health check service ports" -j KUBE-NODEPORTS
-A INPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes externally-visible service portals" -j KUBE-EXTERNAL-SERVICES
-A INPUT -j KUBE-FIREWALL
-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
-A FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes externally-visible service portals" -j KUBE-EXTERNAL-SERVICES
-A OUTPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A OUTPUT -j KUBE-FIREWALL
-A KUBE-FIREWALL -m comment --comment "kubernetes firewall for dropping marked packets" -m mark --mark 0x8000/0x8000 -j DROP
-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m comment --comment "block incoming localnet connections" -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
-A KUBE-FORWARD -m comment --comment "kubernetes forwarding rules" -m mark --mark 0x4000/0x4000 -j ACCEPT
-A KUBE-SERVICES -d 10.96.7.10/32 -p tcp -m comment --comment "shop/depot:http has no local endpoints" -m tcp --dport 80 -j DROP
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:KUBE-FW-CARTCARTCARTCART - [0:0]
:KUBE-FW-GUARGUARGUARGUAR - [0:0]
:KUBE-MARK-DROP - [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-POSTROUTING - [0:0]
:KUBE-SEP-CART1CART1CART1C - [0:0]
:KUBE-SEP-CART2CART2CART2C - [0:0]
:KUBE-SEP-GUARGUARGUARGUAR - [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-SVC-CARTCARTCARTCART - [0:0]
:KUBE-SVC-GUARGUARGUARGUAR - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
-A KUBE-FW-CARTCARTCARTCART -m comment --comment "shop/cart:http loadbalancer IP" -j KUBE-MARK-MASQ
-A KUBE-FW-CARTCARTCARTCART -m comment --comment "shop/cart:http loadbalancer IP" -j KUBE-SVC-CARTCARTCARTCART
-A KUBE-FW-CARTCARTCARTCART -m comment --comment "shop/cart:http loadbalancer IP" -j KUBE-MARK-DROP
-A KUBE-FW-GUARGUARGUARGUAR -m comment --comment "shop/guarded:http loadbalancer IP" -j KUBE-MARK-MASQ
-A KUBE-FW-GUARGUARGUARGUAR -s 203.0.113.0/25 -m comment --comment "shop/guarded:http loadbalancer IP" -j KUBE-SVC-GUARGUARGUARGUAR
-A KUBE-FW-GUARGUARGUARGUAR -m comment --comment "shop/guarded:http loadbalancer IP" -j KUBE-MARK-DROP
-A KUBE-MARK-DROP -j MARK --set-xmark 0x8000/0x8000
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A KUBE-NODEPORTS -p tcp -m comment --comment "shop/cart:http" -m tcp --dport 30080 -j KUBE-MARK-MASQ
-A KUBE-NODEPORTS -p tcp -m comment --comment "shop/cart:http" -m tcp --dport 30080 -j KUBE-SVC-CARTCARTCARTCART
-A KUBE-NODEPORTS -p tcp -m comment --comment "shop/guarded:http" -m tcp --dport 30081 -j KUBE-MARK-MASQ
-A KUBE-NODEPORTS -p tcp -m comment --comment "shop/guarded:http" -m tcp --dport 30081 -j KUBE-SVC-GUARGUARGUARGUAR
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE
-A KUBE-SEP-CART1CART1CART1C -s 10.244.1.7/32 -m comment --comment "shop/cart:http" -j KUBE-MARK-MASQ
-A KUBE-SEP-CART1CART1CART1C -p tcp -m comment --comment "shop/cart:http" -m tcp -j DNAT --to-destination 10.244.1.7:8080
-A KUBE-SEP-CART2CART2CART2C -s 10.244.2.9/32 -m comment --comment "shop/cart:http" -j KUBE-MARK-MASQ
-A KUBE-SEP-CART2CART2CART2C -p tcp -m comment --comment "shop/cart:http" -m tcp -j DNAT --to-destination 10.244.2.9:8080
-A KUBE-SEP-GUARGUARGUARGUAR -s 10.244.2.8/32 -m comment --comment "shop/guarded:http" -j KUBE-MARK-MASQ
-A KUBE-SEP-GUARGUARGUARGUAR -p tcp -m comment --comment "shop/guarded:http" -m tcp -j DNAT --to-destination 10.244.2.8:80
-A KUBE-SERVICES ! -s 10.244.0.0/16 -d 10.96.7.7/32 -p tcp -m comment --comment "shop/cart:http cluster IP" -m tcp --dport 80 -j KUBE-MARK-MASQ
-A KUBE-SERVICES -d 10.96.7.7/32 -p tcp -m comment --comment "shop/cart:http cluster IP" -m tcp --dport 80 -j KUBE-SVC-CARTCARTCARTCART
-A KUBE-SERVICES -d 198.51.100.20/32 -p tcp -m comment --comment "shop/cart:http loadbalancer IP" -m tcp --dport 80 -j KUBE-FW-CARTCARTCARTCART
-A KUBE-SERVICES ! -s 10.244.0.0/16 -d 10.96.7.8/32 -p tcp -m comment --comment "shop/guarded:http cluster IP" -m tcp --dport 80 -j KUBE-MARK-MASQ
-A KUBE-SERVICES -d 10.96.7.8/32 -p tcp -m comment --comment "shop/guarded:http cluster IP" -m tcp --dport 80 -j KUBE-SVC-GUARGUARGUARGUAR
-A KUBE-SERVICES -d 198.51.100.21/32 -p tcp -m comment --comment "shop/guarded:http loadbalancer IP" -m tcp --dport 80 -j KUBE-FW-GUARGUARGUARGUAR
-A KUBE-SERVICES -m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in this chain" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
-A KUBE-SVC-CARTCARTCARTCART -m comment --comment "shop/cart:http" -m statistic --mode random --probability 0.50000000000 -j KUBE-SEP-CART1CART1CART1C
-A KUBE-SVC-CARTCARTCARTCART -m comment --comment "shop/cart:http" -j KUBE-SEP-CART2CART2CART2C
-A KUBE-SVC-GUARGUARGUARGUAR -m comment --comment "shop/guarded:http" -j KUBE-SEP-GUARGUARGUARGUAR
COMMIT
"""  # noqa: E501 - likewise
"""Of about release 1.22: no KUBE-EXT, load balancers by KUBE-FW, unwanted sources marked to be dropped."""
