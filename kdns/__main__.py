"""``kdns`` and ``python -m kdns``: signals first, then everything else."""

import sys

from kdns.cli import early


def main() -> int:
    """Run the command line; the exit status."""
    early.install()
    from kdns.cli import main as cli  # noqa: PLC0415 - it takes its time

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
