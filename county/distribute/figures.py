"""Files of figures in work/, which one process writes now and then for others to read."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from content_sync.adapters.files import read_capped, storage_errors
from content_sync.errors import LessonBoxError

_MAX_FILE = 64 << 20


def write_figures(path: Path, figures: dict[str, Any]) -> None:
    """Replace the file of figures. Not made durable: after a crash they are stale anyway. Raises
    StorageError.
    """
    with storage_errors(path.name):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.new")
        temporary.write_text(json.dumps(figures), "utf-8")
        os.replace(temporary, path)


def read_figures(path: Path) -> dict[str, Any]:
    """What was written last; nothing when it is absent or damaged."""
    try:
        found = json.loads(read_capped(path, _MAX_FILE))
    except (LessonBoxError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
