"""A disk that is really full (a small tmpfs): what was answered is there, what could not be kept says so."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.usage import database
from appliance.usage.recorder import RESERVE_BYTES, Recorder
from content_sync.errors import DiskFullError
from tests.usage import HandClock, event

pytestmark = [pytest.mark.root, pytest.mark.needs("mount", "umount")]


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 12 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "none", str(folder)], check=True, timeout=30)
    yield folder
    subprocess.run(["umount", str(folder)], check=True, timeout=30)


def fill(folder: Path) -> None:
    """Take all space that is left, as a runaway download would."""
    with pytest.raises(OSError), (folder / "filler").open("ab", buffering=0) as stream:
        while True:
            stream.write(b"x" * 4096)


def count(path: Path) -> int:
    reader = database.open_reader(path)
    assert reader is not None
    found = reader.execute("SELECT count(*) FROM event").fetchone()[0]
    reader.close()
    return int(found)


def test_the_reserve_takes_usage_when_the_disk_is_full(small: Path) -> None:
    recorder = Recorder(small / "usage.db", HandClock())
    assert (small / "usage.reserve").stat().st_blocks * 512 >= RESERVE_BYTES
    fill(small)
    for number in range(40):
        recorder.record([event("ping", f"v{number}-{part}") for part in range(50)])
    assert not (small / "usage.reserve").exists()
    assert count(small / "usage.db") == 2000
    recorder.close()


def test_beyond_the_reserve_it_is_said_and_what_was_answered_stays(small: Path) -> None:
    recorder = Recorder(small / "usage.db", HandClock())
    fill(small)
    answered = 0
    with pytest.raises(DiskFullError):
        while True:
            recorder.record([event("ping", "v" * 190 + str(part)) for part in range(500)])
            answered += 500
    assert answered > 5000
    recorder.close()
    (small / "filler").unlink()
    again = Recorder(small / "usage.db", HandClock())
    again.record([event("open")])
    again.close()
    assert again.moved_aside is None
    assert count(small / "usage.db") == answered + 1


def test_a_box_that_starts_on_a_full_disk_still_records(small: Path) -> None:
    Recorder(small / "usage.db", HandClock()).close()
    fill(small)
    recorder = Recorder(small / "usage.db", HandClock())
    recorder.record([event("open")])
    recorder.close()
    assert count(small / "usage.db") == 1
