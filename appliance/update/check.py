"""Whether a system that is tried works: what a board and the county would see of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

from appliance.setup import forgets

#: Well twice, so many seconds apart, and no program began anew in between.
_APART = 10.0
_LOOK = 2.0
_PATIENCE = 20.0
_CAP = 1 << 20
_SOME = 16 << 10
PROGRAMS = ("lessonbox-web.service", "lessonbox-sync.service", "lessonbox-agent.service")
Run = Callable[[Sequence[str]], str]


def ask(url: str, header: str = "") -> tuple[int, bytes]:
    """Status and bytes of an answer. Raises OSError."""
    request = Request(url, headers={"Range": header} if header else {})
    with urlopen(request, timeout=_PATIENCE) as answer:
        return answer.status, answer.read(_CAP)


def ails(base: str, data: Path, run: Run, get: Callable[[str, str], tuple[int, bytes]] = ask) -> str:
    """What is wrong, one word that goes into the record: `page`, `lesson`, `data`, `sync`, `agent`; empty
    when nothing is."""
    if forgets(data):  # a blank box looks well
        return "data"
    try:
        status, page = get(f"{base}/", "")
        if status != 200 or len(page) < 200:
            return "page"
    except (OSError, URLError):
        return "page"
    try:
        _, said = get(f"{base}/api/v1/lessons?state=present&limit=1", "")
        lessons = json.loads(said)["lessons"]
        if lessons and lessons[0]["resources"]:
            url = str(lessons[0]["resources"][0]["url"])
            path = url if url.startswith("/") else "/" + url.split("/", 3)[-1]
            status, piece = get(f"{base}{path}", f"bytes=0-{_SOME - 1}")
            if status not in (200, 206) or not piece:
                return "lesson"
    except (OSError, ValueError, LookupError, TypeError):
        return "lesson"
    if (data / "enrolment.json").exists():
        if run(["systemctl", "show", "-P", "ActiveState", PROGRAMS[1]]).strip() != "active":
            return "sync"
        if run(["systemctl", "show", "-P", "ActiveState", PROGRAMS[2]]).strip() != "active":
            return "agent"
    return ""


def restarts(run: Run) -> tuple[str, ...]:
    """How often each program was begun anew."""
    return tuple(run(["systemctl", "show", "-P", "NRestarts", name]).strip() for name in PROGRAMS)


def well(
    look: Callable[[], str],
    begun: Callable[[], tuple[str, ...]],
    deadline: float,
    clock: Callable[[], float],
    wait: Callable[[float], None],
) -> str:
    """Wait until all is well, and stays so; what was wrong last when the deadline passes first, else
    empty."""
    since: tuple[float, tuple[str, ...]] | None = None
    while True:
        wrong = look()
        now, count = clock(), begun()
        if wrong:
            since = None
        elif since is None or since[1] != count:
            since = now, count
        elif now - since[0] >= _APART:
            return ""
        if now >= deadline:
            return wrong or "restless"
        wait(_LOOK)
