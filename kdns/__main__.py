"""``kdns`` and ``python -m kdns``: signals first, then everything else."""

import sys

from kdns import early


def main() -> int:
    """Run the command line; the exit status."""
    early.install()
    from kdns import cli  # noqa: PLC0415 - it takes its time

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
