"""Builds the sample library: real lessons, made on the spot from the small sources in this folder.

python samples/build.py --out DIR       builds, or rebuilds what has changed
python samples/build.py --check DIR     looks whether a built library is as it should be
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

try:
    from kit import film, interactive, paper, pictures, quiz, slides
    from kit.lesson import LICENCE, SOURCE, Lesson, Spec, load_all, words_of
    from kit.look import HERE, Missing, hei, latin, tool
    from kit.speech import readings
except ModuleNotFoundError as gone:
    sys.exit(f"build: the Python library {gone.name} is not here: pip install pillow python-pptx reportlab")

STATE, WORK = ".samples.json", ".samples-work"
PAINT = ("look", "hanzi", "paint", "lesson", "views", "views_poem", "views_class", "pictures")
DRAWN = (*PAINT, "slides", "paper")


@dataclass(frozen=True)
class Task:
    """One resource to make: where it goes, what makes it, what it depends on."""

    target: str  # below the library, a file or a folder
    maker: str
    lesson: Lesson
    modules: tuple[str, ...]
    data: str
    number: int = 0
    also: tuple[str, ...] = ()  # files made together with the target
    folders: tuple[Path, ...] = field(default=())

    def mark(self) -> str:
        """A hash of everything that this resource is made from."""
        sha = hashlib.sha256(self.data.encode())
        for name in self.modules:
            sha.update((HERE / "kit" / f"{name}.py").read_bytes())
        for folder in self.folders:
            for file in sorted(p for p in folder.rglob("*") if p.is_file()):
                sha.update(file.name.encode() + file.read_bytes())
        return sha.hexdigest()


def file_title(lesson: Lesson) -> str:
    """The lesson's part as it stands in a file's name."""
    return "和".join(lesson.part.split())


def reading_rows(lesson: Lesson) -> list[str]:
    """What is read aloud: the poems, or the lesson's own lines."""
    rows: list[str] = list(lesson.data.get("reading", []))
    for poem in lesson.list("poem"):
        author = poem["author"].replace("[", "").replace("] ", "代诗人，")
        rows += [poem["name"] + "。", author + "。", "", *(line + "。" for line in poem["lines"]), "", ""]
    return rows


def tasks_of(lesson: Lesson) -> Iterator[Task]:
    """Everything that one lesson holds."""
    home, name, make = lesson.folder.as_posix(), file_title(lesson), lesson.list("make")
    about = {k: lesson.data.get(k) for k in ("path", "number", "title", "part", "picture")}

    def data(*keys: str) -> str:
        return json.dumps([about, {k: lesson.data.get(k) for k in keys}], ensure_ascii=False)

    for n, one in enumerate(lesson.list("film")):
        said = [readings().get(words_of(x), "") for s in one["scene"] for x in s["say"]]
        base = f"{home}/视频 {one['title']}"
        yield Task(
            f"{base}.mp4", "film", lesson, (*PAINT, "speech", "film"),
            json.dumps([about, one, said, lesson.list("poem"), lesson.list("chars")]), n, (f"{base}.vtt",),
        )  # fmt: skip
    for kind, suffix in (("slides", "pptx"), ("slides-pdf", "pdf")):
        if kind in make:
            everything = data("slide", "poem", "chars", "plan", "film")
            yield Task(f"{home}/课件 {name}.{suffix}", "slides", lesson, DRAWN, everything)
    if "plan" in make:
        yield Task(
            f"{home}/教案 {name}.pdf", "plan", lesson, ("look", "hanzi", "paint", "paper"), data("plan")
        )
    if "guide" in make:
        everything = data("guide", "chars")
        yield Task(
            f"{home}/导学案 {name}.pdf", "guide", lesson, ("look", "hanzi", "paint", "paper"), everything
        )
    if "quiz" in make:
        yield Task(f"{home}/试题 课堂练习", "quiz", lesson, ("quiz",), data("quiz"))
    if "reading" in make:
        rows = json.dumps([[r, readings().get(r)] for r in reading_rows(lesson)])
        yield Task(f"{home}/朗读 {name}.m4a", "reading", lesson, ("speech", "film"), rows)
    if "picture" in make:
        yield Task(f"{home}/图片 {name}.png", "picture", lesson, PAINT, data("film", "poem"))
    if "note" in make:
        yield Task(f"{home}/资料 {lesson.data['note_title']}.txt", "note", lesson, (), data("note"))
    for kind, title in (("strokes", "生字笔顺"), ("clock", "会转的钟"), ("fraction", "分数圆片")):
        if kind in make:
            folders = (HERE / "courseware" / kind, HERE / "vendor" / "hanzi-writer")
            css = (HERE / "courseware" / "base.css").read_text("utf-8")
            everything = data("strokes", "sounds", "chars") + css
            target = f"{home}/互动课件 {title}"
            yield Task(target, kind, lesson, ("interactive",), everything, folders=folders)
    yield Task(f"{home}/lesson.toml", "about", lesson, (), json.dumps(lesson.data) + ABOUT_VERSION)


