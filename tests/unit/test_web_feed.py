"""One job's blocks by HTTP: what is asked of whom, what is written, what is handed to libtorrent."""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from content_sync.adapters.libtorrent.lan import Held
from content_sync.adapters.libtorrent.session import lt
from content_sync.adapters.libtorrent.web import Feed, Peer
from content_sync.adapters.ranges import Answer, Range
from content_sync.formats import torrent
from content_sync.formats.hashtree import BLOCK
from content_sync.ports import Job, JobFile
from tests.unit.small_county import identify

PER = 4  # blocks of a piece
DATA = random.Random(4).randbytes(8 * PER * BLOCK - 100)
ME, OTHER = "10.0.0.11", "10.0.0.12"
FILES = [("lesson.json", b"{}"), ("x.bin", DATA)]
PACKAGE = torrent.build("lesson-aaaa", [(path, *identify(data)) for path, data in FILES])


class Handle:
    """A torrent handle that believes whatever piece it is given."""

    def __init__(self) -> None:
        self.added: dict[int, bytes] = {}
        self.whole = [True] + [False] * (PACKAGE.pieces - 1)
        self.queue: list[dict[str, Any]] = []
        self.received = 0
        self.dropped: set[int] = set()
        self.state = lt.torrent_status.downloading

    def status(self, _flags: int) -> Any:
        return SimpleNamespace(
            pieces=list(self.whole), total_payload_download=self.received, state=self.state
        )

    def get_download_queue(self) -> list[dict[str, Any]]:
        return self.queue

    def have_piece(self, piece: int) -> bool:
        return self.whole[piece]

    def add_piece(self, piece: int, data: bytes, _flags: int) -> None:
        if piece in self.dropped:
            return
        assert piece not in self.added
        self.added[piece] = data
        self.whole[piece] = True


