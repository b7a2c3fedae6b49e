"""What other boxes read here: only blocks that match their leaves, whatever lies on the disk, and only while
boards leave room."""

from __future__ import annotations

import hashlib
import json
import os
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from appliance.web import sharing
from appliance.web.sharing import FREE_FOR_BOARDS, MOST_AT_ONCE, MOST_BYTES, Sharing
from content_sync.adapters.objects import FileStore
from content_sync.adapters.sending import Streams
from content_sync.adapters.sqlite import StateReader
from content_sync.adapters.sqlite_writer import State
from content_sync.formats import torrent
from content_sync.formats.hashtree import BLOCK, FileId
from tests.unit.small_county import identify

DATA = {
    "lesson.json": b"{}" * 300,
    "video.mp4": random.Random(8).randbytes(90 * BLOCK + 77),
    "b.bin": random.Random(9).randbytes(3 * BLOCK),
}
MADE = {path: identify(data) for path, data in DATA.items()}
PACKAGE = torrent.build("lesson-1", [(path, file, leaves) for path, (file, leaves) in MADE.items()])
VIDEO = MADE["video.mp4"][0]


@dataclass
class Here:
    """A box's folders, and its answers."""

    store: FileStore
    state: State
    boards: Streams
    app: Sharing
    now: list[float]

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
        environ: dict[str, Any] = {"REQUEST_METHOD": method, "PATH_INFO": path}
        environ |= {f"HTTP_{name.upper()}": value for name, value in headers.items()}
        found: list[Any] = []
        body = b"".join(self.app(environ, lambda status, head: found.extend((status, dict(head)))))
        return int(found[0].split()[0]), found[1], body

    def have(self) -> dict[str, str]:
        self.now[0] += 2
        status, _, body = self.ask(f"/api/v1/have/{PACKAGE.infohash}")
        assert status == 200
        told = json.loads(body)
        assert told["infohash"] == PACKAGE.infohash
        assert [(f["root"], f["size"]) for f in told["files"]] == [
            (entry.file.root, entry.file.length) for entry in PACKAGE.files
        ]
        return {entry.path: f["have"] for entry, f in zip(PACKAGE.files, told["files"], strict=True)}

    def put(self, path: str, blocks: range) -> None:
        file = MADE[path][0]
        for index in blocks:
            self.store.write_block(file, index, DATA[path][index * BLOCK : (index + 1) * BLOCK])

    def blocks(self, first: int, last: int, file: FileId = VIDEO) -> tuple[int, bytes]:
        status, _, body = self.ask(f"/blocks/{file.root}", range=f"bytes={first}-{last}")
        return status, body


@pytest.fixture
def here(tmp_path: Path) -> Here:
    state = State(tmp_path / "state.db")
    state.set_files(PACKAGE, frozenset(DATA))
    packages = tmp_path / "trust" / "targets" / "packages"
    packages.mkdir(parents=True)
    leaves = b"".join(MADE[entry.path][1] for entry in PACKAGE.files)
    for ending, data in (("torrent", PACKAGE.data), ("leaves", leaves)):
        (packages / f"{hashlib.sha256(data).hexdigest()}.{PACKAGE.infohash}.{ending}").write_bytes(data)
    store = FileStore(tmp_path / "objects", tmp_path / "partial")
    boards, now = Streams(8), [100.0]
    reader = StateReader(tmp_path / "state.db")
    app = Sharing(tmp_path / "objects", tmp_path / "partial", packages, reader, boards, lambda: now[0])
    return Here(store, state, boards, app, now)


