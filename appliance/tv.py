"""The box's own screen: whether a television is connected, and the browser that shows the lessons on it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from content_sync.errors import SetupError

DRM = Path("/sys/class/drm")
ASOUND = Path("/proc/asound")
#: What `lessonbox tv` ends with where no display is connected; its unit waits for one then.
NO_DISPLAY = 3
_BROWSERS = ("chromium", "chromium-browser")
#: A kiosk: nothing to close, no questions, sound without a touch, nothing asked of the Internet. What a
#: browser would offer over a page (to translate it, to keep a password) lessonbox-tv.policy says no to.
_SWITCHES = (
    "--kiosk",
    "--autoplay-policy=no-user-gesture-required",
    "--no-first-run",
    "--noerrdialogs",
    "--log-level=3",
    "--disable-infobars",
    "--disable-session-crashed-bubble",
    # the address bar's pages, which nobody sees here, are half the work of a start
    "--disable-features=Translate,MediaRouter,WebUIOmniboxPopup,WebUIOmniboxAimPopup,WebUIOmniboxFullPopup",
    # Seconds, not 15: where disk and processor are slow the browser's own network gave up before it was
    # heard, and the first page, already asked of it, stayed white for ever.
    "--ipc-connection-timeout=600",
    "--disable-component-update",
    "--disable-background-networking",
    "--disable-sync",
    "--password-store=basic",
    "--remote-debugging-pipe",  # for tv_watch.Browser
    "--overscroll-history-navigation=0",
)
_CACHE = 32 << 20
_ELD = re.compile(r"eld#(?:\d+\.)?(\d+)")


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


def draws(drm: Path = DRM) -> bool:
    """Whether a graphics processor can draw; else the computer's own does it all."""
    return any(drm.glob("renderD*"))


def sound(outputs: list[str], asound: Path = ASOUND) -> str:
    """The ALSA name of the television's loudspeakers; empty where no display says that it has any.

    A PC's sound card keeps what each display said of itself; a Raspberry Pi has a card for each socket.
    """
    for eld in sorted(asound.glob("card*/eld#*")):
        number = _ELD.fullmatch(eld.name)
        try:
            said, card = eld.read_text("utf-8", "replace"), (eld.parent / "id").read_text("ascii").strip()
        except OSError:
            continue
        if number and all(
            re.search(rf"^{fact}\s+1$", said, re.M) for fact in ("monitor_present", "eld_valid")
        ):
            return f"plug:SLAVE='hdmi:CARD={card},DEV={number[1]}'"
    for output in outputs:
        card = f"vc4hdmi{int(output[-1]) - 1}" if output[-1:].isdigit() else ""
        if "-HDMI-" in output and (asound / card).exists():
            return f"plug:SLAVE='hdmi:CARD={card}'"
    return ""


def begin_anew(profile: Path) -> None:
    """Forget all that a browser left but its cookies, which say what room the television stands in: after a
    cut of power, under a new name of the box and by another version it starts as the first time."""
    kept = {profile / name for name in ("Default", "Default/Cookies", "Default/Cookies-journal")}
    for path in {*profile.glob("*"), *profile.glob("Default/*")} - kept:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def kiosk(
    url: str,
    profile: Path,
    environ: Mapping[str, str],
    *,
    root: bool = False,
    drawn: bool = True,
    speakers: str = "",
    which: Callable[[str], str | None] = shutil.which,
) -> list[str]:
    """The command that shows `url` full screen: chromium where a desktop runs, else inside cage, which is a
    desktop of one window. `drawn`: by a graphics processor. Raises SetupError where one of them is not
    installed."""
    browser = next(filter(None, map(which, _BROWSERS)), None)
    if browser is None:
        raise SetupError("chromium is not installed: apt-get install chromium cage")
    command = [browser, *_SWITCHES, f"--user-data-dir={profile}"]
    if host := urlsplit(url).hostname:  # nothing else is asked for, over whatever line
        command.append(f"--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE {host}")
    if root:
        command.append("--no-sandbox")
    if not drawn:
        command.append("--disable-gpu")
    if speakers:
        command.append(f"--alsa-output-device={speakers}")
    # What lies on the box already is not written to the card again.
    if memory := environ.get("RUNTIME_DIRECTORY"):
        command += [f"--disk-cache-dir={memory}/cache", f"--disk-cache-size={_CACHE}"]
    if environ.get("WAYLAND_DISPLAY"):
        return [*command, "--ozone-platform=wayland", url]
    if environ.get("DISPLAY"):
        return [*command, url]
    cage = which("cage")
    if cage is None:
        raise SetupError("cage is not installed: apt-get install cage")
    # -s: a keyboard's Ctrl+Alt+F1 shows the console; of two displays one shows all
    return [cage, "-d", "-s", "-m", "last", "--", *command, "--ozone-platform=wayland", url]
