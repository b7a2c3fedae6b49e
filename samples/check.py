"""Looks at a built library with tools other than those that made it."""

from __future__ import annotations

import json
import re
import struct
import subprocess
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from kit.look import tool
from kit.quiz import MATCH, SPACE

LIMIT = 15_000_000
KINDS = ("视频", "课堂实录", "课件", "互动课件", "教案", "试题", "导学案", "朗读", "音频", "图片", "资料")
REMOTE = re.compile(r"https?://|XMLHttpRequest\(|fetch\(|localStorage\b|sessionStorage\b|indexedDB\b")
HARMLESS = ("http://www.w3.org/",)
CUE = re.compile(r"^(\d\d):(\d\d):(\d\d\.\d{3}) --> (\d\d):(\d\d):(\d\d\.\d{3})$")


def boxes(file: Path) -> list[str]:
    """The outermost boxes of an MP4, in their order."""
    names, at = [], 0
    with file.open("rb") as data:
        end = file.stat().st_size
        while at + 8 <= end:
            data.seek(at)
            size, name = struct.unpack(">I4s", data.read(8))
            if size == 1:
                size = struct.unpack(">Q", data.read(8))[0]
            names.append(name.decode("latin-1"))
            at += size or end
    return names


def probe(file: Path, *more: str) -> dict:
    """What ffprobe says."""
    run = [tool("ffprobe"), "-v", "error", "-of", "json", *more, str(file)]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    return json.loads(done.stdout or "{}") if done.returncode == 0 else {}


def video(file: Path) -> Iterator[str]:
    """What is wrong with a film."""
    streams = {s["codec_type"]: s for s in probe(file, "-show_streams").get("streams", [])}
    picture, sound = streams.get("video", {}), streams.get("audio", {})
    seen = [picture.get(k) for k in ("codec_name", "pix_fmt", "width", "height")]
    if seen != ["h264", "yuv420p", 1280, 720] or picture.get("profile") not in ("High", "Main"):
        yield f"its picture is {seen}, profile {picture.get('profile')}"
    if sound.get("codec_name") != "aac":
        yield f"its sound is {sound.get('codec_name')}"
    order = boxes(file)
    if "moov" not in order or order.index("moov") > order.index("mdat"):
        yield f"its index is not at its start: {order}"
    long = float(picture.get("duration", 0))
    if not 20 <= long <= 95:
        yield f"it lasts {long:.0f} s"
    wanted = ("-select_streams", "v", "-skip_frame", "nokey", "-show_entries", "frame=pts_time")
    keys = [float(f["pts_time"]) for f in probe(file, *wanted).get("frames", [])]
    gaps = [b - a for a, b in zip(keys, [*keys[1:], long], strict=True)]
    if not gaps or max(gaps) > 2.1:
        yield f"its key frames are up to {max(gaps, default=0):.1f} s apart"
    vtt = file.with_suffix(".vtt")
    if not vtt.exists():
        yield "it has no subtitles"
    else:
        yield from subtitles(vtt, long)


def subtitles(file: Path, long: float) -> Iterator[str]:
    """What is wrong with subtitles."""
    lines = file.read_text("utf-8").splitlines()
    if lines[0] != "WEBVTT":
        yield "its subtitles are not WebVTT"
    last, count = 0.0, 0
    for line in lines:
        if cue := CUE.match(line):
            h, m, s, h2, m2, s2 = (float(g) for g in cue.groups())
            start, end = h * 3600 + m * 60 + s, h2 * 3600 + m2 * 60 + s2
            count += 1
            if not last <= start < end <= long + 0.5:
                yield f"its subtitle {count} runs from {start} to {end}"
            last = start
    if count < 4:
        yield f"it has only {count} subtitles"


def pdf(file: Path) -> Iterator[str]:
    """What is wrong with a PDF."""
    data = file.read_bytes()
    if not data.startswith(b"%PDF-") or b"%%EOF" not in data[-64:]:
        yield "it is no whole PDF"
    pages = len(re.findall(rb"/Type\s*/Page\b", data))
    if not pages:
        yield "it has no pages"
    if b"/FontFile2" not in data:
        yield "it carries no font"


def pptx(file: Path) -> Iterator[str]:
    """What is wrong with courseware."""
    from pptx import Presentation

    with zipfile.ZipFile(file) as parts:
        if parts.testzip():
            yield "it is damaged"
    count = len(Presentation(str(file)).slides)
    if not 5 <= count <= 9:
        yield f"it has {count} slides"


def tag(name: str) -> str:
    """A QTI name with its namespace."""
    return f"{{{SPACE}}}{name}"


