"""`lessonbox`: the box's command."""

from __future__ import annotations

import sys

from content_sync.terminal import run


def main() -> int:
    """Entry point of the console script; an exit code."""
    from appliance.cli import cli

    return run(cli, "lessonbox")


if __name__ == "__main__":
    sys.exit(main())
