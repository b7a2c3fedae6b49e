"""Speech by espeak-ng: every sentence through its pinyin, so that every character is read right.

Debian's `cmn` voice spells most characters out in English letters (its dictionary is the small one), so the
library carries the pinyin of each sentence in readings.tsv and speaks it with the pinyin voice.
"""

from __future__ import annotations

import functools
import subprocess
import wave
from dataclasses import dataclass
from pathlib import Path

from .look import HERE, tool

READINGS = HERE / "readings.tsv"
RATE = 22050
GAP, LEAD, TAIL = 0.45, 0.7, 0.9


@dataclass(frozen=True)
class Said:
    """One sentence: its words and when they are heard, in seconds."""

    words: str
    start: float
    end: float


@functools.cache
def readings() -> dict[str, str]:
    """Pinyin with tone figures for each sentence."""
    rows = (line.split("\t") for line in READINGS.read_text("utf-8").splitlines() if line.strip())
    return {words: sound for words, sound in rows}


def speak(words: str, voice: str, pace: int, work: Path) -> bytes:
    """The samples of one sentence (16 bit, mono)."""
    if voice == "zh":
        run, text = ["-v", "cmn-latn-pinyin+f2", "-p", "42"], readings()[words]
    else:
        run, text = ["-v", "en-us+f2", "-p", "45"], words
    out = work / "said.wav"
    subprocess.run(
        [tool("espeak-ng"), *run, "-s", str(pace), "-a", "90", "-w", str(out), "--", text], check=True
    )
    with wave.open(str(out)) as heard:
        if heard.getframerate() != RATE:
            raise ValueError(f"espeak-ng speaks at {heard.getframerate()} Hz, not {RATE}")
        raw = heard.readframes(heard.getnframes())
    return _trim(raw)


def _trim(raw: bytes) -> bytes:
    """Without the silence at the end."""
    end = len(raw) - len(raw) % 2
    while (
        end > 200
        and max(abs(int.from_bytes(raw[i : i + 2], "little", signed=True)) for i in range(end - 200, end, 2))
        < 160
    ):
        end -= 200
    return raw[:end]


def silence(seconds: float) -> bytes:
    """Nothing, for a while."""
    return bytes(2 * round(RATE * seconds))


def save(raw: bytes, file: Path) -> None:
    """Samples as a WAV file."""
    with wave.open(str(file), "wb") as out:
        out.setparams((1, 2, RATE, 0, "NONE", "not compressed"))
        out.writeframes(raw)


def clock_text(seconds: float) -> str:
    """Seconds as WebVTT writes them."""
    ms = round(seconds * 1000)
    return f"{ms // 3600000:02d}:{ms // 60000 % 60:02d}:{ms // 1000 % 60:02d}.{ms % 1000:03d}"


def subtitles(said: list[Said], language: str) -> str:
    """Sentences as WebVTT."""
    head = f"WEBVTT\nLanguage: {language}\n"
    cues = [
        f"\n{n}\n{clock_text(s.start)} --> {clock_text(s.end + 0.25)}\n{s.words}\n"
        for n, s in enumerate(said, 1)
    ]
    return head + "".join(cues)
