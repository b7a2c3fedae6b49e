"""The county's settings (county.toml) and where its files lie (formats.md 10)."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from content_sync.adapters.files import read_capped
from content_sync.errors import SetupError
from content_sync.settings import Setting, Settings, parse

COUNTY_SETTINGS = (
    Setting("name", "", "the county's name, as boxes and pages show it"),
    Setting("urls", (), "addresses at which boxes reach this server, first the best"),
    Setting("seeder_port", 6889, "port of the county's BitTorrent seeder", "port", 1, 65535),
    Setting(
        "seeder_address",
        "",
        "IP address or name of the seeder as boxes reach it; empty: the host of the first address",
    ),
    Setting(
        "upload_rate",
        0,
        "most bytes a second that seeder and web seed send in all; 0: no limit",
        "B/s",
        0,
        1 << 40,
    ),
    Setting(
        "lesson_upload_rate",
        0,
        "most bytes a second that the seeder sends of one lesson, so that a new one that all schools"
        " want leaves room for the others; 0: no limit",
        "B/s",
        0,
        1 << 40,
    ),
    Setting("upload_slots", 500, "boxes that the seeder sends to at the same time", "boxes", 1, 10_000),
    Setting(
        "seeder_lessons", 2_000, "lessons that the seeder holds ready at the same time", "lessons", 1, 50_000
    ),
    Setting(
        "super_seeding",
        True,
        "the seeder shows clients behind one line different pieces of a new lesson, so that each crosses that"
        " line about once; they wait some 10 s for the first",
    ),
    Setting(
        "open_access",
        "private",
        "who may use tracker and web seed without a token: nobody, clients at private addresses, or all",
        choices=("none", "private", "all"),
    ),
    Setting(
        "trusted_proxies",
        (),
        "addresses or networks of proxies (nginx) in front of this server, whose X-Forwarded-For is believed",
    ),
    Setting("announce_seconds", 120, "how often boxes come back to the tracker", "s", 10, 7200),
    Setting("threads", 64, "threads that answer boxes and staff", "threads", 4, 1000),
    Setting(
        "expire_days",
        365,
        "after how many days without a new signature boxes show the library as stale",
        "days",
        1,
        3650,
    ),
    Setting("keep_releases", 3, "`county collect` keeps at least so many releases", "releases", 1, 1000),
    Setting(
        "keep_days",
        120,
        "`county collect` keeps what was the library within so many days: boxes may be off for a term",
        "days",
        0,
        3650,
    ),
    Setting("timezone", "Asia/Shanghai", "time zone of dates in statistics and on the county's pages"),
    Setting("page_pixels", 1440, "longer side of the page images made from PDF and PPT", "px", 320, 4096),
    Setting(
        "light_kbit",
        0,
        "bit rate of the light rendition that is made of each video for thin lines (480 lines); 0: none",
        "kbit/s",
        0,
        5000,
    ),
    Setting("most_pages", 100, "pages of one document that are turned into images", "pages", 0, 10_000),
)


class CountyPaths(Struct, frozen=True):
    """Where each file of a county lies."""

    data: Path

    @property
    def config(self) -> Path:
        return self.data / "county.toml"

    @property
    def keys(self) -> Path:
        return self.data / "keys"

    @property
    def objects(self) -> Path:
        return self.data / "objects"

    @property
    def public(self) -> Path:
        return self.data / "public"

    @property
    def library_db(self) -> Path:
        return self.data / "library.db"

    @property
    def reports_db(self) -> Path:
        return self.data / "reports.db"

    @property
    def work(self) -> Path:
        return self.data / "work"


def load_settings(data: Path) -> Settings:
    """The settings of the county whose data folder this is. Raises SetupError, SettingError."""
    path = CountyPaths(data).config
    if not path.is_file():
        raise SetupError(f"{data} is not a county's data folder")
    return parse(COUNTY_SETTINGS, read_capped(path, 1 << 20).decode("utf-8", "replace"))
