"""A seeder that serves packages straight from the object store and never writes into it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from content_sync.adapters.libtorrent.session import count_all_peers, lt, make_session
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
    "unchoke_slots_limit": 500,  # slots cost nothing; eight, the default, would let most schools wait
    "listen_queue_size": 200,
    "file_pool_size": 400,
    "close_redundant_connections": False,
}


@dataclass(frozen=True)
class Served:
    """One package: bytes sent since the start, and boxes connected."""

    infohash: str
    uploaded: int
    peers: int


class Seeder:
    """One libtorrent session that only sends. Not thread-safe."""

    def __init__(self, port: int, rate: int, scratch: Path) -> None:
        """Listen on TCP `port`; send at most `rate` bytes a second in all (0: no limit).

        `scratch`: a folder for anything that libtorrent might want to write; nothing is expected there.
        """
        self._session = make_session(
            port, lsd=False, more={**_SETTINGS, "upload_rate_limit": rate, "peer_fingerprint": "-LB0001-"}
        )
        count_all_peers(self._session)
        self._scratch = scratch
        self._handles: dict[str, lt.torrent_handle] = {}
        self._served: dict[str, Served] = {}
        self.listening = False

    def held(self) -> set[str]:
        """Infohashes that are being served."""
        return set(self._handles)

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
        try:
            self._handles[infohash] = self._session.add_torrent(params)
        except RuntimeError as error:
            raise BusyError(f"libtorrent refuses {infohash}: {error}") from None
        return infohash

    def remove(self, infohash: str) -> None:
        """Stop serving a package."""
        handle = self._handles.pop(infohash, None)
        self._served.pop(infohash, None)
        if handle is not None:
            self._session.remove_torrent(handle)

    def poll(self) -> list[str]:
        """Take in what happened; problems since the last call, one line each."""
        self._session.post_torrent_updates(0)
        found: list[str] = []
        for alert in self._session.pop_alerts():
            if isinstance(alert, lt.state_update_alert):
                for status in alert.status:
                    infohash = str(status.info_hashes.v2)
                    if infohash in self._handles:
                        self._served[infohash] = Served(
                            infohash, status.total_payload_upload, status.num_peers
                        )
            elif isinstance(alert, lt.listen_succeeded_alert):
                self.listening = True
            elif isinstance(
                alert,
                lt.listen_failed_alert | lt.torrent_error_alert | lt.file_error_alert | lt.hash_failed_alert,
            ):
                found.append(alert.message())
        return found

    def served(self) -> list[Served]:
        """The packages that were asked for at all, since the start."""
        return [entry for entry in self._served.values() if entry.uploaded or entry.peers]

    def port(self) -> int:
        """The TCP port it listens on; 0: none."""
        return int(self._session.listen_port())
