"""`county`: the county server's command."""

from __future__ import annotations

import sys

from content_sync.terminal import run


def main() -> int:
    """Entry point of the console script; an exit code."""
    from county.cli import cli

    return run(cli, "county")


if __name__ == "__main__":
    sys.exit(main())
