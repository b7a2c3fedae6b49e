"""Builds the county's parts from its data folder."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from flask import Flask

from content_sync.adapters.clock import SystemClock
from content_sync.adapters.fec import RaptorQ
from content_sync.adapters.files import read_capped, write_durable
from content_sync.adapters.objects import FileShelf
from county.app import create_app
from county.config import CountyPaths, load_settings
from county.distribute.carousel import Asked as CarouselAsked
from county.distribute.carousel import MakeBar
from county.distribute.carousel import build as build_carousel
from county.distribute.export import Asked, Tick, export
from county.distribute.fetched import Fetched
from county.distribute.tokens import Tokens
from county.distribute.tracker import Tracker
from county.distribute.visitors import Buckets, Visitors
from county.library import Library
from county.publish.signing import Repository
from county.receive.courier import Imported, import_files
from county.receive.database import Reader, Writer
from county.receive.door import Door
from county.receive.envelopes import Envelopes
from county.services import PerThread, Services

_SECRET_BYTES = 32
#: Of one box at tracker and web seed: far above what a box needs on the fastest line, far below what would
#: slow the others.
REQUESTS_PER_SECOND, REQUESTS_AT_ONCE = 200.0, 2_000.0


def session_secret(path: Path) -> bytes:
    """The key of the pages' session cookies, made the first time."""
    if not path.is_file():
        write_durable(path, secrets.token_bytes(_SECRET_BYTES), 0o600)
    return read_capped(path, 1024)


def build_services(data: Path) -> Services:
    """All parts. Starts the writer thread of reports.db. Raises SetupError, SettingError, TrustError,
    StorageError.
    """
    paths, settings = CountyPaths(data), load_settings(data)
    repository = Repository(paths.public, paths.keys, settings.number("expire_days"))
    library = PerThread(lambda: Library.open(paths.library_db))
    library()
    writer, reader = Writer(paths.reports_db), Reader(paths.reports_db)
    tokens = Tokens(paths, lambda box: library().box(box) is not None)

    return Services(
        paths=paths,
        settings=settings,
        clock=SystemClock(),
        library=library,
        writer=writer,
        reports=reader,
        door=Door(writer, lambda box: library().box(box)),
        envelopes=Envelopes(
            writer, reader, lambda box: library().box(box), repository.sign_envelope, tokens.number
        ),
        tracker=Tracker(
            settings.number("announce_seconds"), lambda prefix: library().has_package(prefix.hex())
        ),
        visitors=Visitors(
            tokens.holder, settings.text("open_access"), Buckets(REQUESTS_PER_SECOND, REQUESTS_AT_ONCE)
        ),
        fetched=Fetched(paths.work / "fetched.json"),
        secret=session_secret(paths.keys / "web.secret"),
    )


def import_reports(data: Path, files: list[Path], now: int) -> Imported:
    """`county reports import`; works beside a running server. Raises SetupError, StorageError."""
    services = build_services(data)
    try:
        return import_files(files, services.door, services.envelopes, now)
    finally:
        services.writer.close()


def export_stick(data: Path, top: Path, asked: Asked, now: int, bar: Tick) -> tuple[dict[str, Any], Imported]:
    """`county export`; works beside a running server. Raises what `county.distribute.export.export` does."""
    services = build_services(data)
    try:
        return export(services, FileShelf(services.paths.public), top, asked, now, bar)
    finally:
        services.writer.close()


def make_carousel(data: Path, asked: CarouselAsked, now: int, bar: MakeBar) -> dict[str, Any]:
    """`county carousel`; works beside a running server. Raises what `county.distribute.carousel.build`
    does."""
    services = build_services(data)
    try:
        return build_carousel(services, RaptorQ(), asked, now, bar)
    finally:
        services.writer.close()


def build_app(data: Path) -> Flask:
    """The web process's WSGI application."""
    return create_app(build_services(data))
