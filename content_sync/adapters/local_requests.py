"""What web leaves in `incoming/` for sync to make local lessons of (formats.md 15), for both of them."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from content_sync.formats.canonical import is_hex


def upload_path(folder: Path, upload: str) -> Path:
    """Where web leaves an upload that is whole."""
    return folder / f"{upload}.data"


def requests(incoming: Path) -> list[Path]:
    """The requests that web has left, the first first."""
    found = []
    with suppress(OSError), os.scandir(incoming) as entries:
        for entry in entries:
            name = entry.name
            if name.startswith("local-") and name.endswith(".json") and is_hex(name[6:-5], 16):
                with suppress(OSError):
                    found.append((entry.stat().st_mtime_ns, name))
    return [incoming / name for _, name in sorted(found)]
