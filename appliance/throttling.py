"""The rules of box.toml for what is fetched from afar, and the senses of the throttle."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from content_sync.errors import FormatError, SettingError
from content_sync.formats.budget import Window, parse_window_text
from content_sync.settings import Settings

if TYPE_CHECKING:
    from content_sync.engine.throttle import Local


def check_windows(settings: Settings) -> None:
    """Raises SettingError for what `local_rules` could not read."""
    _windows(settings, "windows", rate=True)
    _windows(settings, "live_classes", rate=False)


def local_rules(settings: Settings) -> Local:
    """What box.toml says itself. Raises SettingError."""
    from content_sync.engine.throttle import Local  # all programs check box.toml, sync alone has the throttle

    return Local(
        rate=settings.number("download_rate") or None,
        windows=_windows(settings, "windows", rate=True),
        live=_windows(settings, "live_classes", rate=False),
        day=settings.number("day_mb") << 20 or None,
        month=settings.number("month_mb") << 20 or None,
    )


def _windows(settings: Settings, name: str, rate: bool) -> tuple[Window, ...] | None:
    try:
        return tuple(parse_window_text(text, rate) for text in settings.texts(name)) or None
    except FormatError as error:
        raise SettingError(f"{name}: {error.what}") from None


def over_a_line(urls: Sequence[str]) -> bool:
    """Whether the county is reached over a line that others use: not when it is this very machine."""
    return any(not _loopback(urlsplit(url).hostname or "") for url in urls)


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
