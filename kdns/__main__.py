"""``python -m kdns`` is ``kdns``."""

import sys

from kdns.cli import main

sys.exit(main())