ABOUT_VERSION = "3"
MAKERS: dict[str, Callable[[Lesson, Path], None]] = {
    "slides": slides.make_slides,
    "plan": paper.make_plan,
    "guide": paper.make_guide,
    "quiz": quiz.make_quiz,
    "strokes": interactive.make_strokes,
    "clock": interactive.make_clock,
    "fraction": interactive.make_fraction,
}


def quoted(words: str) -> str:
    """A TOML string."""
    return json.dumps(words, ensure_ascii=False)


def marks_of(one: Spec) -> Iterator[str]:
    """A film's chapters and stops for two teachers (双师), as lesson.toml has them."""
    chapters, stops = film.marks(one)
    if chapters:
        rows = (f"  {{at = {at}, title = {quoted(title)}}}," for at, title in chapters)
        yield "\n".join(("chapters = [", *rows, "]"))
    if stops:
        rows = (f"  {{at = {at}, do = {quoted(do)}, minutes = {n}}}," for at, do, n in stops)
        yield "\n".join(("stops = [", *rows, "]"))


def write_about(lesson: Lesson, file: Path) -> None:
    """lesson.toml: title, periods, licence and source, and what differs for single resources."""
    lines = [
        f"title = {quoted(lesson.title)}",
        f"periods = {lesson.data['periods']}",
        f"licence = {quoted(LICENCE)}",
        f"source = {quoted(SOURCE)}",
        'language = "zh-Hans"',
    ]
    order = ("视频", "朗读", "课件", "互动课件", "图片", "试题", "导学案", "教案", "资料")
    found = [Path(t.target).name for t in tasks_of(lesson) if t.maker != "about"]
    found.sort(key=lambda name: order.index(name.split(" ")[0]))
    for n, name in enumerate(found, 1):
        kind, _, rest = name.partition(" ")
        title = rest if "." not in rest else rest.rsplit(".", 1)[0]
        lines += ["", f"[resource.{quoted(name)}]", f"title = {quoted(title)}", f"kind = {quoted(kind)}"]
        lines.append(f"order = {n}")
        if rest == "生字笔顺":
            lines.append(f"licence = {quoted('CC-BY-4.0 AND MIT AND Arphic-1999')}")
            lines.append(f"source = {quoted(SOURCE + '；hanzi-writer，hanzi-writer-data')}")
        elif kind in ("视频", "朗读") and lesson.list("poem"):
            lines.append(f"source = {quoted(SOURCE + '；诗句属于公有领域')}")
        if kind in ("视频", "朗读") and lesson.language != "zh-Hans":
            lines.append(f"language = {quoted(lesson.language)}")
        for one in lesson.list("film"):
            if name == f"视频 {one['title']}.mp4":
                lines += marks_of(one)
    file.write_text("\n".join(lines) + "\n", "utf-8")


