"""One job's blocks from afar by HTTP, and its division among neighbours.

Not libtorrent's own web seed: from a package of several files it takes bytes from the wrong place, and it
asks for the same pieces as a neighbour's (decisions 0012, 0017). Here each block is checked against the
file's leaf list and written the moment it comes, by the thread that received it. A piece whose blocks are
all here goes to libtorrent (`add_piece`), which hands it on to the neighbours.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from msgspec import Struct

from content_sync.adapters.libtorrent.lan import MOST_BYTES, Held, Lan
from content_sync.adapters.libtorrent.session import lt
from content_sync.adapters.ranges import Answer, Range
from content_sync.core.sharing import SILENT_SECONDS, Turns
from content_sync.formats.hashtree import BLOCK, block_count, block_length, block_ok
from content_sync.ports import Job

_log = logging.getLogger(__name__)
#: Seconds without a byte from neighbours who have what lacks, after which it is asked for from afar.
NEAR_PATIENCE = 8.0
#: Pieces of slow neighbours that are stepped in for at once.
_STEP_IN = 2
_QUERY_PIECES = 1 << 3  # torrent_handle::query_pieces
#: Seconds after which a piece that was handed over without a word from libtorrent is handed over again.
_HAND_AGAIN = 30.0
_CHECKING = (lt.torrent_status.checking_files, lt.torrent_status.checking_resume_data)


class Peer(Struct, frozen=True):
    """A neighbour of this job: its address, which pieces it has, and whether it fetches as we do."""

    name: str
    has: Sequence[bool]
    shares: bool


class Feed:
    """The blocks of one job. Called from one thread, but for `_Sink`."""

    def __init__(self, job: Job, handle: Any) -> None:
        self._job, self._handle = job, handle
        torrent = job.torrent
        self._per = torrent.piece_length // BLOCK
        self._flags = [
            None if file.have is None or not file.wanted else bytearray(file.have) for file in job.files
        ]
        self._lock = threading.Lock()
        self._ended = False
        self.error = ""
        self._asked: set[tuple[int, int]] = set()  # (file, block)
        self._ever: set[int] = set()  # pieces that were asked for from here
        self._handed: dict[int, float] = {}  # pieces that libtorrent is looking at, since when
        self._looked = 0.0
        self._ready = False  # libtorrent takes pieces: it drops those that come while it still checks
        self._file_of: dict[int, int] = {}
        self._open: set[int] = set()  # pieces that lack
        for number, entry in enumerate(torrent.files):
            flags = self._flags[number]
            for index in range(-(-entry.file.length // torrent.piece_length)):
                self._file_of[entry.first_piece + index] = number
                if flags is not None and not all(flags[index * self._per : (index + 1) * self._per]):
                    self._open.add(entry.first_piece + index)
        self._turns = Turns(torrent.infohash, torrent.pieces)
        self._order: deque[int] = deque()
        self._near_order: deque[tuple[Held, int, int, int]] = deque()  # who, file, block, count
        self._near_blocks: set[tuple[int, int]] = set()
        self._lt_bytes, self._near_moved, self._idle = 0, 0.0, 0.0
        self._loose = 0
        self.under_way = 0
        self.came = 0

    # What comes

    def put(self, number: int, block: int, data: bytes) -> bool:
        """A block came: check it, write it. Whether it is the right one."""
        entry, file = self._job.torrent.files[number], self._job.files[number]
        if not block_ok(entry.file, file.leaves, block, data):
            return False
        with self._lock:
            flags = self._flags[number]
            if self._ended or flags is None or flags[block]:
                return True
            try:
                descriptor = os.open(file.path, os.O_WRONLY)
                try:
                    os.pwrite(descriptor, data, block * BLOCK)
                finally:
                    os.close(descriptor)
            except OSError as error:
                self.error = self.error or f"{file.path.name}: {error.strerror}"
                return True
            flags[block] = 1
            self._loose += len(data)
            self.came += len(data)
        return True

    def end(self) -> None:
        """When this returns, nothing is written any more."""
        with self._lock:
            self._ended = True

    def fill(self, root: str, have: bytes) -> None:
        """Blocks that someone else has verified and written."""
        for number, entry in enumerate(self._job.torrent.files):
            flags = self._flags[number]
            if entry.file.root != root or flags is None:
                continue
            pieces = set()
            with self._lock:
                for block in range(len(flags)):
                    if have[block] and not flags[block]:
                        flags[block] = 1
                        self._loose += block_length(entry.file.length, block)
                        pieces.add(entry.first_piece + block // self._per)
            for piece in pieces:
                self._hand_over(piece)

    def flags(self, whole: Sequence[bool]) -> list[bytes | None]:
        """Which blocks of each file are here, `whole` being the pieces that libtorrent has verified."""
        self._note_whole(whole)
        return [None if flags is None else bytes(flags) for flags in self._flags]

    @property
    def loose(self) -> int:
        """Bytes that are here and that libtorrent does not know of yet."""
        return self._loose

    # What lacks

    def look(self, now: float, me: str, peers: Collection[Peer], held: Sequence[Held], wave: float) -> None:
        """Learn what has come and who is near, and divide what lacks. `peers` are neighbours by BitTorrent,
        `held` by HTTP. `wave`: seconds that a request takes."""
        status = self._handle.status(_QUERY_PIECES)
        self._note_whole(status.pieces)
        self._looked = now
        if status.state not in _CHECKING:
            self.ready()
        for piece in [piece for piece, since in self._handed.items() if now - since > _HAND_AGAIN]:
            del self._handed[piece]
            self._hand_over(piece)
        self._order.clear()
        self._near_order.clear()
        if not self._open:
            return
        patience = max(SILENT_SECONDS, 3 * wave)
        near = {piece for peer in peers for piece in self._open if peer.has[piece]}
        if not near or status.total_payload_download != self._lt_bytes:
            self._lt_bytes, self._near_moved = status.total_payload_download, now
        stuck = now - self._near_moved > NEAR_PATIENCE
        if stuck:
            near = set()  # they have it and do not give it
        begun = self._begun()
        free = {piece for piece in self._open - near if self._free(piece, begun, stuck)}
        self._plan_near(free, held)
        others = {peer.name: peer.has for peer in peers if peer.shares and peer.name != me}
        for one in held:
            if one.fetches and one.name != me:
                others.setdefault(one.name, self._pieces_of(one))
        own = self._turns.look(now, me, self._open, self._ever, others, patience)
        own = [piece for piece in own if piece in free]
        if own or self.under_way:
            self._idle = now
        elif now - self._idle > patience:
            own = [piece for piece in self._turns.spare(me, self._open) if piece in free][:_STEP_IN]
        self._order.extend(own)

    def _pieces_of(self, held: Held) -> list[bool]:
        has = [False] * self._job.torrent.pieces
        for piece in self._open:
            blocks = self._blocks(piece)
            has[piece] = all(held.files[self._file_of[piece]][blocks.start : blocks.stop])
        return has

    def _plan_near(self, free: Collection[int], held: Sequence[Held]) -> None:
        """What to ask neighbours for by HTTP: runs of blocks, each of one who has them."""
        self._near_blocks = set()
        run: tuple[Held, int, int, int] | None = None
        for piece in sorted(free) if held else ():
            number = self._file_of[piece]
            flags = self._flags[number]
            assert flags is not None
            having = [one for one in held if number < len(one.files)]
            for block in self._blocks(piece):
                if flags[block]:
                    continue
                who = next(
                    (one for one in having[piece % len(having) :] + having if one.files[number][block]), None
                )
                if who is None:
                    continue
                self._near_blocks.add((number, block))
                if (number, block) in self._asked:
                    continue
                next_one = run is not None and run[:2] == (who, number) and run[2] + run[3] == block
                if run is not None and next_one and run[3] * BLOCK < MOST_BYTES:
                    run = (who, number, run[2], run[3] + 1)
                    continue
                if run is not None:
                    self._near_order.append(run)
                run = (who, number, block, 1)
        if run is not None:
            self._near_order.append(run)

    def _begun(self) -> dict[int, list[int]]:
        return {
            piece["piece_index"]: [int(block["state"]) for block in piece["blocks"]]
            for piece in self._handle.get_download_queue()
        }

    def _free(self, piece: int, begun: Mapping[int, list[int]], stuck: bool) -> bool:
        """Whether a piece may be asked for by HTTP: none of its blocks is on its way from a peer.

        States: 0 none, 1 requested, 2 being written, 3 here. A block that a peer has brought need not be on
        the disk yet: one that is counts.
        """
        states = begun.get(piece, ())
        if 2 in states or (1 in states and not stuck):
            return False
        if 3 in states:
            number = self._file_of[piece]
            for block in self._blocks(piece):
                self._check(number, block)
            self._hand_over(piece)
        return piece not in self._handed

    def _blocks(self, piece: int) -> range:
        entry = self._job.torrent.files[self._file_of[piece]]
        first = (piece - entry.first_piece) * self._per
        return range(first, min(first + self._per, block_count(entry.file.length)))

    def _check(self, number: int, block: int) -> None:
        """Set a block's flag by what the disk says."""
        entry, file, flags = self._job.torrent.files[number], self._job.files[number], self._flags[number]
        assert flags is not None
        try:
            with open(file.path, "rb", buffering=0) as stream:
                data = os.pread(stream.fileno(), block_length(entry.file.length, block), block * BLOCK)
        except OSError as error:
            self.error = self.error or f"{file.path.name}: {error.strerror}"
            return
        flags[block] = int(block_ok(entry.file, file.leaves, block, data))

    def _note_whole(self, whole: Sequence[bool]) -> None:
        for piece in [piece for piece in self._open if whole[piece]]:
            self._close(piece)

    def _close(self, piece: int) -> None:
        self._open.discard(piece)
        flags = self._flags[self._file_of[piece]]
        assert flags is not None
        blocks = self._blocks(piece)
        with self._lock:
            flags[blocks.start : blocks.stop] = b"\1" * len(blocks)
            if piece in self._handed:
                entry = self._job.torrent.files[self._file_of[piece]]
                self._loose -= sum(block_length(entry.file.length, block) for block in blocks)
                self._loose = max(0, self._loose)
        self._handed.pop(piece, None)

    # What is asked

    def next(self, most: int, source: str, base: str) -> Range | None:
        """The next request, of at most `most` bytes; None when there is nothing to ask for now. `base`: the
        package's folder at the source, with a closing slash."""
        while self._order:
            piece = self._order[0]
            number, lacking = self._file_of[piece], self._lacking(piece)
            if not lacking:
                self._order.popleft()
                continue
            first = end = lacking[0]
            while lacking and lacking[0] == end and (end - first) * BLOCK < most:
                self._ever.add(piece)
                for block in lacking:
                    if block != end or (end - first) * BLOCK >= most:
                        break
                    end += 1
                # On into the next piece: a request costs some 900 bytes beside its blocks.
                if end != self._blocks(piece).stop or len(self._order) < 2 or self._order[1] != piece + 1:
                    break
                if self._file_of[piece + 1] != number:
                    break
                self._order.popleft()
                piece += 1
                lacking = self._lacking(piece)
            entry = self._job.torrent.files[number]
            return self._range(number, first, end - first, source, base + quote(entry.path))
        return None

    def _lacking(self, piece: int) -> list[int]:
        """A piece's blocks that are neither here nor asked for."""
        number = self._file_of[piece]
        flags = self._flags[number]
        assert flags is not None
        if piece in self._handed:
            return []
        return [
            block for block in self._blocks(piece) if not flags[block] and (number, block) not in self._asked
        ]

    def next_near(self, lan: Lan) -> Range | None:
        """The next request to a neighbour who may be asked for more."""
        for _ in range(len(self._near_order)):
            held, number, first, count = self._near_order.popleft()
            if not lan.room(held.url):
                self._near_order.append((held, number, first, count))
                continue
            root = self._job.torrent.files[number].file.root
            return self._range(number, first, count, held.url, f"{held.url}/blocks/{root}")
        return None

    def _range(self, number: int, first: int, count: int, source: str, url: str) -> Range:
        self._asked.update((number, block) for block in range(first, first + count))
        self.under_way += 1
        length = min(count * BLOCK, self._job.torrent.files[number].file.length - first * BLOCK)
        return Range(self._job.infohash, number, first, length, source, url, _Sink(self, number))

    def take(self, answer: Answer) -> None:
        """A request of `next` ended: its piece may be whole."""
        wanted = answer.wanted
        blocks = range(wanted.block, wanted.block + block_count(wanted.length))
        self.under_way -= 1
        self._asked.difference_update((wanted.file, block) for block in blocks)
        entry = self._job.torrent.files[wanted.file]
        for index in range(blocks.start // self._per, (blocks.stop - 1) // self._per + 1):
            piece = entry.first_piece + index
            self._hand_over(piece)
            if answer.error and piece in self._ever and piece in self._open and piece not in self._order:
                self._order.appendleft(piece)

    def mine(self, wanted: Range) -> bool:
        """Whether a request is of this feed, and not of an ended job of the same package."""
        return isinstance(wanted.sink, _Sink) and wanted.sink.feed is self

    def ready(self) -> None:
        """libtorrent has checked what it was told, and takes pieces."""
        if not self._ready:
            self._ready = True
            for piece in sorted(self._open):
                self._hand_over(piece)

    def _hand_over(self, piece: int) -> None:
        if not self._ready:
            return
        number, blocks = self._file_of[piece], self._blocks(piece)
        flags = self._flags[number]
        whole = flags is not None and all(flags[blocks.start : blocks.stop])
        if not whole or piece in self._handed or piece not in self._open:
            return
        entry, file = self._job.torrent.files[number], self._job.files[number]
        size = min(len(blocks) * BLOCK, entry.file.length - blocks.start * BLOCK)
        try:
            with open(file.path, "rb", buffering=0) as stream:
                data = os.pread(stream.fileno(), size, blocks.start * BLOCK)
        except OSError as error:
            self.error = self.error or f"{file.path.name}: {error.strerror}"
            return
        if not self._handle.have_piece(piece):
            self._handed[piece] = self._looked
            self._handle.add_piece(piece, data, 0)

    def bad(self, piece: int) -> None:
        """libtorrent found a piece wrong: the disk says which of its blocks are right."""
        self._handed.pop(piece, None)
        if piece in self._open:
            for block in self._blocks(piece):
                self._check(self._file_of[piece], block)

    @property
    def silent(self) -> set[str]:
        """Neighbours that are stepped in for."""
        return self._turns.silent


class _Sink:
    """Hands one file's blocks to its feed."""

    def __init__(self, feed: Feed, number: int) -> None:
        self.feed, self._number = feed, number

    def __call__(self, block: int, data: bytes) -> bool:
        return self.feed.put(self._number, block, data)
