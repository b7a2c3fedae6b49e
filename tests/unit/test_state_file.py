"""state.db on a disk without a free byte, and one that an older program left."""

from __future__ import annotations

import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from appliance.firstboot.wiring import open_state
from content_sync.adapters.sqlite import StateReader
from content_sync.adapters.sqlite_writer import State
from content_sync.errors import DiskFullError, SetupError


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


def test_a_state_of_an_older_program_is_built_again(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with closing(sqlite3.connect(path)) as older:
        older.execute("CREATE TABLE lesson (id TEXT)")
        older.execute("PRAGMA user_version = 1")
    with pytest.raises(SetupError):
        StateReader(path).lessons()
    state = open_state(path)
    assert state.lessons() == [] == StateReader(path).lessons()
    state.close()
    assert list(tmp_path.glob("state.db.damaged-*"))
