"""Small source trees made on the spot: real H.264/AAC video by ffmpeg, and files of stated size."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

VOLUME = Path("小学/语文/统编版/三年级上册")


def video(path: Path, seconds: int = 40) -> None:
    """A video as an old board plays it: H.264, AAC, moov first, a key frame each second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    command = ["ffmpeg", "-nostdin", "-loglevel", "error", "-y"]
    command += ["-f", "lavfi", "-i", f"testsrc2=size=320x180:rate=15:duration={seconds}"]
    command += [
        "-f",
        "lavfi",
        "-i",
        f"sine=frequency=440:duration={seconds}",
        "-g",
        "15",
        "-preset",
        "ultrafast",
    ]
    command += ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac", "-movflags", "+faststart", str(path)]
    subprocess.run(command, check=True, timeout=180)


def noise(path: Path, size: int, seed: int) -> None:
    """A file of `size` bytes that no one can guess or compress; the same for the same seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(random.Random(seed).randbytes(size))


def two_lessons(tree: Path) -> None:
    """A volume of two lessons: one with a video, one with a plan."""
    unit = tree / VOLUME / "第六单元 祖国河山"
    video(unit / "17 古诗三首" / "视频 望天门山.mp4")
    plan = unit / "18 富饶的西沙群岛" / "教案 第一课时.txt"
    plan.parent.mkdir(parents=True)
    plan.write_text("一、看图说话：西沙群岛在哪里？\n二、读课文，画出写海水颜色的词。\n", "utf-8")


def lesson_of_noise(tree: Path, no: int, size: int, files: int = 1) -> list[Path]:
    """A lesson of `files` files, together `size` bytes; its files."""
    folder = tree / VOLUME / "第一单元 搬运" / f"{no:02d} 第{no}包"
    paths = [folder / f"资料 {number}.bin" for number in range(1, files + 1)]
    for number, path in enumerate(paths):
        noise(path, size // files, seed=1000 * no + number)
    return paths
