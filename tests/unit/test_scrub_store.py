"""What the scrub needs of ports.Store, of the disk and of the fake; and that the page cache is left alone."""

from __future__ import annotations

import errno
import os
import random
import socket
from pathlib import Path

import pytest

from appliance.web import server
from content_sync.adapters import direct
from content_sync.adapters.objects import FileStore
from content_sync.formats.hashtree import BLOCK
from content_sync.ports import Store
from content_sync.testing.fakes import MemoryStore
from tests.unit.small_county import identify

DATA = random.Random(4).randbytes(40 * BLOCK + 5)
FILE, _ = identify(DATA)


@pytest.fixture(params=["disk", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    made: Store = (
        FileStore(tmp_path / "objects", tmp_path / "partial") if request.param == "disk" else MemoryStore()
    )
    for index in range(41):
        made.write_block(FILE, index, DATA[index * BLOCK : (index + 1) * BLOCK])
    made.admit(FILE)
    return made


def test_an_admitted_object_bears_a_mark_until_it_is_retracted(store: Store) -> None:
    assert store.vouched(FILE)
    assert not store.vouched(type(FILE)(FILE.root, FILE.length + 1))
    store.retract(FILE.root)
    store.retract(FILE.root)
    assert not store.vouched(FILE) and store.objects() == [] and not store.has_object(FILE)
    assert b"".join(store.partial_blocks(FILE.root)) == DATA
    store.write_block(FILE, 0, DATA[:BLOCK])
    store.admit(FILE)
    assert store.vouched(FILE) and b"".join(store.object_blocks(FILE.root)) == DATA


def test_inspect_gives_what_lies_there(store: Store) -> None:
    assert b"".join(store.inspect(FILE.root, 0, 99)) == DATA
    assert store.inspect(FILE.root, 39, 16) == [DATA[39 * BLOCK : 40 * BLOCK], DATA[40 * BLOCK :]]
    assert store.inspect(FILE.root, 41, 3) == [] == store.inspect("0" * 64, 0, 3)


def a_file_store(tmp_path: Path) -> tuple[FileStore, Path]:
    store = FileStore(tmp_path / "objects", tmp_path / "partial")
    store.write_block(FILE, 0, DATA)
    store.admit(FILE)
    return store, store.object_path(FILE.root)


def test_an_object_that_somebody_wrote_to_is_not_believed(tmp_path: Path) -> None:
    store, path = a_file_store(tmp_path)
    assert store.vouched(FILE)
    path.chmod(0o644)
    with path.open("r+b") as stream:
        stream.write(DATA[:1])  # the same byte: who wrote it is not known
    assert not store.vouched(FILE)
    copied = path.with_name("copy")
    copied.write_bytes(DATA)
    copied.replace(path)
    assert store.has_object(FILE) and not store.vouched(FILE)


def cached(path: Path) -> bool:
    with path.open("rb", buffering=0) as stream:
        return direct.in_memory(stream.fileno(), 0, len(DATA))


@pytest.mark.parametrize("plain", [False, True])
def test_reading_for_the_scrub_leaves_the_page_cache_as_it_was(
    disk_path: Path, plain: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, path = a_file_store(disk_path)
    if plain:
        real = direct._opened
        monkeypatch.setattr(direct, "_opened", lambda where: _not_direct(real, where))
    descriptor = os.open(path, os.O_RDONLY)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    if cached(path):
        pytest.skip("this file system lives in memory")
    assert b"".join(store.inspect(FILE.root, 0, 64)) == DATA
    assert not cached(path)
    assert b"".join(store.object_blocks(FILE.root)) == DATA and cached(path)
    assert b"".join(store.inspect(FILE.root, 0, 64)) == DATA
    assert cached(path)
    os.close(descriptor)


def _not_direct(opened: object, where: Path) -> object:
    from contextlib import contextmanager

    @contextmanager
    def plain():  # type: ignore[no-untyped-def]
        with opened(where) as (descriptor, _):  # type: ignore[operator]
            yield descriptor, False

    return plain()


def test_a_sector_that_cannot_be_read_costs_its_block_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, path = a_file_store(tmp_path)
    real = os.preadv

    def preadv(descriptor: int, buffers: list[memoryview], offset: int, flags: int = 0) -> int:
        if offset <= 17 * BLOCK + 512 < offset + len(buffers[0]):
            raise OSError(errno.EIO, "Input/output error")
        return real(descriptor, buffers, offset, flags)

    monkeypatch.setattr(os, "preadv", preadv)
    found = store.inspect(FILE.root, 8, 16)
    assert found[9] == b"" and len(found) == 16
    assert b"".join(found[:9]) == DATA[8 * BLOCK : 17 * BLOCK]
    store.retract(FILE.root)
    assert path.parent.is_dir() and not path.exists()


def test_web_stops_sending_what_was_withheld_and_says_what_it_could_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, path = a_file_store(tmp_path)
    told: list[str] = []
    monkeypatch.setattr(server, "_SEND_AT_MOST", 4096)
    one, other = socket.socketpair()
    with one, other, server._Socket(fileno=one.detach()) as sender, path.open("rb", buffering=0) as stream:
        sender.unreadable = told.append
        assert (
            sender.sendfile(stream, 0, 8192) == 8192 and other.recv(8192, socket.MSG_WAITALL) == DATA[:8192]
        )
        store.retract(FILE.root)
        with pytest.raises(OSError, match="withheld"):
            sender.sendfile(stream, 0, 8192)
        assert told == [FILE.root]
        store.admit(FILE)

        def broken(*_: object) -> int:
            raise OSError(errno.EIO, "Input/output error")

        with store.object_path(FILE.root).open("rb", buffering=0) as again:
            monkeypatch.setattr(os, "sendfile", broken)
            with pytest.raises(OSError, match="Input/output"):
                sender.sendfile(again, 0, 8192)
        assert told == [FILE.root] * 2
