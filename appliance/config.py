"""The box's settings (box.toml) and where its files lie (formats.md 10)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from content_sync.adapters.files import read_capped
from content_sync.errors import FormatError, NotFoundError, SettingError, SetupError
from content_sync.formats.enrolment import MAX_ENROLMENT, Enrolment, check_url, parse_enrolment
from content_sync.settings import Setting, Settings, parse

BOX_SETTINGS = (
    Setting("urls", (), "the county's addresses, tried in this order; empty: those of the enrolment file"),
    Setting("drop_folders", (), "folders watched for received files, beside drop/ in the data folder"),
    Setting("host_name", "lesson", "the box is found as this name + .local"),
    Setting(
        "courseware_port",
        0,
        "second port, for HTML5 courseware; 0: the port of the pages + 1",
        "port",
        0,
        65535,
    ),
    Setting("torrent_port", 6881, "port that other boxes reach this one at; 0: any", "port", 0, 65535),
    Setting(
        "sources",
        ("drop", "torrent", "webseed"),
        "where content comes from: drop folders, boxes and county by BitTorrent, the county by HTTP",
        choices=("drop", "torrent", "webseed"),
    ),
    Setting("active_lessons", 4, "lessons fetched at the same time", "lessons", 1, 64),
    Setting("upload_peers", 20, "other boxes served at the same time", "peers", 0, 500),
    Setting("download_rate", 0, "most bytes a second from the county; 0: no limit", "B/s", 0, 1 << 40),
    Setting("reserve", 512, "space that is always left free on the disk", "MB", 0, 1 << 20),
    Setting(
        "scan_seconds",
        60,
        "how often drop folders are looked through, besides when they report a change",
        "s",
        1,
        86400,
    ),
    Setting("refresh_seconds", 300, "how often the county is asked for a newer release", "s", 5, 86400),
    Setting("report_seconds", 60, "how often usage is packed and sent", "s", 1, 86400),
    Setting("threads", 200, "threads that answer boards", "threads", 8, 1000),
    Setting(
        "streams",
        120,
        "videos sent at the same time; the other threads are kept for pages",
        "streams",
        1,
        900,
    ),
    Setting("language", "zh", "language of pages where the board does not say", choices=("zh", "en")),
)


@dataclass(frozen=True)
class BoxPaths:
    """Where each file of a box lies."""

    data: Path

    @property
    def config(self) -> Path:
        return self.data / "box.toml"

    @property
    def enrolment(self) -> Path:
        return self.data / "enrolment.json"

    @property
    def key(self) -> Path:
        return self.data / "keys" / "box.pem"

    @property
    def trust(self) -> Path:
        return self.data / "trust"

    @property
    def objects(self) -> Path:
        return self.data / "objects"

    @property
    def partial(self) -> Path:
        return self.data / "partial"

    @property
    def drop(self) -> Path:
        return self.data / "drop"

    @property
    def incoming(self) -> Path:
        return self.data / "incoming"

    @property
    def state_db(self) -> Path:
        return self.data / "state.db"

    @property
    def usage_db(self) -> Path:
        return self.data / "usage.db"

    @property
    def outbox_db(self) -> Path:
        return self.data / "outbox.db"

    @property
    def search_db(self) -> Path:
        return self.data / "search.db"


def load_settings(data: Path) -> Settings:
    """The settings of the box whose data folder this is. Raises SetupError, SettingError."""
    path = BoxPaths(data).config
    if not path.is_file():
        raise SetupError(f"{data} is not a box's data folder")
    settings = parse(BOX_SETTINGS, read_capped(path, 1 << 20).decode("utf-8", "replace"))
    for url in settings.texts("urls"):
        try:
            check_url(url)
        except FormatError as error:
            raise SettingError(f"urls: {error.what}") from None
    for folder in settings.texts("drop_folders"):
        if not Path(folder).is_absolute():
            raise SettingError(f"drop_folders: {folder!r} does not begin with /")
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9-]{0,58}[A-Za-z0-9])?", settings.text("host_name")):
        raise SettingError("host_name must be letters a to z, digits and - between them, at most 60")
    return settings


def read_enrolment(paths: BoxPaths) -> Enrolment:
    """The box's enrolment. Raises SetupError when there is none, EnrolError, FormatError."""
    try:
        return parse_enrolment(read_capped(paths.enrolment, MAX_ENROLMENT))
    except NotFoundError:
        raise SetupError(f"{paths.data} has no enrolment") from None


def county_urls(settings: Settings, enrolled: Sequence[str]) -> tuple[str, ...]:
    """The county's addresses without closing slash: those of box.toml, else those of the enrolment."""
    return tuple(url.rstrip("/") for url in settings.texts("urls") or enrolled)
