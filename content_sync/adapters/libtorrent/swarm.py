"""ports.Swarm: the county by HTTP, block by block under our own division of the work; neighbours by
libtorrent and by HTTP.

From afar comes only what falls to this box, by parallel ranges of the county's web seed; what neighbours
have comes from them. libtorrent is let near peers alone (an IP filter), so that two roads never carry one
block; only when HTTP does not reach the county may it connect to the county's seeder and to other schools
(decision 0017).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from msgspec import Struct, field
from msgspec.structs import replace

from content_sync.adapters.libtorrent.lan import Lan, address_towards
from content_sync.adapters.libtorrent.line import CONNECTIONS, Line
from content_sync.adapters.libtorrent.near import near_free, only_near, own_name, own_networks, same_lan
from content_sync.adapters.libtorrent.running import Running, parameters
from content_sync.adapters.libtorrent.session import lt, make_session
from content_sync.adapters.libtorrent.sources import BAN, REST, Sources
from content_sync.adapters.libtorrent.web import Feed, Peer
from content_sync.adapters.ranges import Answer, Ranges
from content_sync.core.sharing import mine
from content_sync.errors import LessonBoxError
from content_sync.formats.token import announce_url, seed_url
from content_sync.ports import Job, JobProgress, Neighbours

_log = logging.getLogger(__name__)
_REMOVE_SECONDS = 30.0
#: Seconds for which a package that has come is announced.
_TOLD = 3600.0
#: Seconds between looks at each job, and at this machine's own addresses.
_LOOK, _LOOK_NETWORKS = 0.5, 10.0
_NEAR_CONNECTIONS = 6
#: Seconds that neighbours have to be found in before the county is asked (LSD takes 0.5 s, findings.md),
#: where one was met in so many seconds, or nobody has looked yet.
_HEAD_START, _COMPANY = 1.2, 900.0
#: How a box names itself to its peers.
_CLIENT = "LessonBox/1"
#: Piece priorities of libtorrent (1 to 7) where it is the road to the county: this box's share of what
#: neighbours fetch together, and the rest. Never 0: that would stop fetching from a neighbour too
#: (findings.md).
_MINE, _THEIRS = 7, 1
_FLAG = lt.torrent_flags
_ALERTS = (
    int(lt.alert.category_t.error_notification)
    | int(lt.alert.category_t.status_notification)
    | int(lt.alert.category_t.storage_notification)
    | int(lt.alert.category_t.peer_notification)
)
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
    "handshake_client_version": _CLIENT,
    "apply_ip_filter_to_trackers": False,  # the filter keeps far peers away, not the county's tracker
}


class SwarmOptions(Struct, frozen=True):
    """`urls` are the county's; `peers` and `web` switch the two sources on; `rate` bytes a second, 0: no
    limit. `token`: what the county's addresses carry now. `neighbours`: boxes that may be asked by HTTP."""

    urls: Sequence[str]
    port: int = 0
    peers: bool = True
    web: bool = True
    rate: int = 0
    upload_peers: int = 20
    token: Callable[[], str | None] = lambda: None
    neighbours: Neighbours | None = None
    more: dict[str, Any] = field(default_factory=dict)


