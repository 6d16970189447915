"""Regular expressions as Corefiles write them: Go's syntax (RE2), matched in a time that no name can make long.

Python's ``re`` tries all ways to match one after the other: ``(.*)-(.*)-(.*)x`` and a name made for it would hold
the server for seconds. So the syntax is read here, and matched with a bound: the size of the pattern times the
length of the text. Where ``re`` is sure to be quick it is used.

`syntax` reads the text, `matching` has the ways to match, and `compile_pattern` is what plugins use.
"""

from kdns.dns.lang.patterns.matching import LONGEST, Match, Pattern, compile_pattern

__all__ = ["LONGEST", "Match", "Pattern", "compile_pattern"]