class Case:
    """A feed of a job of which `have` blocks of x.bin are here."""

    def __init__(self, folder: Path, have: range = range(0)) -> None:
        self.partial = folder / "partial"
        flags = bytes(index in have for index in range(8 * PER))
        kept = [DATA[at : at + BLOCK] for at in range(0, len(DATA), BLOCK)]
        kept = [data if flag else bytes(len(data)) for data, flag in zip(kept, flags, strict=True)]
        self.partial.write_bytes(b"".join(kept))
        files = (JobFile(folder / "object", None), JobFile(self.partial, flags, identify(DATA)[1]))
        self.handle = Handle()
        self.feed = Feed(Job(PACKAGE, files), self.handle)

    def look(self, now: float = 0.0, peers: tuple[Peer, ...] = (), held: tuple[Held, ...] = ()) -> None:
        self.feed.look(now, ME, peers, held, 0.0)

    def ask(self, most: int = 128 << 10) -> list[Range]:
        found = []
        while (wanted := self.feed.next(most, "http://county", "http://county/seed/")) is not None:
            found.append(wanted)
        return found

    def answer(self, wanted: Range, blocks: int = 1000, error: str = "") -> None:
        came = DATA[wanted.block * BLOCK :][: min(wanted.length, blocks * BLOCK)]
        for at in range(0, len(came), BLOCK):
            assert wanted.sink(wanted.block + at // BLOCK, came[at : at + BLOCK])
        self.feed.take(Answer(wanted, len(came), 1.0, error))


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def blocks(asked: list[Range]) -> list[int]:
    return sorted(b for one in asked for b in range(one.block, one.block - (-one.length // BLOCK)))


def test_each_lacking_block_is_asked_for_once(tmp_path: Path) -> None:
    case = Case(tmp_path, range(3, 9))
    case.look()
    asked = case.ask(32 << 10)
    assert blocks(asked) == [0, 1, 2, *range(9, 32)] and max(one.length for one in asked) <= 32 << 10
    case.look(1.0)
    assert case.ask() == []
    for wanted in asked:
        case.answer(wanted)
    assert case.partial.read_bytes() == DATA
    pieces = {1 + n: DATA[n * PER * BLOCK : (n + 1) * PER * BLOCK] for n in range(8)}
    assert case.handle.added == {n: data for n, data in pieces.items() if n != 2}, "the second was whole"
    case.handle.whole[2] = True
    case.look(2.0)
    assert case.feed.under_way == 0 and case.feed.loose == 0


def test_what_came_of_a_broken_request_is_kept_and_the_rest_asked_again(case: Case) -> None:
    case.look()
    first = case.ask(64 << 10)[0]
    case.answer(first, blocks=2, error="lost")
    start = first.block * BLOCK
    assert case.partial.read_bytes()[start : start + 2 * BLOCK] == DATA[start : start + 2 * BLOCK]
    assert case.handle.added == {}
    again = case.ask()[0]
    assert (again.block, again.length) == (first.block + 2, first.length - 2 * BLOCK)


def test_libtorrent_is_given_no_piece_while_it_still_checks(case: Case) -> None:
    """It would drop it without a word, and the job would never end."""
    case.handle.state = lt.torrent_status.checking_resume_data
    root = PACKAGE.files[1].file.root
    case.partial.write_bytes(DATA)
    case.feed.fill(root, bytes([1]) * (8 * PER))
    case.look()
    assert case.handle.added == {} and case.ask() == []
    case.handle.state = lt.torrent_status.downloading
    case.look(0.5)
    assert sorted(case.handle.added) == list(range(1, 9))


def test_a_piece_without_an_answer_is_handed_over_again(case: Case) -> None:
    case.look(1.0)
    case.partial.write_bytes(DATA)
    case.handle.dropped = {3}
    case.feed.fill(PACKAGE.files[1].file.root, bytes([1]) * (8 * PER))
    assert 3 not in case.handle.added
    case.handle.dropped = set()
    case.look(20.0)
    assert 3 not in case.handle.added, "it may only be slow"
    case.look(40.0)
    assert sorted(case.handle.added) == list(range(1, 9))


def test_a_wrong_block_is_not_written(case: Case) -> None:
    before = case.partial.read_bytes()
    case.look()
    wanted = case.ask()[0]
    assert not wanted.sink(wanted.block, bytes(BLOCK)) and not wanted.sink(wanted.block, b"")
    assert case.partial.read_bytes() == before


def test_nothing_is_written_after_the_end(case: Case) -> None:
    before = case.partial.read_bytes()
    case.look()
    wanted = case.ask()[0]
    case.feed.end()
    case.answer(wanted)
    assert case.partial.read_bytes() == before


def test_what_a_neighbour_has_is_not_asked_from_afar_while_it_gives(case: Case) -> None:
    has = [piece < 5 for piece in range(PACKAGE.pieces)]
    seed = Peer(OTHER, has, shares=False)
    for second in range(20):
        case.handle.received += 1
        case.look(float(second), (seed,))
    assert blocks(case.ask()) == list(range(16, 32))
    for second in range(20, 40):
        case.look(float(second), (seed,))
    assert blocks(case.ask()) == list(range(16))


def test_pieces_fall_to_one_of_two(case: Case, tmp_path: Path) -> None:
    lacks = [False] * PACKAGE.pieces
    case.look(0.0, (Peer(OTHER, lacks, shares=True),))
    mine = blocks(case.ask())
    case.feed.look(0.0, OTHER, (Peer(ME, lacks, shares=True),), (), 0.0)
    theirs = blocks(case.ask())
    assert sorted(mine + theirs) == list(range(32)) and mine and theirs


def test_blocks_of_a_neighbour_by_http_are_asked_of_it_alone(case: Case) -> None:
    class Lan:
        def room(self, url: str) -> bool:
            return url == "http://near"

    held = Held(OTHER, "http://near", (b"\0", bytes(index % 2 == 0 or index < 6 for index in range(32))))
    case.look(0.0, (), (held,))
    near = []
    while (wanted := case.feed.next_near(Lan())) is not None:  # type: ignore[arg-type]
        near.append(wanted)
    assert blocks(near) == [*range(7), *range(8, 32, 2)]
    assert near[0].length == 7 * BLOCK and near[0].url == f"http://near/blocks/{identify(DATA)[0].root}"
    assert set(blocks(case.ask())) <= set(range(7, 32, 2))


def test_what_others_write_is_asked_of_nobody(case: Case) -> None:
    case.look()
    case.partial.write_bytes(DATA[: 5 * BLOCK].ljust(len(DATA), b"\0"))
    case.feed.fill(identify(DATA)[0].root, bytes(index < 5 for index in range(32)))
    assert case.handle.added == {1: DATA[: 4 * BLOCK]}
    assert blocks(case.ask()) == list(range(5, 32))


def test_a_piece_on_its_way_from_a_peer_is_left_to_it(case: Case) -> None:
    case.handle.queue = [{"piece_index": 3, "blocks": [{"state": 1}] * PER}]
    case.look()
    assert blocks(case.ask()) == [*range(8), *range(12, 32)]
