"""state.db on a disk without a free byte: read as it is, and written to no more, by its right name."""

from __future__ import annotations

import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from content_sync.adapters.sqlite import StateReader
from content_sync.adapters.sqlite_writer import State
from content_sync.errors import DiskFullError


@pytest.mark.root
def test_a_full_disk_hides_nothing(tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(tmp_path)], check=True)
    try:
        path, filling = tmp_path / "state.db", tmp_path / "filling"
        with closing(State(path)) as state:
            state.set_status({"space": {"free": 7}})
        with pytest.raises(OSError, match="No space"), filling.open("wb", buffering=0) as stream:
            while True:
                stream.write(bytes(4096))
        with closing(StateReader(path)) as reader:
            assert reader.status("space") == {"free": 7}
            with pytest.raises(DiskFullError):
                State(path)
            filling.unlink()
            with closing(State(path)) as state:
                state.set_status({"space": {"free": 8}})
                assert reader.status("space") == {"free": 8}, "not what was put aside"
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)