def quiz(folder: Path) -> Iterator[str]:
    """What is wrong with a quiz."""
    test = ElementTree.parse(folder / "assessment.xml").getroot()
    if test.tag != tag("qti-assessment-test"):
        yield "assessment.xml is no QTI 3.0 test"
    refs = [r.get("href", "") for r in test.iter(tag("qti-assessment-item-ref"))]
    if not 4 <= len(refs) <= 6:
        yield f"it has {len(refs)} items"
    kinds = set()
    for ref in refs:
        root = ElementTree.parse(folder / ref).getroot()
        right = [v.text or "" for v in root.findall(f".//{tag('qti-correct-response')}/{tag('qti-value')}")]
        choices = [c.get("identifier") for c in root.iter(tag("qti-simple-choice"))]
        words = [c.text for c in root.iter(tag("qti-simple-choice"))]
        entry = root.find(f".//{tag('qti-text-entry-interaction')}")
        choice = root.find(f".//{tag('qti-choice-interaction')}")
        process = root.find(tag("qti-response-processing"))
        declared = root.find(tag("qti-response-declaration"))
        many = declared is not None and declared.get("cardinality") == "multiple"
        if root.tag != tag("qti-assessment-item") or process is None or process.get("template") != MATCH:
            yield f"{ref} is no QTI 3.0 item with match_correct"
        if not right or not all(right):
            yield f"{ref} has no correct response"
        if choice is not None and (not set(right) <= set(choices) or len(set(words)) != len(words)):
            yield f"{ref}: {right} is not among {choices}, or two choices are the same"
        if choice is not None and int(choice.get("max-choices", 0)) != len(right):
            yield f"{ref}: max-choices doesn't fit {len(right)} answers"
        if (choice is None) == (entry is None) or many != (len(right) > 1):
            yield f"{ref} has not just one interaction, or a cardinality that doesn't fit"
        kinds.add("text" if entry is not None else "multiple" if many else "single")
    if kinds != {"text", "multiple", "single"}:
        yield f"it only has {sorted(kinds)}"


def courseware(folder: Path) -> Iterator[str]:
    """What is wrong with HTML5 courseware."""
    if not (folder / "index.html").exists():
        yield "it has no index.html"
        return
    page = (folder / "index.html").read_text("utf-8")
    for name in re.findall(r'(?:src|href)="([^"#]+)"', page):
        if not (folder / name).is_file():
            yield f"{name} is not there"
    for file in (
        p for p in folder.iterdir() if p.suffix in (".html", ".js", ".css") and ".min." not in p.name
    ):
        text = file.read_text("utf-8")
        for name in HARMLESS:
            text = text.replace(name, "")
        if found := REMOTE.search(text):
            yield f"{file.name} has {found.group()}"


def about(folder: Path) -> Iterator[str]:
    """What is wrong with a lesson's lesson.toml."""
    file = folder / "lesson.toml"
    if not file.exists():
        yield "there is no lesson.toml"
        return
    data = tomllib.loads(file.read_text("utf-8"))
    for key in ("title", "periods", "licence", "source", "language"):
        if not data.get(key):
            yield f"lesson.toml has no {key}"
    here = {p.name for p in folder.iterdir() if p.name != "lesson.toml" and p.suffix != ".vtt"}
    told = set(data.get("resource", {}))
    if here != told:
        yield f"lesson.toml and the folder differ: {sorted(here ^ told)}"
    for name in here:
        if name.split(" ")[0] not in KINDS:
            yield f"{name} tells no kind"


def check(root: Path) -> int:
    """Prints every problem; 0 when there is none."""
    if not root.is_dir():
        print(f"check: {root} is no folder")
        return 1
    problems, counts = [], dict.fromkeys(KINDS, 0)
    lessons = sorted(p for p in root.glob("*/*/*/*/*/*") if p.is_dir())
    for lesson in lessons:
        place = lesson.relative_to(root)
        problems += [f"{place}: {x}" for x in about(lesson)]
        for item in sorted(lesson.iterdir()):
            kind = item.name.split(" ")[0]
            if item.suffix == ".vtt" or item.name == "lesson.toml":
                continue
            counts[kind] = counts.get(kind, 0) + 1
            found: Iterator[str] = iter(())
            if item.suffix == ".mp4":
                found = video(item)
            elif item.suffix == ".pdf":
                found = pdf(item)
            elif item.suffix == ".pptx":
                found = pptx(item)
            elif item.suffix == ".m4a":
                codec = [s.get("codec_name") for s in probe(item, "-show_streams").get("streams", [])]
                found = iter([] if codec == ["aac"] else [f"its sound is {codec}"])
            elif kind == "试题":
                found = quiz(item)
            elif kind == "互动课件":
                found = courseware(item)
            problems += [f"{place / item.name}: {x}" for x in found]
    files = [p for p in root.rglob("*") if p.is_file()]
    problems += [f"{p.relative_to(root)}: it is empty" for p in files if not p.stat().st_size]
    total = sum(p.stat().st_size for p in files)
    if total > LIMIT:
        problems.append(f"the library has {total / 1e6:.1f} MB")
    if len(lessons) < 9:
        problems.append(f"there are only {len(lessons)} lessons")
    for line in problems:
        print(line)
    kinds = "  ".join(f"{k} {n}" for k, n in counts.items() if n)
    print(f"{len(lessons)} lessons, {sum(counts.values())} resources ({kinds}), {total / 1e6:.1f} MB, "
          f"{len(problems)} problems")  # fmt: skip
    return 1 if problems else 0
