"""What libtorrent makes of the same files: the second opinion on our hash tree and torrents (BEP 52)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import libtorrent as lt


def libtorrent_v2(folder: Path, paths: Sequence[str], piece_length: int) -> dict[bytes, Any]:
    """The v2-only torrent, decoded, of `folder`/<path> for each path; its name is the folder's."""
    entries = [
        lt.create_file_entry(f"{folder.name}/{path}", (folder / path).stat().st_size) for path in paths
    ]
    made = lt.create_torrent(entries, piece_length, lt.create_torrent.v2_only)
    lt.set_piece_hashes(made, str(folder.parent))
    torrent: dict[bytes, Any] = made.generate()
    return torrent


def content(size: int, seed: int = 0) -> bytes:
    """Bytes without any repeated block."""
    return b"".join((index + seed).to_bytes(8, "big") * 2048 for index in range(-(-size // 16_384)))[:size]
