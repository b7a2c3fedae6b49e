"""The box's own screen: whether a television is connected, and the browser that shows the lessons on it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from content_sync.errors import SetupError

DRM = Path("/sys/class/drm")
_BROWSERS = ("chromium", "chromium-browser")
#: A kiosk: nothing to close, no questions, sound without a touch, nothing asked of the Internet.
_SWITCHES = (
    "--kiosk",
    "--autoplay-policy=no-user-gesture-required",
    "--no-first-run",
    "--noerrdialogs",
    "--disable-infobars",
    "--disable-session-crashed-bubble",
    "--disable-features=Translate,MediaRouter",
    "--disable-component-update",
    "--disable-background-networking",
    "--disable-sync",
    "--password-store=basic",
    "--overscroll-history-navigation=0",
)


def connected(drm: Path = DRM) -> list[str]:
    """The outputs that a display hangs on, like `card1-HDMI-A-1`."""
    found = []
    for status in sorted(drm.glob("card*-*/status")):
        try:
            if status.read_text("ascii", "replace").strip() == "connected":
                found.append(status.parent.name)
        except OSError:  # an output that went away meanwhile
            continue
    return found


def kiosk(
    url: str,
    profile: Path,
    environ: Mapping[str, str],
    root: bool = False,
    which: Callable[[str], str | None] = shutil.which,
) -> list[str]:
    """The command that shows `url` full screen: chromium where a desktop runs, else inside cage, which is a
    desktop of one window. Raises SetupError where one of them is not installed."""
    browser = next(filter(None, map(which, _BROWSERS)), None)
    if browser is None:
        raise SetupError("chromium is not installed: apt-get install chromium cage")
    command = [browser, *_SWITCHES, f"--user-data-dir={profile}"]
    if root:
        command.append("--no-sandbox")
    if environ.get("WAYLAND_DISPLAY"):
        return [*command, "--ozone-platform=wayland", url]
    if environ.get("DISPLAY"):
        return [*command, url]
    cage = which("cage")
    if cage is None:
        raise SetupError("cage is not installed: apt-get install cage")
    return [cage, "-d", "--", *command, "--ozone-platform=wayland", url]
