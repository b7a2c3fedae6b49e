"""The web seed as a source of one job: what it hands to libtorrent."""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from content_sync.adapters.libtorrent.web import WebFeed
from content_sync.adapters.ranges import Range
from content_sync.formats import torrent
from content_sync.formats.hashtree import BLOCK
from content_sync.ports import Job, JobFile
from tests.unit.small_county import identify

DATA = random.Random(4).randbytes(4 * BLOCK)  # one piece


class Asked:
    """adapters.ranges.Ranges: what was asked for."""

    def __init__(self) -> None:
        self.asked: list[Range] = []

    def ask(self, wanted: Range) -> None:
        self.asked.append(wanted)


class Handle:
    """A torrent handle of which blocks 1 and 2 of the only lacking piece are here."""

    def __init__(self) -> None:
        self.added: list[bytes] = []

    def status(self, _flags: int) -> Any:
        return SimpleNamespace(pieces=[True, False])

    def get_download_queue(self) -> list[dict[str, Any]]:
        return [{"piece_index": 1, "blocks": [{"state": state} for state in (0, 3, 3, 0)]}]

    def piece_availability(self) -> list[int]:
        return [0, 0]

    def have_piece(self, _piece: int) -> bool:
        return False

    def add_piece(self, piece: int, data: bytes, _flags: int) -> None:
        assert piece == 1
        self.added.append(data)


def test_a_piece_of_which_a_range_was_lost_is_handed_over_only_when_it_has_come(tmp_path: Path) -> None:
    """Else libtorrent would throw the whole piece away, the blocks that were here too."""
    files = [("lesson.json", b"{}"), ("x.bin", DATA)]
    package = torrent.build("lesson-aaaa", [(path, *identify(data)) for path, data in files])
    partial = tmp_path / "partial"
    partial.write_bytes(bytes(BLOCK) + DATA[BLOCK : 3 * BLOCK] + bytes(BLOCK))
    job = Job(package, (JobFile(tmp_path / "object", None), JobFile(partial, bytes([0, 1, 1, 0]))))
    handle, ranges = Handle(), Asked()
    feed = WebFeed(job, handle, ["http://one", "http://two"], ranges, 0)  # type: ignore[arg-type]
    feed.ask(0.0)
    first, last = sorted(ranges.asked, key=lambda wanted: wanted.first)
    assert (first.first, last.first) == (0, 3 * BLOCK) and feed.under_way == 2
    feed.take(first, None, 1.0)
    feed.take(last, DATA[3 * BLOCK :], 1.0)
    assert handle.added == []
    feed.ask(2.0)
    again = ranges.asked[-1]
    assert (again.first, again.length) == (0, BLOCK) and again.url != first.url
    feed.take(again, DATA[:BLOCK], 3.0)
    assert handle.added == [DATA] and feed.under_way == 0
    feed.take(again, DATA[:BLOCK], 4.0)
    assert feed.under_way == 0 and len(handle.added) == 1
