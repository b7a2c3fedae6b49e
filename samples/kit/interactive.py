"""HTML5 courseware: a folder of plain files that needs no network and no storage."""

from __future__ import annotations

import json
import shutil
from html import escape
from pathlib import Path

from . import hanzi as hz
from .lesson import Lesson
from .look import HERE, VENDOR

COURSEWARE = HERE / "courseware"


def _page(folder: Path, name: str, lesson: Lesson) -> None:
    """Copies one courseware's files, its page filled with the lesson's name and colour."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in sorted((COURSEWARE / name).iterdir()):
        if file.name == "index.html":
            text = file.read_text("utf-8").replace("{{title}}", escape(lesson.part))
            (folder / file.name).write_text(text.replace("{{colour}}", lesson.colour), "utf-8")
        else:
            shutil.copyfile(file, folder / file.name)
    shutil.copyfile(COURSEWARE / "base.css", folder / "base.css")


def make_strokes(lesson: Lesson, folder: Path) -> None:
    """Stroke order of the lesson's characters, their data in a script so that nothing is fetched."""
    _page(folder, "strokes", lesson)
    sounds = {i["char"]: [i["sound"], i["words"]] for i in lesson.list("chars")}
    sounds |= {char: [sound, ""] for char, sound in lesson.data.get("sounds", {}).items()}
    data = {}
    for char in lesson.data["strokes"]:
        data[char] = json.loads((hz.DATA / f"{char}.json").read_text("utf-8"))
    words = json.dumps(
        {"chars": list(data), "sounds": sounds, "data": data}, ensure_ascii=False, separators=(",", ":")
    )
    note = "/* Character data: Arphic Public License, see ARPHICPL.TXT */\n"
    (folder / "data.js").write_text(f"{note}window.LESSON = {words};\n", "utf-8")
    shutil.copyfile(VENDOR / "hanzi-writer" / "hanzi-writer.min.js", folder / "hanzi-writer.min.js")
    shutil.copyfile(VENDOR / "hanzi-writer" / "LICENSE", folder / "LICENSE-hanzi-writer.txt")
    shutil.copyfile(hz.DATA / "ARPHICPL.TXT", folder / "ARPHICPL.TXT")


def make_clock(lesson: Lesson, folder: Path) -> None:
    """A clock whose hands can be dragged."""
    _page(folder, "clock", lesson)
    seconds = "true" if "秒" in lesson.title else "false"
    (folder / "lesson.js").write_text(f"window.LESSON = {{ seconds: {seconds} }};\n", "utf-8")


def make_fraction(lesson: Lesson, folder: Path) -> None:
    """A disc and a strip to cut and colour."""
    _page(folder, "fraction", lesson)
