"""update.py [--fast] system IMAGE ARCH NUMBER VERSION OUT | update.py app WHEELHOUSE ARCH PYTHON NUMBER OUT

Makes the file that `county system-update publish` takes, a tar of `facts.json` and what is installed
(docs/formats.md 18). Of an image the root that it boots; of a wheelhouse its wheels and pins.
`--fast`: packed less tightly, for tests.
"""

from __future__ import annotations

import io
import json
import lzma
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import IO

_PIECE = 1 << 20


def _add(archive: tarfile.TarFile, name: str, stream: IO[bytes], size: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o644
    archive.addfile(entry, stream)


def _facts(archive: tarfile.TarFile, kind: str, number: int, version: str) -> None:
    facts = {"for": kind, "number": number, "version": version}
    data = json.dumps(facts, sort_keys=True).encode()
    _add(archive, "facts.json", io.BytesIO(data), len(data))


def system(image: Path, arch: str, number: int, version: str, out: Path, preset: int) -> None:
    """The update that has the root of an image."""
    table = json.loads(subprocess.check_output(["sfdisk", "--json", str(image)]))["partitiontable"]
    part = next(it for it in table["partitions"] if it["name"] == "root_a")
    left = part["size"] * 512
    with tempfile.TemporaryFile(dir=out.parent) as packed, image.open("rb") as stream:
        stream.seek(part["start"] * 512)
        with lzma.open(packed, "wb", preset=preset) as xz:
            while left:
                data = stream.read(min(_PIECE, left))
                if not data:
                    raise SystemExit(f"error: {image} is cut off")
                xz.write(data)
                left -= len(data)
        size = packed.tell()
        packed.seek(0)
        with tarfile.open(out, "w") as archive:
            _facts(archive, f"system-{arch}", number, version)
            _add(archive, "system.img.xz", packed, size)


def app(wheelhouse: Path, arch: str, python: str, number: int, out: Path) -> None:
    """The update of the programs alone, for one Python."""
    wheels = sorted(wheelhouse.glob("*.whl"))
    own = [wheel for wheel in wheels if wheel.name.startswith("lessonbox-")]
    if len(own) != 1:
        raise SystemExit(f"error: {wheelhouse} holds {len(own)} wheels of Lesson Box itself")
    version = own[0].name.split("-")[1]
    with tarfile.open(out, "w") as archive:
        _facts(archive, f"app-{arch}-{python.replace('.', '')}", number, f"{version}-{number}")
        for path in [*wheels, wheelhouse / "requirements.txt"]:
            with path.open("rb") as stream:
                _add(archive, path.name, stream, path.stat().st_size)


if __name__ == "__main__":
    fast = sys.argv[1:2] == ["--fast"]
    words = sys.argv[1 + fast :]
    if words[:1] == ["system"] and len(words) == 6:
        system(Path(words[1]), words[2], int(words[3]), words[4], Path(words[5]), 0 if fast else 6)
    elif words[:1] == ["app"] and len(words) == 6:
        app(Path(words[1]), words[2], words[3], int(words[4]), Path(words[5]))
    else:
        raise SystemExit(__doc__)
