"""Reading small files of whose length nobody is sure."""

from __future__ import annotations

from pathlib import Path

import pytest

from content_sync.adapters.files import read_capped
from content_sync.errors import NotFoundError, TooBigError


def test_no_more_memory_is_taken_than_the_file_has_bytes(tmp_path: Path) -> None:
    """A cap may be terabytes: on a box with 1 GB one of 4 GiB let sync end at each start."""
    file = tmp_path / "leaves"
    for data in (b"", b"x", bytes(range(256)) * 1024):
        file.write_bytes(data)
        assert read_capped(file, 1 << 50) == data


def test_what_is_longer_than_its_cap_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "big"
    file.write_bytes(bytes(200_000))
    assert len(read_capped(file, 200_000)) == 200_000
    for cap in (0, 10, 70_000, 199_999):
        with pytest.raises(TooBigError):
            read_capped(file, cap)
    with pytest.raises(NotFoundError):
        read_capped(tmp_path / "none", 10)


def test_a_file_that_does_not_say_its_length_is_read_whole() -> None:
    said = read_capped(Path("/proc/self/mountinfo"), 1 << 20)
    assert said == Path("/proc/self/mountinfo").read_bytes()
    with pytest.raises(TooBigError):
        read_capped(Path("/proc/self/mountinfo"), 10)
