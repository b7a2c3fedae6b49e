"""Colours, fonts and tools: what every maker of this library shares."""

from __future__ import annotations

import functools
import shutil
import subprocess
from pathlib import Path

PAPER, PAGE, INK, INK2, ABSENT = "#F4F0E5", "#FFFDF8", "#22272A", "#565A58", "#6B6C66"
HAIR, RULE, GROOVE = "#E4DECD", "#D9D2C0", "#DCD4BF"
LEDGE, CHALK, WOOD, YELLOW, RIGHT = "#1D3A33", "#F3F0E3", "#B98B4E", "#FFD75E", "#2A6A55"
SUBJECTS = {"语文": "#B0382B", "数学": "#23588F", "英语": "#6A4A8E", "科学": "#2F7350"}

HERE = Path(__file__).resolve().parent.parent
VENDOR = HERE / "vendor"

PACKAGES = {
    "ffmpeg": "ffmpeg",
    "ffprobe": "ffmpeg",
    "espeak-ng": "espeak-ng",
    "fc-match": "fontconfig",
    "apt-get": "apt",
    "dpkg-deb": "dpkg",
}


class Missing(Exception):
    """A tool or font that this machine lacks; the text says which Debian package has it."""


def tool(name: str) -> str:
    """Path of a program, or Missing with the Debian package to install."""
    found = shutil.which(name)
    if not found:
        raise Missing(f"{name} is not here: apt-get install {PACKAGES.get(name, name)}")
    return found


@functools.cache
def hei() -> tuple[str, int]:
    """File and face index of WenQuanYi Micro Hei, as fontconfig knows it."""
    want = "WenQuanYi Micro Hei"
    run = [tool("fc-match"), "-f", "%{family}|%{file}|%{index}", f"{want}:lang=zh-cn"]
    family, file, index = subprocess.run(run, capture_output=True, text=True, check=True).stdout.split("|")
    if want not in family:
        raise Missing(f"the font {want} is not here: apt-get install fonts-wqy-microhei")
    return file, int(index) & 0xFFFF


@functools.cache
def latin() -> tuple[str, int]:
    """File and face index of a font with every pinyin vowel.

    WenQuanYi Micro Hei names ǎ ǐ ǒ ǔ ǚ and ℃ but draws nothing for them, so no fallback steps in.
    """
    want = "DejaVu Sans"
    run = [tool("fc-match"), "-f", "%{family}|%{file}|%{index}", f"{want}:style=Book"]
    family, file, index = subprocess.run(run, capture_output=True, text=True, check=True).stdout.split("|")
    if want not in family:
        raise Missing(f"the font {want} is not here: apt-get install fonts-dejavu-core")
    return file, int(index) & 0xFFFF


def plain(words: str) -> str:
    """Words without the one sign that the Hei font leaves blank."""
    return words.replace("℃", "°C")


def rgb(colour: str) -> tuple[int, int, int]:
    """'#B0382B' as three numbers."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def mix(one: str, two: str, share: float) -> str:
    """The colour that lies `share` of the way from one to two."""
    return "#" + "".join(f"{round(a + (b - a) * share):02X}" for a, b in zip(rgb(one), rgb(two), strict=True))
