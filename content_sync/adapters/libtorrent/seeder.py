"""A seeder that serves packages straight from the object store and never writes into it.

Packages are added when somebody asks for one. A peer that connects for one that is not here is refused by
libtorrent without a word about which it was; then the session's log of peers, too dear for every day, is
switched on for a while, and names it when the peer comes again (`knocks`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from content_sync.adapters.congestion import prefer_bbr_on
from content_sync.adapters.libtorrent.session import ALERTS, count_all_peers, lt, make_session
from content_sync.errors import BusyError, NotFoundError, TorrentError

# In upload_mode libtorrent asks nobody for anything, so a damaged object that makes it leave seed_mode is
# reported
# and not "repaired" by writing through to the store. Not auto_managed, not paused: serves at once and stays
# quiet.
_FLAGS = (
    lt.torrent_flags.seed_mode
    | lt.torrent_flags.upload_mode
    | lt.torrent_flags.disable_dht
    | lt.torrent_flags.disable_lsd
    | lt.torrent_flags.disable_pex
    | lt.torrent_flags.update_subscribe  # else `post_torrent_updates` says nothing of it
)
_SETTINGS = {
    "connections_limit": 4_000,
    "alert_queue_size": 10_000,
    "listen_queue_size": 200,
    "file_pool_size": 400,
    "close_redundant_connections": False,
}


_ALERTS = ALERTS | int(lt.alert.category_t.connect_notification)
_PEER_LOG = int(lt.alert.category_t.peer_log_notification)
_INVALID_INFOHASH = 39  # libtorrent's error_code: errors::invalid_info_hash
_KNOCK = re.compile(r"couldn't find a torrent with the given info_hash: ([0-9a-f]{40})")
#: How long the log of peers is on; how much longer after it named somebody; how long it then rests.
_CLOSELY_SECONDS, _MORE_SECONDS, _REST_SECONDS = 60.0, 10.0, 30.0
_MOST_KNOCKS = 1_000
#: While the session has no torrent at all libtorrent lets nobody in; this one nobody can know.
_NOBODYS = hashlib.sha1(b"lessonbox: the package that keeps the door open").digest()


class Served(Struct, frozen=True):
    """One package: bytes sent since the start, boxes connected, how many of them have all of it, and bytes a
    second now."""

    infohash: str
    uploaded: int
    peers: int
    seeds: int = 0
    rate: int = 0


class SeederOptions(Struct, frozen=True):
    """`rate`: most bytes a second in all, `package_rate`: of each package (0: no limit); `slots`: boxes sent
    to at the same time (slots cost nothing; eight, libtorrent's default, would let most schools wait)."""

    port: int
    rate: int = 0
    package_rate: int = 0
    slots: int = 500


class Seeder:
    """One libtorrent session that only sends. Not thread-safe."""

    def __init__(self, options: SeederOptions, scratch: Path) -> None:
        """Listen.

        `scratch`: a folder for anything that libtorrent might want to write; nothing is expected there.
        """
        more: dict[str, Any] = {**_SETTINGS, "unchoke_slots_limit": options.slots}
        more |= {"upload_rate_limit": options.rate, "peer_fingerprint": "-LB0001-"}
        self._session = make_session(options.port, lsd=False, alerts=_ALERTS, more=more)
        count_all_peers(self._session)
        self._scratch, self._package_rate = scratch, options.package_rate
        self._handles: dict[str, lt.torrent_handle] = {}
        self._by_prefix: dict[str, str] = {}
        self._served: dict[str, Served] = {}
        self._sent_before = 0  # by packages that were let go
        self._super: set[str] = set()
        self._damaged: dict[str, str] = {}
        self._knocks: set[bytes] = set()
        self._closely_until: float | None = None
        self._rests_until = 0.0
        self.listening = False
        door = lt.add_torrent_params()
        door.info_hashes = lt.info_hash_t(lt.sha1_hash(_NOBODYS))
        door.save_path = str(scratch)
        door.flags = _FLAGS & ~lt.torrent_flags.seed_mode & ~lt.torrent_flags.update_subscribe
        self._session.add_torrent(door)

    def held(self) -> set[str]:
        """Infohashes that are being served."""
        return set(self._handles)

    def named(self, prefix: str) -> str | None:
        """The infohash being served that begins with these 40 hex digits."""
        return self._by_prefix.get(prefix)

    def add(self, torrent: bytes, objects: Mapping[str, Path]) -> str:
        """Serve a package; its infohash. `torrent` is the checked torrent file, `objects` its files by path.

        Nothing is read or hashed now: each piece is checked when it is first asked for. Raises NotFoundError
        when an object is absent or of another size, TorrentError, BusyError.
        """
        try:
            params = lt.load_torrent_buffer(torrent)
        except RuntimeError as error:
            raise TorrentError(str(error)) from None
        assert params.ti is not None
        info = params.ti
        listed = info.layout() if hasattr(info, "layout") else info.files()  # 2.1 renames it
        renamed = {}
        for index in range(listed.num_files()):
            if listed.file_flags(index) & lt.file_storage.flag_pad_file:
                continue
            path = listed.file_path(index).partition("/")[2]
            stored = objects.get(path)
            if stored is None or not stored.is_file() or stored.stat().st_size != listed.file_size(index):
                raise NotFoundError(f"object of {path!r}")
            renamed[index] = str(stored.absolute())
        params.renamed_files = renamed
        params.save_path = str(self._scratch)
        params.flags = _FLAGS
        infohash = str(params.ti.info_hashes().v2)
        if self._package_rate:
            params.upload_limit = self._package_rate
        try:
            self._handles[infohash] = self._session.add_torrent(params)
        except RuntimeError as error:
            raise BusyError(f"libtorrent refuses {infohash}: {error}") from None
        self._by_prefix[infohash[:40]] = infohash
        return infohash

    def remove(self, infohash: str) -> None:
        """Stop serving a package."""
        handle = self._handles.pop(infohash, None)
        self._by_prefix.pop(infohash[:40], None)
        served = self._served.pop(infohash, None)
        self._sent_before += served.uploaded if served else 0
        self._super.discard(infohash)
        if handle is not None:
            self._session.remove_torrent(handle)

    def super_seed(self, infohash: str, on: bool) -> None:
        """Show each box that connects from now on other pieces than its neighbours, a few at a time; boxes
        that are connected already know all. Off: show everybody everything."""
        if on != (infohash in self._super) and infohash in self._handles:
            flag = lt.torrent_flags.super_seeding
            (self._super.add if on else self._super.discard)(infohash)
            handle = self._handles[infohash]
            (handle.set_flags if on else handle.unset_flags)(flag)

    def super_seeding(self) -> set[str]:
        """The packages that are sent so."""
        return set(self._super)

    @property
    def listens_closely(self) -> bool:
        """Whether `poll` should be called several times a second."""
        return self._closely_until is not None

    def knocks(self) -> list[bytes]:
        """First 20 bytes of the infohashes for which peers came since the last call and that are not here."""
        found, self._knocks = list(self._knocks), set()
        return found

    def damaged(self) -> dict[str, str]:
        """Packages whose objects could not be read or did not fit their hash since the last call: infohash ->
        what happened."""
        found, self._damaged = self._damaged, {}
        return found

    def poll(self, now: float) -> list[str]:
        """Take in what happened; problems since the last call, one line each. `now`: monotonic seconds."""
        self._session.post_torrent_updates(0)
        if self._closely_until is not None and now >= self._closely_until:
            self._closely_until, self._rests_until = None, now + _REST_SECONDS
            self._session.apply_settings({"alert_mask": _ALERTS})
        found: list[str] = []
        for alert in self._session.pop_alerts():
            if isinstance(alert, lt.state_update_alert):
                for status in alert.status:
                    infohash = str(status.info_hashes.v2)
                    if infohash in self._handles:
                        self._served[infohash] = Served(
                            infohash,
                            status.total_payload_upload,
                            status.num_peers,
                            status.num_seeds,
                            status.upload_payload_rate,
                        )
            elif isinstance(alert, lt.listen_succeeded_alert):
                if not self.listening:
                    prefer_bbr_on(self.port())
                self.listening = True
            elif isinstance(alert, lt.peer_log_alert):
                knock = _KNOCK.search(alert.log_message())
                if knock and len(self._knocks) < _MOST_KNOCKS:
                    self._knocks.add(bytes.fromhex(knock[1]))
                    if self._closely_until is not None:
                        self._closely_until = min(self._closely_until, now + _MORE_SECONDS)
            elif isinstance(alert, lt.peer_disconnected_alert):
                unknown = alert.error.value() == _INVALID_INFOHASH
                if unknown and self._closely_until is None and now >= self._rests_until:
                    self._closely_until = now + _CLOSELY_SECONDS
                    self._session.apply_settings({"alert_mask": _ALERTS | _PEER_LOG})
            elif isinstance(alert, lt.torrent_error_alert | lt.file_error_alert | lt.hash_failed_alert):
                found.append(alert.message())
                infohash = str(alert.handle.info_hashes().v2) if alert.handle.is_valid() else ""
                if infohash in self._handles:
                    self._damaged[infohash] = alert.message()
            elif isinstance(alert, lt.listen_failed_alert):
                found.append(alert.message())
        return found

    def served(self) -> list[Served]:
        """The packages that were asked for at all, since the start."""
        return [entry for entry in self._served.values() if entry.uploaded or entry.peers]

    def uploaded(self) -> int:
        """Bytes sent since the start, of all packages."""
        return self._sent_before + sum(entry.uploaded for entry in self._served.values())

    def port(self) -> int:
        """The TCP port it listens on; 0: none."""
        return int(self._session.listen_port())
