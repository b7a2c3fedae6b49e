"""A box's swarm on a real libtorrent and a real HTTP server: every block from one source, liars banned for a
while, the last source never, and a limit that holds at once."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest

from content_sync.adapters.libtorrent import swarm as module
from content_sync.adapters.libtorrent.swarm import LibtorrentSwarm, SwarmOptions
from content_sync.adapters.objects import FileStore
from content_sync.formats.hashtree import BLOCK
from content_sync.ports import Neighbour
from tests.contract.test_swarm import FILES, MADE, NO_LSD, PACKAGE, job, put

Wait = Callable[..., None]
BIG = "有 空格.bin"
BLOCKS = -(-len(FILES[BIG]) // BLOCK)


class Web:
    """A web seed, and a neighbour that has some blocks of BIG; `asked` counts the blocks that were given."""

    def __init__(self) -> None:
        self.asked: Counter[tuple[str, int]] = Counter()
        self.held: set[int] = set()
        self.lies = self.slow = False
        self.bytes = 0
        web = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *values: object) -> None:
                pass

            def do_GET(self) -> None:
                web.answer(self)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = unquote(request.path)
        if path.startswith("/api/v1/have/"):
            bits = "".join(str(int(block in self.held)) for block in range((BLOCKS + 7) // 8 * 8))
            have = {BIG: f"{int(bits, 2):0{len(bits) // 4}x}"}
            listed = [
                f'{{"root":"{e.file.root}","size":{e.file.length},"have":"{have.get(e.path, "none")}"}}'
                for e in PACKAGE.files
            ]
            body = f'{{"infohash":"{PACKAGE.infohash}","files":[{",".join(listed)}]}}'.encode()
            self._send(request, 200, body)
            return
        near = path.startswith("/blocks/")
        names = [
            p
            for p, (file, _) in MADE.items()
            if path.endswith((f"/{PACKAGE.name}/{p}", f"/blocks/{file.root}"))
        ]
        if not names:  # an announce
            self._send(request, 404, b"")
            return
        [name] = names
        first, last = map(int, re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers["Range"]).groups())  # type: ignore[union-attr]
        data = FILES[name][first : last + 1]
        if self.lies:
            data = bytes(len(data))
        for block in range(first // BLOCK, last // BLOCK + 1):
            assert not near or block in self.held
            self.asked["near" if near else name, block] += 1
        self._send(request, 206, data, f"bytes {first}-{last}/{len(FILES[name])}")

    def _send(self, request: BaseHTTPRequestHandler, status: int, body: bytes, span: str = "") -> None:
        request.send_response(status)
        if span:
            request.send_header("Content-Range", span)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        try:
            for at in range(0, len(body), 4096):
                if self.slow:
                    time.sleep(0.05)
                request.wfile.write(body[at : at + 4096])
                self.bytes += len(body[at : at + 4096])
        except OSError:
            pass

    def near(self) -> list[Neighbour]:
        return [Neighbour("b-0000000000000001", self.url)]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def web() -> Iterator[Web]:
    made = Web()
    yield made
    made.close()


@pytest.fixture
def swarms() -> Iterator[list[LibtorrentSwarm]]:
    made: list[LibtorrentSwarm] = []
    yield made
    for one in made:
        one.close()


def store(folder: Path) -> FileStore:
    return FileStore(folder / "objects", folder / "partial")


def step(swarms: list[LibtorrentSwarm]) -> list[str]:
    """One round; what the first of them has finished."""
    for one in swarms:
        one.step(time.monotonic())
        assert one.failed() == {}
    return swarms[0].finished()


def test_three_sources_and_no_block_twice(
    tmp_path: Path, wait_until: Wait, web: Web, swarms: list[LibtorrentSwarm]
) -> None:
    """40% lie in a drop and come in while the job runs, 40% has a neighbour by HTTP, the county has all."""
    here = store(tmp_path / "box")
    dropped = set(range(0, BLOCKS, 5)) | set(range(1, BLOCKS, 5))
    web.held = set(range(2, BLOCKS, 5)) | set(range(3, BLOCKS, 5))
    box = LibtorrentSwarm(SwarmOptions((web.url,), neighbours=web, more=NO_LSD), tmp_path, lambda: None)
    swarms.append(box)
    box.limit(0)  # so that the neighbour's word is here before the county is asked
    box.add(job(here))
    for block in dropped:
        put(here, BIG, range(block, block + 1))
    box.fill(PACKAGE.infohash, MADE[BIG][0].root, bytes(block in dropped for block in range(BLOCKS)))
    wait_until(
        lambda: (step(swarms), set(web.asked))[1] == {("near", block) for block in web.held}, 30, "near"
    )
    box.limit(None)
    wait_until(lambda: step(swarms), 90, "finished")
    assert set(web.asked.values()) == {1}
    rest = {block for block in range(BLOCKS) if block % 5 == 4}
    assert {block for name, block in web.asked if name == BIG} == rest
    assert box.received() == PACKAGE.size - BLOCK * len(dropped) + (BLOCK - len(FILES[BIG]) % BLOCK) * (
        BLOCKS - 1 in dropped
    )
    assert box.afar() == box.received() - sum(min(BLOCK, len(FILES[BIG]) - b * BLOCK) for b in web.held)
    for path, (file, _) in MADE.items():
        assert b"".join(here.partial_blocks(file.root)) == FILES[path]


def test_a_web_seed_that_lies_is_counted_and_the_job_waits_for_a_better_answer(
    tmp_path: Path, wait_until: Wait, web: Web, swarms: list[LibtorrentSwarm], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("content_sync.adapters.libtorrent.sources.REST", 0.5)
    here = store(tmp_path / "box")
    box = LibtorrentSwarm(SwarmOptions((web.url,), peers=False, more=NO_LSD), tmp_path, lambda: None)
    swarms.append(box)
    web.lies = True
    box.add(job(here))
    wait_until(lambda: (step(swarms), box.progress()[PACKAGE.infohash].bad)[1], 30, "a lie is counted")
    web.lies = False
    wait_until(lambda: step(swarms), 30, "finished: the last source is never banned")


@pytest.mark.parametrize("alone", [False, True], ids=["beside the county", "the last source"])
def test_a_lying_peer_is_banned_for_a_while(
    tmp_path: Path,
    wait_until: Wait,
    web: Web,
    swarms: list[LibtorrentSwarm],
    monkeypatch: pytest.MonkeyPatch,
    alone: bool,
) -> None:
    monkeypatch.setattr(module, "REST" if alone else "BAN", 1.0)
    here, there = store(tmp_path / "box"), store(tmp_path / "liar")
    for path in FILES:
        put(there, path)
    lie = there.object_path(MADE[BIG][0].root)
    lie.chmod(0o644)
    lie.write_bytes(bytes(len(FILES[BIG])))
    options = SwarmOptions(() if alone else (web.url,), web=not alone, more=NO_LSD)
    box = LibtorrentSwarm(options, tmp_path, lambda: None)
    liar = LibtorrentSwarm(SwarmOptions((), web=False, more=NO_LSD), tmp_path, lambda: None)
    swarms += [box, liar]
    liar.add(job(there))
    box.limit(0)
    box.add(job(here))
    box.connect(PACKAGE.infohash, "127.0.0.1", liar.port)

    def banned() -> int:
        assert not step(swarms)
        return box.banned(PACKAGE.infohash)

    wait_until(banned, 30, "it is banned")
    assert box.progress()[PACKAGE.infohash].bad
    if alone:
        with lie.open("r+b") as stream:  # in place: the liar reads it
            stream.write(FILES[BIG])
        wait_until(lambda: not step(swarms) and box.bans(PACKAGE.infohash) == 0, 30, "the ban is lifted")
        box.connect(PACKAGE.infohash, "127.0.0.1", liar.port)
    else:
        wait_until(lambda: not step(swarms) and box.bans(PACKAGE.infohash) == 0, 30, "the ban has expired")
        liar.remove(PACKAGE.infohash)
        box.limit(None)
    wait_until(lambda: step(swarms), 60, "finished")


def test_a_limit_of_zero_stops_at_once(
    tmp_path: Path, wait_until: Wait, web: Web, swarms: list[LibtorrentSwarm]
) -> None:
    here = store(tmp_path / "box")
    box = LibtorrentSwarm(SwarmOptions((web.url,), peers=False, more=NO_LSD), tmp_path, lambda: None)
    swarms.append(box)
    web.slow = True
    box.add(job(here))
    wait_until(lambda: (step(swarms), box.received())[1], 30, "it comes")
    box.limit(0)
    wait_until(lambda: (step(swarms), not box.progress()[PACKAGE.infohash].web)[1], 5, "nothing is under way")
    came = box.received()
    for _ in range(10):
        assert not step(swarms)
    assert box.received() == came
    web.slow = False
    box.limit(None)
    wait_until(lambda: step(swarms), 30, "finished")
    assert box.received() < PACKAGE.size + 16 * BLOCK
