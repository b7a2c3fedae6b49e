"""What a player shows of a video or sound: where it begins, its chapters and stops, its subtitles."""

from __future__ import annotations

import re
from typing import Any

from flask import request

from appliance.web.i18n import N_
from appliance.web.resume import stopped_at
from appliance.web.words import language_name
from content_sync.formats.lesson import Lesson, Resource, ResourceFile

#: What is left of a recording at its end, or heard of it at its beginning, is not worth going on from.
_EDGE = 10
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8}){0,3}")
#: The browser's reasons, in words: what happened, what to do.
TROUBLES = {
    "away": N_("课箱没有回应，正在一次一次地再试。还是不行，就看“本校”。"),
    "format": N_("这块白板放不了它：白板不认识文件的格式，或者文件坏了。"),
    "broken": N_("放到这里放不下去了：后面的画面可能坏了。可以跳过这一小段。"),
    "blind": N_("只有声音，没有画面：这块白板不认识它的画面格式。"),
    "slow": N_("画面还没有来，课箱正忙。再等一会儿，或者再试一次。"),
    "light": N_("原来的视频在这块白板上放不出来，现在放的是小一些的那一份。"),
}


def clock(seconds: int | None) -> str:
    """`7:42`, `1:07:42`."""
    if seconds is None:
        return ""
    hours, rest = divmod(max(seconds, 0), 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"


def _language(this: Resource, lesson: Lesson) -> str:
    """What is spoken in it."""
    return this.language or lesson.language or "zh-Hans"


def subtitle_language(this: Resource, entry: ResourceFile, lesson: Lesson) -> str:
    """Of `片.en.vtt` it is en, else the resource's own."""
    ending = entry.path[: -len(".vtt")].rpartition(".")[2] if entry.path.lower().endswith(".vtt") else ""
    stem = this.main.path.rpartition(".")[0]
    found = _LANGUAGE.fullmatch(ending) if entry.path[: -len(".vtt")] != stem else None
    return ending if found else _language(this, lesson)


def _begin(lesson: Lesson, this: Resource) -> tuple[int, bool]:
    """The second to begin at, and whether that is where the class stopped (`?t=` says another)."""
    asked = request.args.get("t", "")
    if asked.isascii() and asked.isdigit() and len(asked) < 6:
        return int(asked), False
    stopped = stopped_at(lesson.id, this.id) or 0
    if stopped < _EDGE or this.seconds is not None and stopped > this.seconds - _EDGE:
        return 0, False
    return stopped, True


def player_values(lesson: Lesson, this: Resource) -> dict[str, Any]:
    """What `_player.html` shows."""
    begin, again = _begin(lesson, this)
    tracks = [(subtitle_language(this, entry, lesson), entry) for entry in this.with_role("subtitles")]
    tracks.sort(key=lambda track: track[0] != _language(this, lesson))
    light = this.with_role("light")
    end = this.seconds
    return {
        "begin": begin,
        "again": again,
        "clock": clock,
        # a mark behind the end can't be shown; the county may have cut the recording since
        "chapters": [c for c in this.chapters if end is None or c.at < end],
        "stops": [s for s in this.stops if end is None or s.at < end],
        "tracks": [(language, language_name(language), entry) for language, entry in tracks],
        "light": light[0] if light else None,
        "troubles": TROUBLES,
    }
