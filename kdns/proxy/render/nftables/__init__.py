"""Rule sets as elements and chains of nftables. Pure.

- `command`  a verb and an object
- `elements` keys and values, as octets and as text
- `fixed`    sets, maps and chains that do not depend on Services
- `lines`    commands as lines for nft
- `script`   a rule set as one script for ``nft -f``
- `service`  one service port as elements and chains
- `table`    the table as last written, and the commands to what it should be
- `text`     names, addresses and comments in nft's syntax
"""
