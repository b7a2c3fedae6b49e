"""The county's web seed as a source of one job: blocks that no peer brings are fetched by HTTP and handed
to libtorrent.

Not libtorrent's own web seed: from a package of several files it merges requests over the padding between
two files and takes the second file's bytes from the wrong place (libtorrent 2.1.1; decision 0012).
`add_piece` checks the piece's hash, writes it, and tells the neighbours, as for a piece that came from a
peer.
"""

from __future__ import annotations

import os
import random
from typing import Any
from urllib.parse import quote

from content_sync.adapters.ranges import Range, Ranges
from content_sync.formats.hashtree import BLOCK, block_count, block_length
from content_sync.formats.torrent import TorrentFile
from content_sync.ports import Job

#: Ranges of one job under way, and the bytes that one range may have.
PIPELINE, MOST = 4, 128 << 10
_REST = 10.0  # seconds after an address failed


class WebFeed:
    """Feeds one job. `ask` while peers don't help, `take` for each answer."""

    def __init__(self, job: Job, handle: Any, urls: list[str], ranges: Ranges, rate: int) -> None:
        self._job, self._handle, self._ranges, self.rate = job, handle, ranges, rate
        self._urls = [f"{url}/seed/{job.infohash}/{quote(job.torrent.name)}/" for url in urls]
        self._rest_until = [0.0] * len(urls)
        self._asked: set[tuple[int, int]] = set()  # (file, block)
        self._handed: set[int] = set()  # pieces that libtorrent is looking at
        self._came: dict[tuple[int, int], bytes] = {}
        self._lost: set[tuple[int, int]] = set()  # asked for, and could not be had: to be asked for again
        self._per = job.torrent.piece_length // BLOCK
        self._next_at = 0.0
        self.under_way = 0

    def _url(self, now: float) -> int | None:
        return next((i for i, until in enumerate(self._rest_until) if until <= now), None)

    def ask(self, now: float) -> None:
        """Ask for more blocks, as many as the pipeline and the rate allow."""
        while self.under_way < PIPELINE and now >= self._next_at:
            url = self._url(now)
            spans = [] if url is None else self._choose()
            if url is None or not spans:
                return
            for number, first, count in spans:
                entry = self._job.torrent.files[number]
                start = first * BLOCK
                length = min(count * BLOCK, entry.file.length - start)
                blocks = {(number, block) for block in range(first, first + count)}
                self._asked |= blocks
                self._lost -= blocks
                self.under_way += 1
                self._ranges.ask(
                    Range(
                        self._job.infohash,
                        (number, first),
                        self._urls[url] + quote(entry.path),
                        start,
                        length,
                    )
                )
                if self.rate:
                    self._next_at = max(self._next_at, now) + length / self.rate

    def _choose(self) -> list[tuple[int, int, int]]:
        """Runs of blocks to ask for: (file, first block, count), from one place in one file.

        The rarest pieces first, among them a random one: two boxes behind one line then ask for different
        pieces.
        """
        whole = self._handle.status(_QUERY_PIECES).pieces
        begun = {
            piece["piece_index"]: [int(block["state"]) for block in piece["blocks"]]
            for piece in self._handle.get_download_queue()
        }
        availability = self._handle.piece_availability()
        lacking: list[tuple[int, int, list[int]]] = []
        for number, entry in enumerate(self._job.torrent.files):
            if self._job.files[number].have is None:
                continue
            for index in range(-(-entry.file.length // self._job.torrent.piece_length)):
                found = self._lacking(number, entry, index, whole, begun)
                if found:
                    lacking.append((number, index, found))
        if not lacking:
            return []

        def rarity(place: tuple[int, int, list[int]]) -> int:
            piece = self._job.torrent.files[place[0]].first_piece + place[1]
            return int(availability[piece]) if piece < len(availability) else 0

        least = min(map(rarity, lacking))
        at = random.choice([i for i, place in enumerate(lacking) if rarity(place) == least])
        number, index, _ = lacking[at]
        blocks: list[int] = []
        for step, place in enumerate(lacking[at:]):
            if place[:2] != (number, index + step) or rarity(place) != least:
                break
            blocks += place[2]
            if len(blocks) * BLOCK >= MOST:
                break
        return [(number, first, count) for first, count in _runs(blocks)]

    def _lacking(
        self, number: int, entry: TorrentFile, index: int, whole: list[bool], begun: dict[int, list[int]]
    ) -> list[int]:
        piece = entry.first_piece + index
        states = begun.get(piece)
        # States: 0 none, 1 requested, 2 being written, 3 here. What a peer was asked for is left to it.
        if (
            whole[piece]
            or piece in self._handed
            or (states is not None and any(state in (1, 2) for state in states))
        ):
            return []
        first = index * self._per
        blocks = range(first, min(first + self._per, block_count(entry.file.length)))
        return [
            block
            for block in blocks
            if (number, block) not in self._asked and (states is None or states[block - first] == 0)
        ]

    def take(self, wanted: Range, data: bytes | None, now: float) -> None:
        """An answer: whole pieces go to libtorrent. After a failure its address rests."""
        number, first = wanted.key
        if wanted.key not in self._asked:
            return  # of a job of the same package that has ended
        self.under_way -= 1
        entry = self._job.torrent.files[number]
        count = block_count(wanted.length)
        if data is None:
            blocks = {(number, block) for block in range(first, first + count)}
            self._asked -= blocks
            self._lost |= blocks
            for index, url in enumerate(self._urls):
                if wanted.url.startswith(url):
                    self._rest_until[index] = now + _REST
            return
        for block in range(first, first + count):
            at = (block - first) * BLOCK
            self._came[number, block] = data[at : at + block_length(entry.file.length, block)]
        for index in range(first // self._per, (first + count - 1) // self._per + 1):
            self._hand_over(number, entry, index)

    def _hand_over(self, number: int, entry: TorrentFile, index: int) -> None:
        start = index * self._per
        blocks = range(start, min(start + self._per, block_count(entry.file.length)))
        places = {(number, block) for block in blocks}
        if places & self._lost or places & self._asked - self._came.keys():
            return
        piece = bytearray()
        with open(self._job.files[number].path, "rb", buffering=0) as stream:
            for block in blocks:
                data = self._came.pop((number, block), None)
                if data is None:  # it was here before
                    length = block_length(entry.file.length, block)
                    data = os.pread(stream.fileno(), length, block * BLOCK).ljust(length, b"\0")
                piece += data
        self._asked.difference_update((number, block) for block in blocks)
        if not self._handle.have_piece(entry.first_piece + index):
            self._handed.add(entry.first_piece + index)
            self._handle.add_piece(entry.first_piece + index, bytes(piece), 0)

    def bad(self, piece: int) -> None:
        """libtorrent found a piece wrong: it may be asked for again."""
        self._handed.discard(piece)


_QUERY_PIECES = 1 << 3  # torrent_handle::query_pieces


def _runs(blocks: list[int]) -> list[tuple[int, int]]:
    """(first, count) of each run of neighbouring blocks."""
    found: list[tuple[int, int]] = []
    for block in blocks:
        if found and found[-1][0] + found[-1][1] == block:
            found[-1] = (found[-1][0], found[-1][1] + 1)
        else:
            found.append((block, 1))
    return found
