"""Drop folders as anybody may leave them: links, pipes, loops, names that are no text."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from content_sync.adapters.drops import Folders


def test_only_plain_files_are_seen(tmp_path: Path) -> None:
    drop = tmp_path / "drop"
    (drop / "a").mkdir(parents=True)
    (drop / "a" / "file").write_bytes(b"x")
    (drop / "a" / "loop").symlink_to(drop)
    (drop / "link").symlink_to(tmp_path / "secret")
    (tmp_path / "secret").write_bytes(b"secret")
    (drop / "empty").touch()
    os.mkfifo(drop / "pipe")
    Path(os.fsdecode(bytes(drop) + b"/\xff\xfe")).write_bytes(b"no text")
    assert [Path(found.path).name for found in Folders([drop]).scan()] == ["file"]
    assert list(Folders([drop / "a" / "file"]).scan()) and not list(Folders([drop / "pipe"]).scan())
    assert list(Folders([Path("/no\0name"), tmp_path / "absent"]).scan()) == []


def test_what_became_a_pipe_or_link_after_the_scan_is_silence(tmp_path: Path) -> None:
    """Opening a pipe to read would wait for a writer for ever."""
    drops = Folders([tmp_path])
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "target").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    found: list[object] = []

    def read() -> None:
        for name in ("pipe", "link"):
            path = str(tmp_path / name)
            found.extend((list(drops.portions(path)), drops.block(path, 0), drops.small(path, 100)))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive() and found == [[], None, None] * 2
