"""A torrent as anybody would make it: one of a whole folder, by libtorrent with its own defaults. A peer for
bench/measures/release.py.

`seed FOLDER TORRENT HOST:PORT` until it is ended; `get PARENT TORRENT HOST:PORT` over what lies there.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from content_sync.adapters.libtorrent.session import lt, make_session


def _make(folder: Path) -> bytes:
    files = lt.file_storage()
    lt.add_files(files, str(folder))
    made = lt.create_torrent(files)
    lt.set_piece_hashes(made, str(folder.parent))
    data: bytes = lt.bencode(made.generate())
    return data


def _add(session: Any, torrent: Path, parent: Path, seed: bool) -> Any:
    params = lt.add_torrent_params()
    params.ti = lt.torrent_info(str(torrent))
    params.save_path = str(parent)
    params.flags = lt.torrent_flags.seed_mode if seed else lt.torrent_flags.default_dont_download * 0
    return session.add_torrent(params)


def main(verb: str, folder: Path, torrent: Path, address: str) -> int:
    """See the module; an exit code."""
    host, _, port = address.rpartition(":")
    session = make_session(int(port) if verb == "seed" else 0, lsd=False)
    if verb == "seed":
        part = torrent.with_suffix(".part")
        part.write_bytes(_make(folder))
        part.rename(torrent)
        _add(session, torrent, folder.parent, True)
        while True:
            time.sleep(1)
    handle = _add(session, torrent, folder, False)
    deadline = time.monotonic() + 500
    while not handle.status().is_seeding:
        if time.monotonic() > deadline:
            return 1
        if not handle.status().num_peers:
            handle.connect_peer((host, int(port)))
        time.sleep(0.2)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]))
