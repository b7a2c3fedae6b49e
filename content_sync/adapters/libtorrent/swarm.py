"""ports.Swarm by libtorrent: other boxes and the county as peers, the county's web seed where peers don't
help.

What libtorrent believes about files comes from our verified block maps alone (`have_pieces`,
`unfinished_pieces`, `renamed_files`; findings.md), never from resume data or a recheck. Objects are claimed
whole, so libtorrent asks nobody for them and never looks at them again, and a job without a lacking block is
in upload mode: nothing is ever written to them (tests/unit/test_swarm_objects.py).
"""

from __future__ import annotations

import ipaddress
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from content_sync.adapters.libtorrent.session import lt, make_session
from content_sync.adapters.libtorrent.web import WebFeed
from content_sync.adapters.ranges import Ranges
from content_sync.core.blocks import piece_claims
from content_sync.core.sharing import mine
from content_sync.errors import LessonBoxError, TorrentError
from content_sync.ports import Job, JobProgress

_log = logging.getLogger(__name__)
#: Seconds without help from any peer after which the web seed is asked: peers on a long line take their
#: time to begin, and boxes on one LAN that begin together must find each other first,
#: to share the county's line.
WEB_AFTER, WEB_AFTER_CONNECTED = 8.0, 15.0
#: The same when no peer has helped any job for this long: BitTorrent is probably blocked here.
WEB_AFTER_NONE, NONE_SECONDS = 1.0, 60.0
#: Below this many bytes a second peers don't count as help.
HELP_RATE = 4_000
_REMOVE_SECONDS = 30.0
_WEB_THREADS = 8
#: Pieces of one job that may come wrong before its web seed is left alone.
_MOST_BAD = 20
#: Piece priorities of libtorrent (1 to 7): this box's share of what neighbours fetch together, and the rest.
#: Never 0: that would stop fetching from a neighbour too (findings.md).
_MINE, _THEIRS = 7, 1
_FLAG = lt.torrent_flags
_SETTINGS: dict[str, Any] = {
    "peer_connect_timeout": 10,
    "min_reconnect_time": 5,
    "tracker_completion_timeout": 20,
    "tracker_receive_timeout": 15,
    "stop_tracker_timeout": 1,
    "file_pool_size": 64,
    # What is asked for of the county can't be had from a neighbour any more: ask for a second, not for three.
    "request_queue_time": 1,
    "max_out_request_queue": 64,
}


@dataclass
class _Running:
    job: Job
    handle: Any
    name: str
    lonely: float | None = None
    feed: WebFeed | None = None
    bad: int = 0
    ended: bool = False
    error: str = ""
    neighbours: frozenset[str] = frozenset()


@dataclass(frozen=True)
class SwarmOptions:
    """`urls` are the county's; `peers` and `web` switch the two sources on; `rate` bytes a second, 0: no
    limit."""

    urls: Sequence[str]
    port: int = 0
    peers: bool = True
    web: bool = True
    rate: int = 0
    upload_peers: int = 20
    more: dict[str, Any] = field(default_factory=dict)


