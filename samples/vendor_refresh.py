"""Takes what the library needs from unpacked npm packages into samples/vendor/.

    npm pack hanzi-writer hanzi-writer-data      (then unpack both)
    python samples/vendor_refresh.py HANZI_WRITER_FOLDER HANZI_WRITER_DATA_FOLDER

Only the characters that titles, poems and exercises use are taken.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from kit.lesson import load_all
from kit.look import VENDOR

FIXED = "我会写读懂诗句看图想一想练解字它记住认识比发现聚焦导学案教课前后上做试猜验录的家有什么用回里说话画中"


def wanted() -> set[str]:
    """Every Han character that is shown in Kai."""
    text = FIXED
    for lesson in load_all():
        text += lesson.title + lesson.data.get("part", "") + lesson.data.get("strokes", "")
        text += lesson.volume
        for poem in lesson.list("poem"):
            text += poem["name"] + poem["author"] + "".join(poem["lines"])
        for item in lesson.list("chars"):
            text += item["char"]
        for film in lesson.list("film"):
            for scene in film["scene"]:
                text += scene.get("heading", "") + "".join(r[0] for r in scene.get("rows", []))
        for slide in lesson.list("slide"):
            text += slide.get("heading", "")
    return {c for c in text if "\u4e00" <= c <= "\u9fff"}


def main(writer: Path, data: Path) -> None:
    """Copies the script, the characters and their licences."""
    into, chars = VENDOR / "hanzi-writer", VENDOR / "hanzi-writer-data"
    for folder in (into, chars):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    shutil.copy(writer / "dist/hanzi-writer.min.js", into)
    shutil.copy(writer / "LICENSE", into)
    shutil.copy(writer / "COPYING.md", into)
    shutil.copy(data / "ARPHICPL.TXT", chars)
    shutil.copy(data / "README.md", chars)
    for char in sorted(wanted()):
        shutil.copy(data / f"{char}.json", chars)
    for folder in (writer, data):
        about = json.loads((folder / "package.json").read_text("utf-8"))
        print(about["name"], about["version"])
    print(len(wanted()), "characters")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