def set_bits(text: str, count: int) -> set[int]:
    bits = "".join(f"{byte:08b}" for byte in bytes.fromhex(text))
    assert len(bits) == -(-count // 8) * 8 and "1" not in bits[count:]
    return {index for index, bit in enumerate(bits) if bit == "1"}


def test_what_is_here_of_an_arriving_package(here: Here) -> None:
    assert here.have() == {"lesson.json": "none", "video.mp4": "none", "b.bin": "none"}
    here.store.prepare(VIDEO)
    here.put("video.mp4", range(5, 40))
    here.put("video.mp4", range(90, 91))
    assert set_bits(here.have()["video.mp4"], 91) == {*range(5, 40), 90}
    here.put("video.mp4", range(91))
    assert here.have()["video.mp4"] == "all"
    here.store.admit(VIDEO)
    here.state.add_object(VIDEO, 1)
    assert here.have() == {"lesson.json": "none", "video.mp4": "all", "b.bin": "none"}
    for first, last in ((0, BLOCK - 1), (90 * BLOCK, VIDEO.length - 1), (3 * BLOCK, 9 * BLOCK - 1)):
        assert here.blocks(first, last) == (206, DATA["video.mp4"][first : last + 1])


def test_only_verified_blocks_are_said_and_sent(here: Here) -> None:
    here.store.prepare(VIDEO)
    here.put("video.mp4", range(10))
    path = here.store.partial_path(VIDEO.root)
    with path.open("r+b") as stream:  # torn by a power cut, or in the middle of being written
        stream.seek(4 * BLOCK + 100)
        stream.write(b"x")
    assert set_bits(here.have()["video.mp4"], 91) == set(range(10)) - {4}
    assert here.blocks(0, 4 * BLOCK - 1) == (206, DATA["video.mp4"][: 4 * BLOCK])
    status, body = here.blocks(3 * BLOCK, 5 * BLOCK - 1)
    assert status == 404 and json.loads(body)["error"]["code"] == "E-NOT-FOUND"
    assert here.blocks(10 * BLOCK, 11 * BLOCK - 1)[0] == 404, "reserved space"
    with path.open("r+b") as stream:  # said to be here, and rotten since
        stream.seek(BLOCK)
        stream.write(b"x")
    assert here.blocks(BLOCK, 2 * BLOCK - 1)[0] == 404
    here.store.remove_partial(VIDEO.root)
    assert here.have()["video.mp4"] == "none"


def test_a_rotten_object_is_never_sent(here: Here) -> None:
    here.put("b.bin", range(3))
    file = MADE["b.bin"][0]
    here.store.admit(file)
    here.state.add_object(file, 1)
    path = here.store.object_path(file.root)
    path.chmod(0o644)
    with path.open("r+b") as stream:
        stream.seek(BLOCK + 1)
        stream.write(b"x")
    assert here.blocks(0, BLOCK - 1, file)[0] == 206 and here.blocks(BLOCK, 2 * BLOCK - 1, file)[0] == 404


def test_ranges(here: Here) -> None:
    here.put("video.mp4", range(91))
    length = VIDEO.length
    for first, last in (
        (1, BLOCK),
        (0, BLOCK),
        (0, BLOCK - 2),
        (length, length + 5),
        (0, MOST_BYTES + BLOCK - 1),
    ):
        status, headers, body = here.ask(f"/blocks/{VIDEO.root}", range=f"bytes={first}-{last}")
        assert (status, headers["Content-Range"], body) == (416, f"bytes */{length}", b""), (first, last)
    assert here.ask(f"/blocks/{VIDEO.root}")[0] == 416, "never a whole file"
    status, headers, body = here.ask(f"/blocks/{VIDEO.root}", range=f"bytes=0-{MOST_BYTES - 1}")
    assert (status, headers["Content-Range"]) == (206, f"bytes 0-{MOST_BYTES - 1}/{length}")
    assert body == DATA["video.mp4"][:MOST_BYTES] and "ETag" not in headers
    status, headers, body = here.ask(f"/blocks/{VIDEO.root}", "HEAD", range=f"bytes=0-{BLOCK - 1}")
    assert (status, headers["Content-Length"], body) == (206, str(BLOCK), b"")
    assert here.ask(f"/blocks/{VIDEO.root}", "POST")[0] == 405


def test_what_this_box_does_not_know(here: Here) -> None:
    for path in (f"/blocks/{'0' * 64}", "/blocks/x", "/blocks/../state.db", f"/blocks/{VIDEO.root}/x",
                 "/api/v1/have/x", f"/api/v1/have/{'0' * 64}"):  # fmt: skip
        status, _, body = here.ask(path, range=f"bytes=0-{BLOCK - 1}")
        assert status == 404 and json.loads(body)["error"]["code"] == "E-NOT-FOUND", path


def test_boards_go_first(here: Here, tmp_path: Path) -> None:
    here.put("video.mp4", range(91))
    (tmp_path / "film").write_bytes(b"x")
    held = []
    while here.boards.free >= 8 * FREE_FOR_BOARDS:
        assert here.blocks(0, BLOCK - 1)[0] == 206
        held.append(here.boards.open(tmp_path / "film")[0])
    status, headers, body = here.ask(f"/blocks/{VIDEO.root}", range=f"bytes=0-{BLOCK - 1}")
    assert status == 503 and headers["Retry-After"] and json.loads(body)["error"]["code"] == "E-BUSY"
    assert here.ask(f"/api/v1/have/{PACKAGE.infohash}")[0] == 503
    held.pop().close()
    assert here.blocks(0, BLOCK - 1)[0] == 206
    for _ in range(MOST_AT_ONCE):
        here.app._places.acquire()
    assert here.blocks(0, BLOCK - 1)[0] == 503


def test_one_question_hashes_only_so_much(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "_HASHED_AT_ONCE", 20 * BLOCK)
    here.put("video.mp4", range(91))
    sizes = [len(set_bits(here.have()["video.mp4"], 91)) for _ in range(4)]
    assert sizes == [20, 40, 60, 80] and here.have()["video.mp4"] == "all"
    before = os.stat(here.store.partial_path(VIDEO.root))
    assert before.st_size == VIDEO.length


def test_an_answer_is_good_for_a_second(here: Here) -> None:
    here.have()
    here.put("video.mp4", range(91))
    first = here.ask(f"/api/v1/have/{PACKAGE.infohash}")[2]
    assert b"all" not in first and here.have()["video.mp4"] == "all"