class LibtorrentSwarm:
    """See ports.Swarm. `wake` is called from other threads when `step` has something to do."""

    def __init__(self, options: SwarmOptions, scratch: Path, wake: Callable[[], None]) -> None:
        self._options, self._scratch, self._wake = options, scratch, wake
        self._jobs: dict[str, Running] = {}
        self._finished: list[str] = []
        self._failed: dict[str, str] = {}
        self._next_look = self._next_networks = 0.0
        self._company_until = time.monotonic() + 2 * _HEAD_START
        self._token = options.token()
        self._received = self._far_bytes = 0
        self._ranges = Ranges(CONNECTIONS, wake)
        self._near_ranges = Ranges(_NEAR_CONNECTIONS, wake)
        self._lan = Lan(options.neighbours, wake) if options.neighbours is not None else None
        self._line = Line(options.rate or None)
        self._sources = Sources(options.urls if options.web else ())
        self._networks = own_networks()
        more = {**_SETTINGS, "connections_limit": 60 + options.upload_peers, **options.more}
        more["unchoke_slots_limit"] = options.upload_peers
        more["download_rate_limit"] = options.rate
        self._session = make_session(options.port, lsd=options.peers, alerts=_ALERTS, more=more)
        self._session.set_alert_notify(wake)
        self._use_networks()

    def _use_networks(self) -> None:
        self._session.set_ip_filter(only_near(self._networks))
        near_free(self._session, self._networks)

    def add(self, job: Job) -> None:
        """See ports.Swarm."""
        self.remove(job.infohash)
        far = not self._options.web or self._sources.down(time.monotonic())
        addresses = [announce_url(url, self._token) for url in self._options.urls]
        quiet = job.whole and not job.news  # LSD still finds it on the LAN, which costs nothing
        trackers = [] if quiet else addresses
        params = parameters(job, self._scratch, trackers if self._options.peers else None)
        if not job.whole and not self._far_allowed(far):
            params.flags |= _FLAG.apply_ip_filter
        handle = self._session.add_torrent(params)
        now = time.monotonic()
        begins = now + _HEAD_START if self._options.peers and now < self._company_until else now
        feed = Feed(job, handle)
        self._jobs[job.infohash] = Running(
            job, handle, job.torrent.name, feed, begins=begins, far=far, quiet=quiet
        )
        self._next_look = 0.0

    def remove(self, infohash: str) -> None:
        """See ports.Swarm. Blocks until libtorrent has closed the files, as a rule some milliseconds."""
        running = self._jobs.pop(infohash, None)
        if running is None:
            return
        self._drop(running)

    def _drop(self, running: Running) -> None:
        # In this order no byte can reach a file afterwards: no request and no peer any more, all writes done,
        # out of the session.
        running.feed.end()
        if not running.job.whole:
            for ranges in (self._ranges, self._near_ranges):
                ranges.cut(lambda wanted: not running.feed.mine(wanted))
            running.handle.pause()
            self._await(running, lt.torrent_paused_alert)
            running.handle.flush_cache()
            self._await(running, lt.cache_flushed_alert)
            self._received += running.handle.status().total_payload_download
        self._session.remove_torrent(running.handle)
        self._await(running, lt.torrent_removed_alert)

    def _await(self, running: Running, kind: Any) -> None:
        deadline = time.monotonic() + _REMOVE_SECONDS
        while not self._read_alerts(kind, running.name):
            if time.monotonic() >= deadline:
                # No StorageError, with which the engine goes on: it could still write. The program must end.
                raise LessonBoxError(f"libtorrent did not let go of {running.name}")
            self._session.wait_for_alert(100)

    def _read_alerts(self, awaited: Any = None, name: str = "") -> bool:
        """Turn alerts into facts at once; whether one of kind `awaited` came for the torrent `name`."""
        came = False
        alerts = self._session.pop_alerts()
        by_handle = {hash(running.handle): running for running in self._jobs.values()} if alerts else {}
        for alert in alerts:
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
            elif isinstance(alert, lt.torrent_checked_alert):
                running.feed.ready()
            elif isinstance(alert, lt.hash_failed_alert):
                running.bad += 1
                running.feed.bad(alert.piece_index)
            elif isinstance(alert, lt.peer_ban_alert):
                running.banned += 1
                running.amnesty = running.amnesty or time.monotonic() + BAN
                _log.warning("%s", alert.message())
            elif isinstance(alert, lt.tracker_error_alert):
                _log.info("%s", alert.message())
        return came

    def fill(self, infohash: str, root: str, have: bytes) -> None:
        """See ports.Swarm."""
        running = self._jobs.get(infohash)
        if running is not None:
            running.feed.fill(root, have)

    def limit(self, rate: int | None) -> None:
        """See ports.Swarm."""
        if rate == self._line.limit:
            return
        self._line.limit = rate
        if rate == 0:
            self._ranges.cut(lambda wanted: False)
        # 0 is no limit to libtorrent: then it is kept from whoever is not near.
        self._session.apply_settings({"download_rate_limit": rate or 0})
        self._next_look = 0.0
        self._wake()

    def _far_allowed(self, far: bool) -> bool:
        return far and self._line.limit != 0

    def step(self, now: float) -> None:
        """See ports.Swarm."""
        self._read_alerts()
        self._take(now)
        if now >= self._next_networks:
            self._next_networks = now + _LOOK_NETWORKS
            self._look_around()
        if now >= self._next_look:
            self._next_look = now + _LOOK
            fetching = [running for running in self._jobs.values() if not running.job.whole]
            if self._lan is not None:
                self._lan.want({running.job.infohash: running.job.torrent for running in fetching})
            for running in fetching:
                self._look_after(running, now)
            self._fall_silent(now)
        self._ask(now)
        for infohash, running in list(self._jobs.items()):
            error = running.error or running.feed.error
            if error:
                self.remove(infohash)
                self._failed[infohash] = error
            elif running.ended:
                # No word that it stopped: it goes on at once as a seed, at the same address.
                running.handle.replace_trackers([])
                self.remove(infohash)
                self._finished.append(infohash)

    def _fall_silent(self, now: float) -> None:
        """Announce no longer what came some time ago: each announce costs a metered line half a kilobyte."""
        for running in self._jobs.values():
            if not running.job.whole or running.quiet:
                continue
            running.told = now if running.told is None else running.told
            if now - running.told > _TOLD:
                running.quiet = True
                running.handle.replace_trackers([])

    def _look_around(self) -> None:
        """This machine may have got another address, this box another token."""
        networks, token = own_networks(), self._options.token()
        if networks != self._networks:
            self._networks = networks
            self._use_networks()
        if token != self._token and self._options.peers:
            for running in [running for running in self._jobs.values() if not running.quiet]:
                addresses = [announce_url(url, token) for url in self._options.urls]
                running.handle.replace_trackers([{"url": address, "tier": 0} for address in addresses])
        self._token = token

    def _look_after(self, running: Running, now: float) -> None:
        peers = running.handle.get_peer_info()
        ready = [peer for peer in peers if not peer.flags & (_PEER.connecting | _PEER.handshake)]
        near: dict[str, Peer] = {}
        me = own_name(self._networks)
        for peer in ready:
            there = str(peer.ip[0])
            here = same_lan(self._networks, there)
            if not here:
                self._count_far(running, peer)
                continue
            ours = _text(peer.client).startswith(_CLIENT) and there != here
            shares = ours and not peer.flags & _PEER.seed
            me = here if shares else me
            near[there] = Peer(there, list(peer.pieces), shares)
        held = self._lan.held(running.job.infohash, now) if self._lan is not None else []
        if near or held:
            self._company_until = now + _COMPANY
        if held and not any(peer.shares for peer in near.values()):
            me = address_towards(held[0].name) or me
        running.feed.look(now, me, near.values(), held, self._line.wave)
        self._measure(running, now)
        self._allow(running, now)
        if running.far:
            self._divide(running, me, frozenset(peer.name for peer in near.values() if peer.shares))
        if running.amnesty is not None:
            alone = not self._options.web or self._sources.pick(running.job.infohash, now) is None
            if alone and not any(peer.flags & _PEER.interesting for peer in ready):
                running.amnesty = min(running.amnesty, now + REST)  # it was the last source
            if now >= running.amnesty:
                self._begin_again(running)

    def _begin_again(self, running: Running) -> None:
        """Take a job up anew where it stands: libtorrent forgets whom it has banned."""
        whole = running.handle.status(_QUERY_PIECES).pieces
        have = running.feed.flags(whole)
        files = tuple(
            replace(file, have=bytes(flags)) if flags is not None else file
            for file, flags in zip(running.job.files, have, strict=True)
        )
        bad, banned = running.bad, running.banned
        self.add(replace(running.job, files=files))
        again = self._jobs[running.job.infohash]
        again.bad, again.banned = bad, banned

    def _count_far(self, running: Running, peer: Any) -> None:
        known, total = running.far_peers.get(peer.ip, 0), int(peer.total_download)
        self._far_bytes += max(0, total - known)
        running.far_peers[peer.ip] = total

    def _allow(self, running: Running, now: float) -> None:
        """Let libtorrent beyond the LAN when HTTP is no road to the county, and only then."""
        running.far = not self._options.web or self._sources.down(now)
        filtered = bool(running.handle.flags() & _FLAG.apply_ip_filter)
        if self._far_allowed(running.far) == filtered:
            if filtered:
                _log.info("HTTP brings nothing of %s: peers beyond the LAN are asked", running.name)
                running.handle.unset_flags(_FLAG.apply_ip_filter)
                running.handle.force_reannounce()
            else:
                running.handle.set_flags(_FLAG.apply_ip_filter)

    def _divide(self, running: Running, me: str, neighbours: frozenset[str]) -> None:
        """Let libtorrent ask first for the pieces that fall to this box among its neighbours."""
        if neighbours == running.neighbours:
            return
        running.neighbours = neighbours
        torrent = running.job.torrent
        share = mine(torrent.infohash, torrent.pieces, me, neighbours)
        running.handle.prioritize_pieces([_MINE if own else _THEIRS for own in share])

    def _measure(self, running: Running, now: float) -> None:
        at, before = running.came
        if now - at >= 1.0:
            running.rate = int((running.feed.came - before) / (now - at)) if at else 0
            running.came = (now, running.feed.came)

    def _take(self, now: float) -> None:
        for answer in self._ranges.answers():
            self._line.ended(answer, now)
            self._sources.took(answer, now, self._options.peers)
            self._took(answer)
        for answer in self._near_ranges.answers():
            if self._lan is not None:
                self._lan.took(answer, now, self._sources.pick(answer.wanted.owner, now) is not None)
            self._took(answer)
        self._line.measure(now, self._ranges.came())

    def _took(self, answer: Answer) -> None:
        running = self._jobs.get(answer.wanted.owner)
        if running is not None:
            running.bad += answer.error == "wrong"
            if running.feed.mine(answer.wanted):
                running.feed.take(answer)

    def _ask(self, now: float) -> None:
        for infohash, running in self._jobs.items():
            if running.job.whole:
                continue
            while now >= running.begins and (room := self._line.room(now)):
                url = self._sources.pick(infohash, now)
                if url is None:
                    break
                base = seed_url(url, self._token, infohash) + quote(running.name) + "/"
                wanted = running.feed.next(room, url, base)
                if wanted is None:
                    break
                self._line.asked(wanted.length, now)
                self._ranges.ask(replace(wanted, pace=self._line.pace))
            while self._lan is not None and (wanted := running.feed.next_near(self._lan)) is not None:
                self._lan.asked(wanted.source)
                self._near_ranges.ask(wanted)

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
                done=min(status.total_done + running.feed.loose, running.job.torrent.size),
                rate=status.download_payload_rate + running.rate,
                peers=status.num_peers,
                web=running.feed.under_way > 0,
                bad=running.bad,
            )
        return found

    def received(self) -> int:
        """See ports.Swarm."""
        now = (r.handle.status().total_payload_download for r in self._jobs.values() if not r.job.whole)
        return self._received + self._ranges.came() + self._near_ranges.came() + int(sum(now))

    def afar(self) -> int:
        """See ports.Swarm."""
        return self._far_bytes + self._ranges.came()

    def banned(self, infohash: str) -> int:
        """How many peers of a job were banned so far."""
        running = self._jobs.get(infohash)
        return running.banned if running is not None else 0

    def bans(self, infohash: str) -> bool:
        """Whether any peer of a job is banned now."""
        running = self._jobs.get(infohash)
        return running is not None and running.amnesty is not None

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
        self._near_ranges.close()
        if self._lan is not None:
            self._lan.close()
        self._session.set_alert_notify(lambda: None)
        for infohash in list(self._jobs):
            self.remove(infohash)
        del self._session


_PEER = lt.peer_info
_QUERY_PIECES = 1 << 3  # torrent_handle::query_pieces


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
