"""`lessonbox`: the box's command."""

from __future__ import annotations

import sys

from content_sync import loading


def main() -> int:
    """Entry point of the console script; an exit code."""
    loading.begin()
    from appliance.cli import cli
    from content_sync.terminal import run

    return run(cli, "lessonbox")


if __name__ == "__main__":
    sys.exit(main())
