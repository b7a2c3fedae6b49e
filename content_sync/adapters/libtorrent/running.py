"""A job in libtorrent: what is known of it while it runs, and what libtorrent is told of it.

What libtorrent believes about files comes from our verified block maps alone (`have_pieces`,
`unfinished_pieces`, `renamed_files`; findings.md), never from resume data or a recheck. Objects are claimed
whole, so libtorrent asks nobody for them and never looks at them again, and a job without a lacking block is
in upload mode: nothing is ever written to them (tests/unit/test_swarm_objects.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from content_sync.adapters.libtorrent.session import lt
from content_sync.adapters.libtorrent.web import Feed
from content_sync.core.blocks import piece_claims
from content_sync.errors import TorrentError
from content_sync.formats.hashtree import block_count
from content_sync.ports import Job

_FLAG = lt.torrent_flags


class Running(Struct):
    """A job and what came of it."""

    job: Job
    handle: Any
    name: str
    feed: Feed
    told: float | None = None  # since when a package that is handed on is announced
    quiet: bool = False  # it is not announced any more
    bad: int = 0
    ended: bool = False
    error: str = ""
    begins: float = 0.0  # when the county is asked: neighbours are found first
    far: bool = False  # libtorrent may connect beyond the LAN
    neighbours: frozenset[str] = frozenset()
    amnesty: float | None = None  # when banned peers get another chance
    banned: int = 0
    came: tuple[float, int] = (0.0, 0)
    rate: int = 0
    far_peers: dict[Any, int] = field(default_factory=dict)


def parameters(job: Job, scratch: Path, trackers: Sequence[str] | None) -> Any:
    """What libtorrent is told of a job. `trackers` None: it looks for no peers. Raises TorrentError."""
    try:
        decoded: Any = lt.bdecode(job.torrent.data)
        info = lt.torrent_info(decoded)
    except RuntimeError as error:
        raise TorrentError(f"libtorrent refuses {job.infohash}: {error}") from None
    layout = info.layout() if hasattr(info, "layout") else info.files()
    indices = [
        index
        for index in range(layout.num_files())
        if not layout.file_flags(index) & lt.file_flags_t.flag_pad_file
    ]
    if [layout.file_size(index) for index in indices] != [e.file.length for e in job.torrent.files]:
        raise TorrentError(f"libtorrent reads other files in {job.infohash} than we do")
    params = lt.add_torrent_params()
    params.ti = info
    params.save_path = str(scratch)
    priorities = [0] * layout.num_files()
    renamed: dict[int, str] = {}
    have: list[bool] = []
    begun: dict[int, list[bool]] = {}
    for index, entry, file in zip(indices, job.torrent.files, job.files, strict=True):
        renamed[index] = str(file.path)
        priorities[index] = 0 if file.have is None or not file.wanted else 4
        flags = file.have if file.wanted else bytes(block_count(entry.file.length))
        whole, parts = piece_claims(flags, entry.file.length, job.torrent.piece_length)
        have += whole
        begun.update({entry.first_piece + piece: flags for piece, flags in parts.items()})
    params.renamed_files = renamed
    params.have_pieces = have
    params.unfinished_pieces = begun
    params.file_priorities = priorities
    set_flags = _FLAG.disable_dht | _FLAG.disable_pex | _FLAG.update_subscribe
    if job.whole:
        set_flags |= _FLAG.upload_mode
    if trackers is None:
        set_flags |= _FLAG.disable_lsd
    params.flags = set_flags
    params.trackers = list(trackers or ())
    return params