class LibtorrentSwarm:
    """See ports.Swarm. `wake` is called from libtorrent's thread when `step` has something to do."""

    def __init__(self, options: SwarmOptions, scratch: Path, wake: Callable[[], None]) -> None:
        self._options, self._scratch = options, scratch
        self._jobs: dict[str, _Running] = {}
        self._finished: list[str] = []
        self._failed: dict[str, str] = {}
        self._next_look = 0.0
        self._helped_at: float | None = None
        self._received = self._web_bytes = 0
        self._ranges = Ranges(_WEB_THREADS, wake)
        more = {**_SETTINGS, "connections_limit": 60 + options.upload_peers, **options.more}
        more["unchoke_slots_limit"] = options.upload_peers
        self._session = make_session(options.port, lsd=options.peers, more=more)
        self._session.set_alert_notify(wake)

    def add(self, job: Job) -> None:
        """See ports.Swarm."""
        self.remove(job.infohash)
        params = self._params(job)
        handle = self._session.add_torrent(params)
        self._jobs[job.infohash] = _Running(job, handle, job.torrent.name)
        self._next_look = 0.0
        self._share_rate()

    def _params(self, job: Job) -> Any:
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
        params.save_path = str(self._scratch)
        priorities = [0] * layout.num_files()
        renamed: dict[int, str] = {}
        have: list[bool] = []
        begun: dict[int, list[bool]] = {}
        for index, entry, file in zip(indices, job.torrent.files, job.files, strict=True):
            renamed[index] = str(file.path)
            priorities[index] = 0 if file.have is None else 4
            whole, parts = piece_claims(file.have, entry.file.length, job.torrent.piece_length)
            have += whole
            begun.update({entry.first_piece + piece: flags for piece, flags in parts.items()})
        params.renamed_files = renamed
        params.have_pieces = have
        params.unfinished_pieces = begun
        params.file_priorities = priorities
        flags = _FLAG.disable_dht | _FLAG.disable_pex | _FLAG.update_subscribe
        if job.whole:
            flags |= _FLAG.upload_mode
        if not self._options.peers:
            flags |= _FLAG.disable_lsd
        params.flags = flags
        if self._options.peers:
            params.trackers = [f"{url}/announce" for url in self._options.urls]
        return params

    def remove(self, infohash: str) -> None:
        """See ports.Swarm. Blocks until libtorrent has closed the files, as a rule some milliseconds."""
        running = self._jobs.pop(infohash, None)
        if running is None:
            return
        self._drop(running)
        self._share_rate()

    def _drop(self, running: _Running) -> None:
        # In this order no byte can reach a file afterwards: no peer any more, all writes done, out of the
        # session.
        if not running.job.whole:
            running.handle.pause()
            self._await(running, lt.torrent_paused_alert)
            running.handle.flush_cache()
            self._await(running, lt.cache_flushed_alert)
            self._received += running.handle.status().total_payload_download
        self._session.remove_torrent(running.handle)
        self._await(running, lt.torrent_removed_alert)

    def _await(self, running: _Running, kind: Any) -> None:
        deadline = time.monotonic() + _REMOVE_SECONDS
        while not self._read_alerts(kind, running.name):
            if time.monotonic() >= deadline:
                # No StorageError, with which the engine goes on: it could still write. The program must end.
                raise LessonBoxError(f"libtorrent did not let go of {running.name}")
            self._session.wait_for_alert(100)

    def _read_alerts(self, awaited: Any = None, name: str = "") -> bool:
        """Turn alerts into facts at once; whether one of kind `awaited` came for the torrent `name`."""
        came = False
        by_handle = {hash(running.handle): running for running in self._jobs.values()}
        for alert in self._session.pop_alerts():
            if awaited is not None and isinstance(alert, awaited) and alert.torrent_name == name:
                came = True
            if isinstance(alert, lt.listen_failed_alert):
                _log.warning("%s", alert.message())
            if not isinstance(alert, lt.torrent_alert):
                continue
            running = by_handle.get(hash(alert.handle))
            if running is None:
                continue
            if isinstance(alert, lt.torrent_finished_alert):
                running.ended = running.ended or not running.job.whole
            elif isinstance(alert, lt.torrent_error_alert | lt.file_error_alert):
                running.error = running.error or alert.message()
            elif isinstance(alert, lt.hash_failed_alert):
                running.bad += 1
                if running.feed is not None:
                    running.feed.bad(alert.piece_index)
            elif isinstance(alert, lt.url_seed_alert | lt.tracker_error_alert):
                _log.info("%s", alert.message())
        return came

    def step(self, now: float) -> None:
        """See ports.Swarm."""
        self._read_alerts()
        self._feed(now)
        if now >= self._next_look:
            self._next_look = now + 1.0
            for running in self._jobs.values():
                if not running.job.whole:
                    self._look_after(running, now)
        for infohash, running in list(self._jobs.items()):
            if running.error:
                self.remove(infohash)
                self._failed[infohash] = running.error
            elif running.ended:
                self.remove(infohash)
                self._finished.append(infohash)

    def _look_after(self, running: _Running, now: float) -> None:
        peers = running.handle.get_peer_info()
        self._divide(running, peers)
        help_rate = sum(peer.payload_down_speed for peer in peers)
        if help_rate >= HELP_RATE:
            running.lonely, self._helped_at = None, now
        elif running.lonely is None:
            running.lonely = now
        if not self._options.web or running.lonely is None:
            return
        patience = WEB_AFTER_CONNECTED if peers else WEB_AFTER
        if self._helped_at is None:
            self._helped_at = now  # since the first job began
        if now - self._helped_at > NONE_SECONDS:
            patience = WEB_AFTER_NONE
        if now - running.lonely >= patience or not self._options.peers:
            if running.feed is None:
                _log.info("no peer helps with %s: the web seed is asked", running.name)
                running.feed = WebFeed(running.job, running.handle, list(self._options.urls), self._ranges, 0)
                self._share_rate()
            if running.bad <= _MOST_BAD:
                running.feed.ask(now)

    def _divide(self, running: _Running, peers: Sequence[Any]) -> None:
        """Ask first for the pieces that fall to this box among the neighbours who fetch the same package."""
        near = [
            (peer.local_endpoint()[0], peer.ip[0]) for peer in peers if not peer.flags & lt.peer_info.seed
        ]
        near = [pair for pair in near if _one_lan(*pair)]
        me = min((here for here, _ in near), default="")
        neighbours = frozenset(there for here, there in near if here == me)
        if neighbours == running.neighbours:
            return
        running.neighbours = neighbours
        torrent = running.job.torrent
        share = mine(torrent.infohash, torrent.pieces, me, neighbours)
        running.handle.prioritize_pieces([_MINE if own else _THEIRS for own in share])

    def _feed(self, now: float) -> None:
        for wanted, data in self._ranges.answers():
            running = self._jobs.get(wanted.owner)
            if running is None or running.feed is None:
                continue
            self._web_bytes += len(data or b"")
            running.feed.take(wanted, data, now)
            alone = running.lonely is not None or not self._options.peers
            if alone and running.bad <= _MOST_BAD:
                running.feed.ask(now)

    def _share_rate(self) -> None:
        # Session limits skip private addresses, so each torrent gets its share (findings.md).
        fetching = [running for running in self._jobs.values() if not running.job.whole]
        if self._options.rate and fetching:
            for running in fetching:
                rate = max(1, self._options.rate // len(fetching))
                running.handle.set_download_limit(rate)
                if running.feed is not None:
                    running.feed.rate = rate

    def finished(self) -> list[str]:
        """See ports.Swarm."""
        done, self._finished = self._finished, []
        return done

    def failed(self) -> dict[str, str]:
        """See ports.Swarm."""
        lost, self._failed = self._failed, {}
        return lost

    def progress(self) -> dict[str, JobProgress]:
        """See ports.Swarm."""
        found = {}
        for infohash, running in self._jobs.items():
            if running.job.whole:
                continue
            status = running.handle.status()
            found[infohash] = JobProgress(
                done=min(status.total_done, running.job.torrent.size),
                rate=status.download_payload_rate,
                peers=status.num_peers,
                web=running.feed is not None and running.feed.under_way > 0,
                bad=running.bad,
            )
        return found

    def received(self) -> int:
        """See ports.Swarm."""
        now = (r.handle.status().total_payload_download for r in self._jobs.values() if not r.job.whole)
        return self._received + self._web_bytes + int(sum(now))

    def connect(self, infohash: str, host: str, port: int) -> None:
        """Connect a job to one peer, beside those that are found (a neighbour given by hand, tests)."""
        self._jobs[infohash].handle.connect_peer((host, port))

    @property
    def port(self) -> int:
        """The TCP port that it listens on."""
        return int(self._session.listen_port())

    def close(self) -> None:
        """See ports.Swarm."""
        self._ranges.close()
        self._session.set_alert_notify(lambda: None)
        for infohash in list(self._jobs):
            self.remove(infohash)
        del self._session


def _one_lan(here: str, there: str) -> bool:
    """Whether two addresses look like one school network: private, of one /24.

    Only IPv4, so that boxes that are connected by both protocols count each other once.
    """
    try:
        one, other = ipaddress.IPv4Address(here), ipaddress.IPv4Address(there)
    except ValueError:
        return False
    return one != other and one.is_private and int(one) >> 8 == int(other) >> 8
