"""What of the card's config stays in box.toml, and goes from there when it goes from the card."""

from __future__ import annotations

from appliance.config import BOX_SETTINGS, BoxPaths
from appliance.setting_file import change, settings_of
from content_sync.adapters.files import read_capped, write_durable
from content_sync.errors import FormatError, NotFoundError
from content_sync.formats.boxconfig import Read
from content_sync.formats.canonical import check_format, dump, load
from content_sync.settings import Value

FORMAT = "lessonbox-card/1"
_CAP = 64 << 10
_NAMES = (
    "host_name",
    "proxy",
    "hotspot",
    "hotspot_name",
    "hotspot_password",
    "wifi_country",
    "uplinks",
    "lan_gateway",
)
_DEFAULTS = {setting.name: setting.default for setting in BOX_SETTINGS if setting.name in _NAMES}


def settle(paths: BoxPaths, read: Read) -> None:
    """Give box.toml what the card says. What it said before and says no more is by default again, unless
    a page or a hand has changed it since; so is a key that stands there empty. A card that could not be read
    takes nothing away. Raises SettingError, StorageError, DiskFullError.

    `card.json` remembers what came from the card: noted before it is written and forgotten after it is gone,
    so that a power cut between leaves nothing that nobody takes back.
    """
    said: dict[str, Value] = {
        name: getattr(read.config, name) for name in _NAMES if getattr(read.config, name)
    }
    before = _given(paths)
    here = settings_of(read_capped(paths.config, 1 << 20).decode("utf-8", "replace"))
    gone: dict[str, Value] = {}
    if read.legible:
        gone = {
            name: default
            for name, default in _DEFAULTS.items()
            if name not in said and (name in read.cleared or (name in before and before[name] == here[name]))
        }
    _note(paths, before, before | said)
    change(paths.config, gone | said)
    _note(paths, before | said, said if read.legible else before | said)


def _given(paths: BoxPaths) -> dict[str, Value]:
    try:
        told = load(read_capped(paths.card, _CAP), _CAP)
        check_format(told, FORMAT)
    except (NotFoundError, FormatError):
        return {}  # torn by nobody, since it is written whole; another version's: nothing is taken back
    given = told.get("given")
    found = given.items() if isinstance(given, dict) else ()
    return {name: tuple(value) if isinstance(value, list) else value for name, value in found}


def _note(paths: BoxPaths, before: dict[str, Value], given: dict[str, Value]) -> None:
    if given != before:
        told = {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}
        write_durable(paths.card, dump({"format": FORMAT, "given": told}), 0o600)  # the hotspot's password
