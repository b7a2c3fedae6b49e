"""Films: scenes told by speech, painted frame by frame and handed to ffmpeg."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from PIL import Image

from .lesson import Lesson, Spec, words_of
from .look import tool
from .paint import HIGH, WIDE
from .pictures import view
from .speech import GAP, LEAD, RATE, TAIL, Said, save, silence, speak, subtitles
from .views import Moment

FPS = 10
FADE = 5  # frames


def _tell(scene: Spec, work: Path) -> tuple[bytes, list[Said]]:
    """A scene's sound, and when each line is heard in it."""
    voice, pace = scene.get("voice", "zh"), scene.get("pace", 150)
    gap = GAP * (2 if "poem" in scene else 1)
    sound, said = silence(LEAD), []
    for line in scene["say"]:
        words = words_of(line)
        start = len(sound) / 2 / RATE
        sound += speak(words, voice, pace, work)
        said.append(Said(words, start, len(sound) / 2 / RATE))
        sound += silence(gap)
    sound += silence(TAIL + (1.6 if "ask" in scene else 0))
    frames = -(-len(sound) * FPS // (2 * RATE))
    return sound + silence(frames / FPS - len(sound) / 2 / RATE), said


def _moment(second: float, length: float, said: list[Said]) -> Moment:
    """Where a second of a scene stands among its lines."""
    line, done = -1, 0.0
    for n, one in enumerate(said):
        if second >= one.start - 0.1:
            long = max(one.end - one.start, 0.5)
            line, done = n, min(max((second - one.start + 0.1) / long, 0), 1)
    return Moment(second, length, line, done, len(said))


def make_film(lesson: Lesson, film: Spec, mp4: Path, vtt: Path) -> None:
    """One film and its subtitles."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        told = [_tell(scene, work) for scene in film["scene"]]
        save(b"".join(sound for sound, _ in told), work / "all.wav")
        at, cues = 0.0, []
        for sound, said in told:
            cues += [Said(s.words, at + s.start, at + s.end) for s in said]
            at += len(sound) / 2 / RATE
        language = "en" if film["scene"][0].get("voice") == "en" else "zh-Hans"
        vtt.write_text(subtitles(cues, language), "utf-8")
        _encode(lesson, film, told, work / "all.wav", mp4)


def marks(film: Spec) -> tuple[list[tuple[int, str]], list[tuple[int, str, int]]]:
    """Chapters (second, title) and stops for the teacher in the room (second, what to do, minutes) of a film:
    a chapter begins with its scene, a stop comes at the end of its scene.
    """
    chapters: list[tuple[int, str]] = []
    stops: list[tuple[int, str, int]] = []
    if not any("chapter" in scene or "stop" in scene for scene in film["scene"]):
        return chapters, stops
    with tempfile.TemporaryDirectory() as folder:
        at = 0.0
        for scene in film["scene"]:
            if "chapter" in scene:
                chapters.append((int(at), scene["chapter"]))
            at += len(_tell(scene, Path(folder))[0]) / 2 / RATE
            if "stop" in scene:
                stops.append((int(at) - 1, scene["stop"], scene.get("minutes", 2)))
    return chapters, stops


def _encode(lesson: Lesson, film: Spec, told: list[tuple[bytes, list[Said]]], wav: Path, mp4: Path) -> None:
    """Paints every frame into ffmpeg's standard input."""
    run = [tool("ffmpeg"), "-hide_banner", "-loglevel", "error", "-y"]
    run += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{WIDE}x{HIGH}", "-r", str(FPS), "-i", "-"]
    run += ["-i", str(wav), "-map", "0:v", "-map", "1:a"]
    run += ["-vf", "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p"]
    run += ["-color_primaries", "bt709", "-color_trc", "bt709", "-colorspace", "bt709"]
    run += ["-c:v", "libx264", "-profile:v", "high", "-level", "3.1", "-preset", "veryfast"]
    run += ["-tune", "stillimage", "-crf", "29", "-threads", "2"]
    run += ["-g", str(2 * FPS), "-keyint_min", str(2 * FPS), "-sc_threshold", "0"]
    run += ["-c:a", "aac", "-b:a", "32k", "-ar", "22050", "-ac", "1"]
    run += ["-fflags", "+bitexact", "-flags:v", "+bitexact", "-flags:a", "+bitexact", "-map_metadata", "-1"]
    run += ["-metadata", f"title={film['title']}", "-movflags", "+faststart", str(mp4)]
    with subprocess.Popen(run, stdin=subprocess.PIPE) as ffmpeg:
        assert ffmpeg.stdin is not None
        last: Image.Image | None = None
        for scene, (sound, said) in zip(film["scene"], told, strict=True):
            stage = view(lesson, scene)
            frames = round(len(sound) / 2 / RATE * FPS)
            before, key, raw, page = last, object(), b"", None
            for n in range(frames):
                m = _moment(n / FPS, frames / FPS, said)
                now = stage.key(m)
                if page is None or now != key:
                    key, page = now, stage.paint(m).convert("RGB")
                    raw = page.tobytes()
                if before is not None and n < FADE:
                    ffmpeg.stdin.write(Image.blend(before, page, (n + 1) / (FADE + 1)).tobytes())
                else:
                    ffmpeg.stdin.write(raw)
            last = page
        ffmpeg.stdin.close()
        if ffmpeg.wait():
            raise RuntimeError(f"ffmpeg could not make {mp4.name}")


def make_reading(rows: list[str], voice: str, m4a: Path, title: str) -> None:
    """Somebody reads slowly: rows that end in an empty one make a longer pause."""
    with tempfile.TemporaryDirectory() as folder:
        work, sound = Path(folder), silence(0.6)
        for row in rows:
            sound += speak(row, voice, 105, work) + silence(0.95) if row else silence(0.9)
        save(sound, work / "all.wav")
        run = [tool("ffmpeg"), "-hide_banner", "-loglevel", "error", "-y", "-i", str(work / "all.wav")]
        run += ["-c:a", "aac", "-b:a", "40k", "-ar", "22050", "-ac", "1", "-map_metadata", "-1"]
        run += ["-fflags", "+bitexact", "-flags:a", "+bitexact", "-metadata", f"title={title}"]
        subprocess.run([*run, "-movflags", "+faststart", str(m4a)], check=True)
