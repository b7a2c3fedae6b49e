"""The box's settings (box.toml) and where its files lie (formats.md 10)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec import Struct

from appliance.network.lines import only_receives, parse_uplinks
from appliance.network.wanted import check_network
from appliance.throttling import check_windows
from content_sync.adapters.files import read_capped
from content_sync.adapters.sqlite import StateReader
from content_sync.errors import (
    FormatError,
    LessonBoxError,
    NotFoundError,
    SettingError,
    SetupError,
    UnenrolledError,
)
from content_sync.formats.enrolment import MAX_ENROLMENT, Enrolment, check_url, parse_enrolment
from content_sync.formats.token import make_token
from content_sync.settings import Setting, Settings, parse

BOX_SETTINGS = (
    Setting("urls", (), "the county's addresses, tried in this order; empty: those of the enrolment file"),
    Setting("proxy", "", "HTTP proxy on the way to the county, like http://192.168.1.2:8080; empty: none"),
    Setting("drop_folders", (), "folders watched for received files, beside drop/ in the data folder"),
    Setting(
        "drop_delete",
        (),
        "those of them (drop/ by its whole path too) where a file is deleted once every byte of it is durable"
        " in the box; elsewhere files are kept",
    ),
    Setting(
        "drop_watch",
        "auto",
        "auto: folders on shares, FUSE and FAT are looked through by the clock, others report their changes;"
        " poll: all by the clock",
        choices=("auto", "poll"),
    ),
    Setting(
        "poll_seconds",
        15,
        "how often drop folders are looked through when one of them can't report changes",
        "s",
        1,
        86400,
    ),
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
    Setting(
        "download_rate", 0, "most bytes a second from afar, the LAN is free; 0: no limit", "B/s", 0, 1 << 40
    ),
    Setting(
        "windows",
        (),
        "times with a rate of their own, instead of the county's: `12345 08:00-17:00 20000` (days, Monday is"
        " 1, or a date, or nothing; bytes a second, nothing: no limit)",
    ),
    Setting(
        "live_classes",
        (),
        "times when nothing is fetched from afar, instead of the county's timetable: `2 09:50-10:30`",
    ),
    Setting(
        "metered",
        "auto",
        "whether bytes to the county cost money; auto: network.json, the county or the kind of line says",
        choices=("auto", "yes", "no"),
    ),
    Setting(
        "metered_interfaces", (), "interfaces that only lead out: their own counters count (modems: always)"
    ),
    Setting(
        "uplinks",
        (),
        "interfaces that only lead out, no board is on them: `usb0 metered` (a 4G stick), `usb0 free`, or"
        " `eth1 receive` (a satellite receiver's LAN, which answers nothing)",
    ),
    Setting(
        "lan_gateway",
        "yes",
        "whether the LAN's router leads to the county; no: it is no way out, one of `uplinks` is (a fixed"
        " gateway goes at the next start)",
        choices=("yes", "no"),
    ),
    Setting("day_mb", 0, "most a day on a metered line; 0: what the county says", "MiB", 0, 1 << 20),
    Setting("month_mb", 0, "most a month on a metered line; 0: what the county says", "MiB", 0, 1 << 20),
    Setting("give_way", True, "fetch slower when others on the line to the county would feel it"),
    Setting("reserve", 512, "space that is always left free on the disk", "MB", 0, 1 << 20),
    Setting(
        "scan_seconds",
        60,
        "how often drop folders are looked through, besides when they report a change",
        "s",
        1,
        86400,
    ),
    Setting(
        "parcel_space",
        2048,
        "most space for what came by satellite and can't be used yet: repair symbols, lessons not listed yet",
        "MB",
        16,
        1 << 20,
    ),
    Setting("refresh_seconds", 600, "how often the county is asked for a newer release", "s", 5, 86400),
    Setting(
        "scrub_days",
        30,
        "in how many days of running every stored file is read again, to find what the disk has spoilt",
        "days",
        1,
        365,
    ),
    Setting("report_seconds", 60, "how often usage is packed and sent", "s", 1, 86400),
    Setting("class_goal", 80, "classes (课时) that a teacher should hold a term", "classes", 1, 1000),
    Setting("threads", 200, "threads that answer boards", "threads", 8, 1000),
    Setting(
        "streams",
        120,
        "videos sent at the same time; the other threads are kept for pages",
        "streams",
        1,
        900,
    ),
    Setting(
        "stick_folders",
        ("/media/lessonbox",),
        "folders in which sticks and discs are mounted: what is there is offered on the school's page",
    ),
    Setting(
        "wifi_name", "", "name of the Wi-Fi by which boards and phones reach the box, for the door sheet"
    ),
    Setting(
        "hotspot",
        "auto",
        "an own Wi-Fi, where there is a free radio and lessonbox-lan runs; auto: while there is no LAN",
        choices=("auto", "on", "off"),
    ),
    Setting("hotspot_name", "", "its name; empty: lesson- and the end of the box's id"),
    Setting(
        "hotspot_password",
        "",
        "8 to 63 ASCII characters; empty: that of the door label, which the enrolment gives; `open`: none",
    ),
    Setting("wifi_country", "CN", "country whose rules the radio keeps"),
    Setting("share_drop", False, "offer drop/ to the receiver's PC as the share `drop` (needs samba)"),
    Setting("share_password", "", "for the user lessonbox of that share; empty: guests may write there"),
    Setting("share_smb1", False, "also to Windows XP; SMB1 is unsafe"),
    Setting("receiver_share", "", "folder of the receiver's PC that is read, like //192.168.1.20/recv"),
    Setting("receiver_user", "", "user there; empty: as guest"),
    Setting("receiver_password", "", "the user's password"),
    Setting("receiver_smb1", False, "read it by SMB1, which Windows XP needs; it is unsafe"),
    Setting("language", "zh", "language of pages where the board does not say", choices=("zh", "en")),
)


class BoxPaths(Struct, frozen=True):
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
    def received(self) -> Path:
        return self.data / "received"

    @property
    def local(self) -> Path:
        return self.data / "local"

    @property
    def uploads(self) -> Path:
        return self.incoming / "uploads"

    @property
    def pin(self) -> Path:
        return self.data / "pin.json"

    @property
    def incoming(self) -> Path:
        return self.data / "incoming"

    @property
    def state_db(self) -> Path:
        return self.data / "state.db"

    @property
    def parcels_db(self) -> Path:
        return self.data / "parcels.db"

    @property
    def usage_db(self) -> Path:
        return self.data / "usage.db"

    @property
    def outbox_db(self) -> Path:
        return self.data / "outbox.db"

    @property
    def compiled(self) -> Path:
        return self.data / "compiled"

    @property
    def streaming(self) -> Path:
        return self.data / "streaming"

    @property
    def network(self) -> Path:
        return self.data / "network.json"

    @property
    def lan(self) -> Path:
        return self.data / "lan.json"

    @property
    def neighbours(self) -> Path:
        return self.data / "neighbours.json"

    @property
    def school_db(self) -> Path:
        return self.data / "school.db"

    @property
    def search_db(self) -> Path:
        return self.data / "search.db"

    @property
    def health(self) -> Path:
        return self.data / "health.json"

    @property
    def firstboot(self) -> Path:
        return self.data / "firstboot.json"

    @property
    def card(self) -> Path:
        return self.data / "card.json"


def load_settings(data: Path) -> Settings:
    """The settings of the box whose data folder this is. Raises SetupError, SettingError.

    One that these programs do not know is passed over: a newer version may have written it before it was gone
    back from. The doctor tells.
    """
    path = BoxPaths(data).config
    if not path.is_file():
        raise SetupError(f"{data} is not a box's data folder")
    settings = parse(BOX_SETTINGS, read_capped(path, 1 << 20).decode("utf-8", "replace"), pass_over=True)
    check_settings(settings, data)
    return settings


def check_settings(settings: Settings, data: Path) -> None:
    """What the table alone cannot say. Raises SettingError."""
    for url in settings.texts("urls"):
        try:
            check_url(url)
        except FormatError as error:
            raise SettingError(f"urls: {error.what}") from None
    if settings.text("proxy"):
        try:
            check_url(settings.text("proxy"))
        except FormatError as error:
            raise SettingError(f"proxy: {error.what}") from None
    check_windows(settings)
    check_network(settings)
    for name in ("drop_folders", "drop_delete", "stick_folders"):
        for folder in settings.texts(name):
            if not Path(folder).is_absolute():
                raise SettingError(f"{name}: {folder!r} does not begin with /")
    for folder in settings.texts("drop_delete"):
        if folder not in (*settings.texts("drop_folders"), str(BoxPaths(data).drop)):
            raise SettingError(f"drop_delete: {folder!r} is no drop folder")
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9-]{0,58}[A-Za-z0-9])?", settings.text("host_name")):
        raise SettingError("host_name must be letters a to z, digits and - between them, at most 60")


def has_line(settings: Settings) -> bool:
    """Whether the county is expected to be reached; a point that takes from drops alone can only receive, as
    one whose only uplink does."""
    if only_receives(parse_uplinks(settings.texts("uplinks"))):
        return False
    return bool({"torrent", "webseed"} & set(settings.texts("sources")))


def read_enrolment(paths: BoxPaths) -> Enrolment:
    """The box's enrolment. Raises SetupError when there is none, EnrolError, FormatError."""
    try:
        return parse_enrolment(read_capped(paths.enrolment, MAX_ENROLMENT))
    except NotFoundError:
        if paths.config.is_file():
            raise UnenrolledError(f"{paths.data} has no enrolment yet") from None
        raise SetupError(f"{paths.data} has no enrolment") from None


def token_source(paths: BoxPaths, enrolment: Enrolment) -> Callable[[], str | None]:
    """What gives the token that the county's addresses carry now (formats.md 8); None: this box has none. The
    number is that of the newest envelope, as sync wrote it down."""
    reader = StateReader(paths.state_db)

    def current() -> str | None:
        if enrolment.token_key is None:
            return None
        try:
            number = int(reader.meta("token") or 1)
        except LessonBoxError:
            number = 1  # sync has not begun yet
        return make_token(enrolment.token_key, enrolment.box, number)

    return current


def county_urls(settings: Settings, enrolled: Sequence[str]) -> tuple[str, ...]:
    """The county's addresses without closing slash: those of box.toml, else those of the enrolment."""
    return tuple(url.rstrip("/") for url in settings.texts("urls") or enrolled)
