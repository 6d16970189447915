"""A master file for the tests of ``file`` and ``transfer``."""

ZONE = """\
$TTL 1h
$ORIGIN example.org.
@       3600 IN SOA ns1 hostmaster (
            7 ; serial
            7200 3600 2w 300 )
        IN NS ns1
        IN MX 10 mail
ns1     IN A 192.0.2.53
MAIL    A 192.0.2.25
        AAAA 2001:db8::25
www 300 CNAME web
web     A 192.0.2.80
txt     TXT "a b; c" c\\"d "\\065"
out     CNAME www.other.test.
*.wild  A 192.0.2.99
here.wild TXT x
a.b.deep A 192.0.2.1
sub     NS ns.sub
        NS ns.elsewhere.test.
sub     DS 1 5 1 ( 0123456789ABCDEF0123
            456789ABCDEF01234567 )
ns.sub  A 192.0.2.54
into    CNAME host.sub
_http._tcp SRV 0 1 80 web
old     DNAME new
x.new   IN 1m A 192.0.2.7
caa     CAA 0 issue "ca.test"
naptr   NAPTR 10 20 "S" "SIP+D2U" "" _sip._udp
odd     TYPE65280 \\# 3 ab cdef
generic A \\# 4 c0000208
loop1   CNAME loop2
loop2   CNAME loop1
twice   A 192.0.2.1
TWICE   A 192.0.2.1
stray.test. A 192.0.2.1
"""
SERVERS = "-- example.org. 3600 NS ns1.example.org."
SOA = "example.org. {} SOA ns1.example.org. hostmaster.example.org. 7 7200 3600 1209600 300"
DENIAL = f"-- {SOA.format(300)}"