def run_task(task: Task, out: Path) -> tuple[str, float, int]:
    """Makes one resource aside and moves it into its place when it is whole."""
    start = time.monotonic()
    work = out / WORK / hashlib.sha256(task.target.encode()).hexdigest()[:16]
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    made = work / Path(task.target).name
    lesson = task.lesson
    if task.maker == "film":
        film.make_film(lesson, lesson.list("film")[task.number], made, made.with_suffix(".vtt"))
    elif task.maker == "reading":
        voice = "en" if lesson.language == "en" else "zh"
        film.make_reading(reading_rows(lesson), voice, made, lesson.part)
    elif task.maker == "picture":
        pictures.still(lesson, lesson.data["picture"]).quantize(200).save(made, optimize=True)
    elif task.maker == "note":
        made.write_text(lesson.data["note"].strip() + "\n", "utf-8")
    elif task.maker == "about":
        write_about(lesson, made)
    else:
        MAKERS[task.maker](lesson, made)
    size = 0
    for name in (task.target, *task.also):
        new, place = work / Path(name).name, out / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.is_dir():
            shutil.rmtree(place)
        os.replace(new, place)
        size += sum(
            p.stat().st_size for p in ([place] if place.is_file() else place.rglob("*")) if p.is_file()
        )
    shutil.rmtree(work)
    return task.target, time.monotonic() - start, size


def build(out: Path, workers: int) -> None:
    """Makes what is missing or has changed; takes away what is no longer part of the library."""
    for name in ("ffmpeg", "espeak-ng", "fc-match"):
        tool(name)
    hei()
    latin()
    start = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    state_file = out / STATE
    state: dict[str, str] = json.loads(state_file.read_text("utf-8")) if state_file.exists() else {}
    tasks = [task for lesson in load_all() for task in tasks_of(lesson)]
    wanted = {name for task in tasks for name in (task.target, *task.also)}
    for name in sorted(set(state) - wanted):
        place = out / name
        shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)
        del state[name]
        print(f"removed {name}")
    marks = {task.target: task.mark() for task in tasks}
    todo = [
        t for t in tasks
        if any(state.get(n) != marks[t.target] or not (out / n).exists() for n in (t.target, *t.also))
    ]  # fmt: skip
    todo.sort(key=lambda t: t.maker != "film")
    print(f"{len(tasks)} resources, {len(todo)} to make")
    with ProcessPoolExecutor(max_workers=workers) as pool:
        jobs = {pool.submit(run_task, task, out): task for task in todo}
        for n, job in enumerate(as_completed(jobs), 1):
            task = jobs[job]
            target, took, size = job.result()
            for name in (target, *task.also):
                state[name] = marks[target]
            print(f"[{n:3d}/{len(todo)}] {target}  {took:.1f} s  {size / 1000:.0f} kB", flush=True)
            state_file.write_text(json.dumps(state, ensure_ascii=False, indent=1, sort_keys=True), "utf-8")
    shutil.rmtree(out / WORK, ignore_errors=True)
    _sweep(out)
    files = [p for p in out.rglob("*") if p.is_file() and p.name != STATE]
    total = sum(p.stat().st_size for p in files) / 1e6
    print(f"done: {len(files)} files, {total:.1f} MB, {time.monotonic() - start:.0f} s")


def _sweep(out: Path) -> None:
    """Takes away folders that have become empty."""
    for folder in sorted((p for p in out.rglob("*") if p.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()


def main() -> int:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--out", type=Path, metavar="DIR", help="build the library there")
    what.add_argument("--check", type=Path, metavar="DIR", help="check the library there")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 2, help="how many at a time")
    given = parser.parse_args()
    try:
        if given.check:
            from check import check

            return check(given.check)
        build(given.out.resolve(), given.jobs)
    except Missing as gone:
        print(f"build: {gone}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
