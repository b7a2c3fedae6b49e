"""Builds the sync engine of a box from its folder: the only place that knows every adapter."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec import Struct

from appliance.asked import pause_left
from appliance.config import BoxPaths, county_urls, has_line, load_settings, read_enrolment, token_source
from appliance.firstboot.wiring import introduce, open_state
from appliance.network.lines import FREE, METERED, parse_uplinks
from appliance.network.shares import RECEIVED
from appliance.throttling import local_rules, over_a_line
from appliance.truetime import TrueTime
from appliance.update.machine import update_kind
from appliance.update.offering import Offering
from content_sync.adapters.clock import SystemClock
from content_sync.adapters.drops import Folders
from content_sync.adapters.fec import RaptorQ
from content_sync.adapters.http import HttpFetcher
from content_sync.adapters.libtorrent.swarm import LibtorrentSwarm, SwarmOptions
from content_sync.adapters.local import FileLocal
from content_sync.adapters.metering import InterfaceMeter
from content_sync.adapters.neighbours import FileNeighbours
from content_sync.adapters.objects import FileShelf, FileStore
from content_sync.adapters.probe import HandshakeProbe
from content_sync.adapters.received import FileReceived
from content_sync.adapters.sqlite_writer import State
from content_sync.adapters.stash import FileStash
from content_sync.adapters.streaming import streams
from content_sync.adapters.tuf import Trust
from content_sync.adapters.watchdog import WatchedFolders
from content_sync.engine.parts import Options, Parts
from content_sync.engine.sync import Engine
from content_sync.engine.throttle import Senses, Throttle
from content_sync.formats.canonical import dump
from content_sync.settings import Settings


class SyncBox(Struct):
    """The parts of a running sync; `close` ends them in order."""

    engine: Engine
    throttle: Throttle
    state: State
    drops: Folders
    fetcher: HttpFetcher
    clock: SystemClock
    stash: FileStash
    offering: Offering

    def close(self) -> None:
        """End jobs, watches and connections."""
        self.throttle.close()
        self.engine.close()
        self.drops.close()
        self.fetcher.close()
        self.state.close()
        self.stash.close()


def open_shelf(paths: BoxPaths) -> FileShelf:
    """The signed files of a box, to read them."""
    return FileShelf(paths.trust)


def make_trust(root: bytes) -> Callable[[Sequence[bytes], bytes | None, bytes | None, bytes | None], Trust]:
    """A maker of verifiers that begin at the enrolment's root."""

    def make(
        roots: Sequence[bytes], timestamp: bytes | None, snapshot: bytes | None, targets: bytes | None
    ) -> Trust:
        return Trust.reload(root, roots, timestamp, snapshot, targets)

    return make


def open_box(data: Path, wake: Callable[[], None], watch: bool = True) -> SyncBox:
    """Everything that `lessonbox sync` needs; the caller holds the lock. `watch`: with inotify, and other
    boxes.

    Raises SetupError, SettingError, StorageError.
    """
    paths, settings = BoxPaths(data), load_settings(data)
    enrolment = read_enrolment(paths)
    urls = county_urls(settings, enrolment.urls)
    sources = settings.texts("sources")
    clock, state = SystemClock(), open_state(paths.state_db)
    introduce(state, enrolment)
    folders = _drop_folders(paths, settings) if "drop" in sources else []
    delete = [Path(folder) for folder in settings.texts("drop_delete")]
    poll = settings.text("drop_watch") == "poll"
    drops = WatchedFolders(folders, wake, delete, poll) if watch else Folders(folders, delete, poll)
    fetcher = HttpFetcher(proxy=settings.text("proxy"))
    swarm = None
    if {"torrent", "webseed"} & set(sources):
        swarm = LibtorrentSwarm(
            SwarmOptions(
                urls,
                port=settings.number("torrent_port"),
                peers="torrent" in sources,
                web="webseed" in sources,
                upload_peers=settings.number("upload_peers"),
                token=token_source(paths, enrolment),
                neighbours=FileNeighbours(paths.neighbours, enrolment.box, clock),
            ),
            paths.partial,
            wake,
        )

    def streaming(now: float) -> bool:
        return streams(paths.streaming, clock.boot_id(), now)

    stash = FileStash(paths.parcels_db)
    probe = HandshakeProbe(urls, clock.monotonic)
    uplinks = parse_uplinks(settings.texts("uplinks"))
    meter = InterfaceMeter(
        [*settings.texts("metered_interfaces"), *(name for name, kind in uplinks.items() if kind == METERED)],
        settings.text("metered"),
        paths.network,
        clock.boot_id,
        lambda: probe.local,
        [name for name, kind in uplinks.items() if kind == FREE],
    )
    true_time = TrueTime(clock, paths.outbox_db)
    gives_way = settings.flag("give_way") and over_a_line(urls)
    senses = Senses(
        meter,
        probe if gives_way else None,
        true_time.known,
        streaming,
        lambda: pause_left(paths.incoming, clock) > 0,
    )
    throttle = Throttle(swarm, FileShelf(data), senses, local_rules(settings), threading.Lock())
    store = FileStore(paths.objects, paths.partial)
    engine = Engine(
        Parts(
            state=state,
            store=store,
            received=FileReceived(paths.received),
            local=FileLocal(
                paths.local,
                paths.uploads,
                paths.partial,
                paths.received,
                [Path(folder) for folder in settings.texts("stick_folders")],
            ),
            shelf=FileShelf(paths.trust),
            clock=clock,
            drops=drops,
            fetcher=throttle.fetcher(fetcher),
            swarm=swarm,
            throttle=throttle,
            busy=lambda: streaming(clock.monotonic()),
            make_trust=make_trust(dump(enrolment.root)),
            jitter=random.random,
            stash=stash,
            fec=RaptorQ(),
        ),
        Options(
            box=enrolment.box,
            urls=urls,
            active=settings.number("active_lessons"),
            reserve=settings.number("reserve") << 20,
            scan_seconds=settings.number("scan_seconds"),
            poll_seconds=settings.number("poll_seconds"),
            refresh_seconds=settings.number("refresh_seconds"),
            scrub_days=settings.number("scrub_days"),
            parcel_space=settings.number("parcel_space") << 20,
            line=has_line(settings),
            update_kind=update_kind(),
        ),
    )
    offering = Offering(paths, state, store, clock, lambda: throttle.budget, true_time.known, update_kind())
    return SyncBox(engine, throttle, state, drops, fetcher, clock, stash, offering)


def _drop_folders(paths: BoxPaths, settings: Settings) -> list[Path]:
    received = [RECEIVED] if settings.text("receiver_share") else []
    return [paths.drop, *(Path(folder) for folder in settings.texts("drop_folders")), *received]
