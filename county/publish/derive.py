"""What is made from a file for the boards: PDF, page images, playing time; each once (library.db)."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct

from content_sync.errors import DiskFullError, MediaError, PathError, SourceError, TooBigError, ToolError
from content_sync.formats.hashtree import FileId
from county.library import Library
from county.publish.mp4 import moov_first
from county.publish.names import MEDIA_TYPES, OFFICE
from county.publish.store import Store
from county.publish.tools import Ran, Tools
from county.publish.unzip import unpack

QUALITY = 65
WORKERS = 2
#: A light rendition is kept when it has at most this share of the video's bytes.
LIGHTER = 0.6
_MOST_SECONDS = 1 << 31
_Objects = list[tuple[FileId, bytes]]


class Bar(Protocol):
    """Progress of one stage."""

    def to(self, done: int) -> None:
        """Set how much is done."""

    def close(self) -> None:
        """Finish."""


NewBar = Callable[[str, int, str], Bar]


class Made(Struct, frozen=True):
    """What was made of one file. `parts`: the files of a zipped courseware or quiz by path; `refused`: it
    must not be published; `failed`: its program could not read it; `notes`: (code, what) for people;
    `count`: how many pages there are, where `pages` are only the first of them.
    """

    pdf: FileId | None = None
    pages: tuple[FileId, ...] = ()
    seconds: int | None = None
    parts: tuple[tuple[str, FileId], ...] = ()
    refused: bool = False
    failed: bool = False
    notes: tuple[tuple[str, str], ...] = ()
    light: FileId | None = None
    count: int | None = None


@dataclass(frozen=True)
class _Job:
    """A recipe on a file, done by a Debian package `tool` or, '' , by ourselves. `work` gives the result
    (`error` in it: it failed), objects, whether it lasts."""

    file: FileId
    recipe: str
    tool: str
    work: Callable[[], tuple[dict[str, Any], _Objects, bool]] = field(compare=False)


class Deriver:
    """Derives files for one publishing. Raises DiskFullError, StorageError; all else becomes a note."""

    def __init__(
        self,
        library: Library,
        store: Store,
        tools: Tools,
        page_pixels: int,
        most_pages: int,
        bar: NewBar,
        light_kbit: int = 0,
    ) -> None:
        """`light_kbit`: bit rate of light renditions of videos; 0: none are made."""
        self._library, self._store, self._tools, self._bar = library, store, tools, bar
        self._pixels, self._most, self._light = page_pixels, most_pages, light_kbit

    def derive(self, files: Iterable[tuple[FileId, str]]) -> dict[tuple[FileId, str], Made]:
        """Everything for files given with their endings; endings that need nothing are left out."""
        wanted = dict.fromkeys(files)
        first = [job for file, ending in wanted if (job := self._first(file, ending))]
        results = self._run("converting", first)
        pdfs = {file for file, ending in wanted if ending == "pdf"}
        pdfs |= {pdf for result in results.values() if (pdf := _file(result.get("pdf")))}
        second = [self._pages(pdf) for pdf in sorted(pdfs)] if self._most else []
        pages = {job.file: result for job, result in self._run("pages", second).items()}
        lighter = self._run("light videos", self._lighter(first, results)) if self._light else {}
        light = {job.file: result for job, result in lighter.items()}
        made = {}
        for file, ending in wanted:
            job = self._first(file, ending)
            if job is not None or ending == "pdf":
                made[file, ending] = _made(file, results[job] if job else {}, pages, light)
        return made

    def _lighter(self, jobs: Iterable[_Job], results: Mapping[_Job, Mapping[str, Any]]) -> list[_Job]:
        """Of the videos that could be read and have a bit rate that makes it worth while."""
        found = []
        for job in jobs:
            seconds = results[job].get("seconds") if job.recipe == "probe video" else None
            if seconds and job.file.length * 8 * LIGHTER > seconds * self._light * 1000:
                work = partial(self._shrink, job.file)
                found.append(_Job(job.file, f"light {self._light} 1", "ffmpeg", work))
        return found

    def _first(self, file: FileId, ending: str) -> _Job | None:
        if ending in OFFICE:
            return _Job(file, f"pdf of {ending}", OFFICE[ending], lambda: self._to_pdf(file, ending))
        if ending == "zip":
            return _Job(file, "unzip 2", "", lambda: self._unzip(file))
        kind = MEDIA_TYPES.get(ending, "").split("/")[0]
        if kind in ("video", "audio"):
            return _Job(file, f"probe {kind}", "ffmpeg", lambda: self._probe(file, kind))
        return None

    def _pages(self, pdf: FileId) -> _Job:
        recipe = f"pages longer side={self._pixels} quality={QUALITY} most={self._most}"
        return _Job(pdf, recipe, "poppler-utils", lambda: self._to_pages(pdf))

    def _run(self, what: str, jobs: Iterable[_Job]) -> dict[_Job, dict[str, Any]]:
        """Results by job, remembered or made by a few threads. Only this thread uses the database."""
        results: dict[_Job, dict[str, Any]] = {}
        todo = []
        for job in dict.fromkeys(jobs):
            known = self._known(job)
            if known is None:
                todo.append(job)
            else:
                results[job] = known
        if not todo:
            return results
        bar = self._bar(what, len(todo), "files")
        pool = ThreadPoolExecutor(WORKERS)
        try:
            waiting = {pool.submit(job.work): job for job in todo}
            while waiting:
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    job = waiting.pop(future)
                    results[job], objects, lasting = future.result()
                    with self._library.transaction():
                        self._library.put_objects(objects)
                        if lasting:
                            tool = self._version(job) or job.tool
                            self._library.put_derived(job.file.root, job.recipe, tool, results[job])
                    bar.to(len(todo) - len(waiting))
        except BaseException:
            self._tools.stop()
            pool.shutdown(cancel_futures=True)
            raise
        finally:
            pool.shutdown()
            bar.close()
        return results

    def _known(self, job: _Job) -> dict[str, Any] | None:
        remembered = self._library.derived(job.file.root, job.recipe)
        for result in remembered.values():
            if "error" not in result and all(self._store.holds(file) for file in _files(result)):
                return result
        tool = self._version(job)
        if tool is None:
            return {"error": f"{job.tool} is not installed", "code": ToolError.code}
        failed = remembered.get(tool)
        return failed if failed and "error" in failed else None

    def _version(self, job: _Job) -> str | None:
        return self._tools.version(job.tool) if job.tool else "lessonbox"

    def _unzip(self, file: FileId) -> tuple[dict[str, Any], _Objects, bool]:
        with self._tools.folder() as folder:
            try:
                unpacked = unpack(self._store.path(file.root), folder)
            except PathError as error:
                return {"error": error.what, "code": error.code, "refused": True}, [], True
            except (TooBigError, MediaError) as error:
                return {"error": error.what, "code": error.code}, [], True
            if unpacked is None:
                return {"parts": []}, [], True
            admitted = {name: self._store.admit_made(path) for name, path in unpacked.files.items()}
        parts = [[name, *_json(made)] for name, (made, _) in admitted.items()]
        return {"parts": parts, "left_out": list(unpacked.left_out)}, list(admitted.values()), True

    def _to_pdf(self, file: FileId, ending: str) -> tuple[dict[str, Any], _Objects, bool]:
        with self._tools.folder() as folder:
            # A copy: LibreOffice puts a lock file beside what it opens.
            shutil.copyfile(self._store.path(file.root), folder / f"input.{ending}")
            ran = self._tools.run(
                [
                    "soffice",
                    f"-env:UserInstallation={(folder / 'profile').as_uri()}",
                    "--headless",
                    "--norestore",
                    "--nolockcheck",
                    "--nodefault",
                    "--convert-to",
                    "pdf",
                    "--outdir",
                    str(folder / "out"),
                    str(folder / f"input.{ending}"),
                ],
                folder,
            )
            pdf = folder / "out" / "input.pdf"
            if ran.code != 0 or not pdf.is_file() or not pdf.stat().st_size:
                return _failure("LibreOffice could not turn it into PDF", ran), [], ran.sure
            made, leaves = self._store.admit_made(pdf)
            return {"pdf": _json(made)}, [(made, leaves)], True

    def _to_pages(self, pdf: FileId) -> tuple[dict[str, Any], _Objects, bool]:
        path = str(self._store.path(pdf.root))
        with self._tools.folder() as folder:
            info = self._tools.run(["pdfinfo", path], folder)
            found = re.search(rb"^Pages:\s+(\d+)", info.out, re.MULTILINE)
            count = int(found[1]) if found else 0
            ran = self._tools.run(
                [
                    "pdftoppm",
                    "-jpeg",
                    "-jpegopt",
                    f"quality={QUALITY},optimize=y",
                    "-scale-to",
                    str(self._pixels),
                ]
                + ["-l", str(self._most), path, str(folder / "page")],
                folder,
            )
            images = sorted(folder.glob("page-*.jpg"), key=lambda image: int(image.stem.rpartition("-")[2]))
            if ran.code != 0 or not images or not all(image.stat().st_size for image in images):
                return _failure("no images of its pages could be made", ran), [], ran.sure
            objects = [self._store.admit_made(image) for image in images]
        return (
            {"pages": [_json(file) for file, _ in objects], "count": max(count, len(objects))},
            objects,
            True,
        )

    def _shrink(self, file: FileId) -> tuple[dict[str, Any], _Objects, bool]:
        """A video of at most 480 lines that any board plays; none when it is not much smaller."""
        with self._tools.folder() as folder:
            out = folder / "light.mp4"
            command = ["ffmpeg", "-v", "error", "-nostdin", "-protocol_whitelist", "file"]
            command += ["-i", f"file:{self._store.path(file.root)}", "-map", "0:v:0", "-map", "0:a:0?"]
            command += ["-sn", "-dn", "-map_metadata", "-1", "-map_chapters", "-1", "-threads", "1"]
            command += ["-vf", "scale=-2:'2*trunc(min(480,ih)/2)'", "-fpsmax", "25", "-pix_fmt", "yuv420p"]
            command += ["-c:v", "libx264", "-preset", "veryfast", "-profile:v", "main", "-crf", "26"]
            command += ["-maxrate", f"{self._light}k", "-bufsize", f"{2 * self._light}k", "-g", "250"]
            command += ["-c:a", "aac", "-ac", "1", "-ar", "44100", "-b:a", "48k"]
            command += ["-movflags", "+faststart", "-fflags", "+bitexact", "-f", "mp4", str(out)]
            ran = self._tools.run(command, folder)
            if ran.code != 0 or not out.is_file() or not out.stat().st_size:
                return _failure("no light rendition of it could be made", ran), [], ran.sure
            if out.stat().st_size > file.length * LIGHTER:
                return {"light": None}, [], True
            made, leaves = self._store.admit_made(out)
            return {"light": _json(made)}, [(made, leaves)], True

    def _probe(self, file: FileId, kind: str) -> tuple[dict[str, Any], _Objects, bool]:
        path = self._store.path(file.root)
        entries = (
            "stream=codec_type,codec_name,pix_fmt:stream_disposition=attached_pic:format=duration,format_name"
        )
        with self._tools.folder() as folder:
            ran = self._tools.run(
                ["ffprobe", "-v", "error", "-protocol_whitelist", "file", "-show_entries", entries]
                + ["-of", "json", "-i", f"file:{path}"],
                folder,
            )
        try:
            found = json.loads(ran.out)
            streams = [s for s in found["streams"] if not s.get("disposition", {}).get("attached_pic")]
            names = str(found["format"]["format_name"])
        except (ValueError, KeyError, TypeError):
            streams, names = [], ""
        if ran.code != 0 or not streams:
            return _failure(f"ffprobe finds no {kind} in it: it may be damaged", ran), [], ran.sure
        result: dict[str, Any] = {"seconds": _seconds(found["format"].get("duration"))}
        if kind == "video":
            result["odd"] = _odd_video(streams, names, path, file.length)
        return result, [], True


def _odd_video(streams: list[dict[str, Any]], container: str, path: Path, length: int) -> list[str]:
    """Why an old board may not play it: only MP4 with H.264 4:2:0, AAC, index first plays everywhere."""
    odd = []
    pictures = [s for s in streams if s.get("codec_type") == "video"]
    sounds = [s for s in streams if s.get("codec_type") == "audio"]
    if "mp4" not in container.split(","):
        odd.append(f"container {container.split(',')[0]}, not MP4")
    if not pictures:
        odd.append("no picture")
    for stream in pictures[:1]:
        if stream.get("codec_name") != "h264":
            odd.append(f"video {stream.get('codec_name')}, not H.264")
        elif stream.get("pix_fmt") not in ("yuv420p", "yuvj420p"):
            odd.append(f"colours {stream.get('pix_fmt')}, not yuv420p")
    odd += [f"sound {s.get('codec_name')}, not AAC" for s in sounds[:1] if s.get("codec_name") != "aac"]
    if not odd:
        with path.open("rb") as held:
            if not moov_first(held, length):
                odd.append("its index (moov) is not at the beginning, so it starts late")
    return odd


def _seconds(duration: object) -> int | None:
    try:
        seconds = float(str(duration))
    except ValueError:
        return None
    return max(1, round(seconds)) if 0 < seconds < _MOST_SECONDS else None


def _failure(what: str, ran: Ran) -> dict[str, Any]:
    """What is noted of a file that could not be derived. Raises DiskFullError."""
    if ran.starved:
        raise DiskFullError(f"no space left: {what}")
    why = "it took too long or was stopped" if ran.code is None else ran.said.splitlines()[-1:]
    text = why if isinstance(why, str) else "".join(why)[:200]
    return {"error": f"{what} ({text})" if text else what, "code": MediaError.code}


def _json(file: FileId) -> list[str | int]:
    return [file.root, file.length]


def _file(value: Any) -> FileId | None:
    return FileId(value[0], value[1]) if value else None


def _files(result: Mapping[str, Any]) -> list[FileId]:
    listed = [result["pdf"]] if "pdf" in result else result.get("pages", [])
    listed = listed or ([result["light"]] if result.get("light") else [])
    listed = listed or [[root, length] for _, root, length in result.get("parts", [])]
    return [FileId(root, length) for root, length in listed]


def _made(
    file: FileId,
    first: Mapping[str, Any],
    pages: Mapping[FileId, Mapping[str, Any]],
    lighter: Mapping[FileId, Mapping[str, Any]],
) -> Made:
    pdf, light = _file(first.get("pdf")), lighter.get(file, {})
    shown = pages.get(pdf or file, {})
    notes = [(result["code"], result["error"]) for result in (first, shown, light) if "error" in result]
    listed = tuple(_files(shown)) if "pages" in shown else ()
    count = shown["count"] if listed and shown["count"] > len(listed) else None
    if count:
        notes.append((MediaError.code, f"only the first {len(listed)} of {count} pages have images"))
    if first.get("odd"):
        notes.append((MediaError.code, f"an old board may not play it: {'; '.join(first['odd'])}"))
    if first.get("left_out"):
        notes.append((SourceError.code, f"empty files in the zip: {', '.join(first['left_out'])[:200]}"))
    parts = tuple((path, FileId(root, length)) for path, root, length in first.get("parts", []))
    failed = "error" in first and first["code"] == MediaError.code
    return Made(
        pdf,
        listed,
        first.get("seconds"),
        parts,
        bool(first.get("refused")),
        failed,
        tuple(notes),
        _file(light.get("light")),
        count,
    )
