"""os_list.py PATH VERSION ARCH: the entry of PATH.img.xz for Raspberry Pi Imager's list of systems, as JSON.
os_list.py --at FILE.os_list.json [ADDRESS]: write into it where its files are to be had.

Built, its addresses are bare file names, since nobody knows yet where the files will lie; Imager takes whole
ones only. ADDRESS is the folder's, like https://county.example/images; without it, the files beside FILE.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote


def sha256(path: Path) -> str:
    """Of the whole file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


#: By architecture: what a person reads, and what Imager calls the boards that it is offered for.
_MACHINES = {"amd64": ("PC", []), "arm64": ("Raspberry Pi 4, 5", ["pi5-64bit", "pi4-64bit"])}


def entry(path: Path, version: str, arch: str, released: datetime) -> dict[str, Any]:
    """One member of `os_list`; `path` without its `.img`."""
    image, packed = Path(f"{path}.img"), Path(f"{path}.img.xz")
    machines, devices = _MACHINES[arch]
    return {
        "name": f"Lesson Box 课箱 {version} ({machines})",
        "description": "A school's box: mirrors the county's lessons and serves them to the boards. "
        "学校课箱：同步县里的课程，供教室大屏使用。",
        "icon": f"{path.name}.icon.png",
        "url": packed.name,
        "bmap_url": f"{path.name}.bmap",
        "extract_size": image.stat().st_size,
        "extract_sha256": sha256(image),
        "image_download_size": packed.stat().st_size,
        "image_download_sha256": sha256(packed),
        "release_date": released.strftime("%Y-%m-%d"),
        "init_format": "rpi-preseed",  # firstboot reads what Imager then writes (formats.md 16)
        "devices": devices,
    }


def at(path: Path, address: str = "") -> None:
    """Give the list its addresses, whatever they were before. Raises OSError, ValueError, LookupError."""
    listed = json.loads(path.read_text("utf-8"))
    base = address.rstrip("/") or path.resolve().parent.as_uri()
    for one in listed["os_list"]:
        for key in ("url", "bmap_url", "icon"):
            one[key] = f"{base}/{quote(unquote(one[key].rpartition('/')[2]))}"
    made = path.with_name(f"{path.name}.new")
    made.write_text(json.dumps(listed, ensure_ascii=False, indent=1) + "\n", "utf-8")
    made.replace(path)


if __name__ == "__main__":
    if sys.argv[1] == "--at":
        at(Path(sys.argv[2]), *sys.argv[3:4])
        sys.exit()
    made = datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), UTC)
    found = entry(Path(sys.argv[1]), sys.argv[2], sys.argv[3], made)
    print(json.dumps({"os_list": [found]}, ensure_ascii=False, indent=1))
