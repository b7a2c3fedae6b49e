"""One suite for ports.Store and ports.Drops: the folders on a disk and their fakes in memory."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from content_sync.adapters.drops import Folders
from content_sync.adapters.objects import FileShelf, FileStore
from content_sync.errors import NotFoundError, TooBigError
from content_sync.formats.hashtree import BLOCK
from content_sync.ports import Drops, Shelf, Store
from content_sync.testing.fakes import MemoryDrops, MemoryShelf, MemoryStore
from tests.unit.small_county import identify

DATA = random.Random(4).randbytes(3 * BLOCK + 5)
FILE, _ = identify(DATA)


@pytest.fixture(params=["disk", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return FileStore(tmp_path / "objects", tmp_path / "partial") if request.param == "disk" else MemoryStore()


def write(store: Store, *indices: int) -> None:
    for index in indices:
        store.write_block(FILE, index, DATA[index * BLOCK : (index + 1) * BLOCK])


def test_blocks_in_any_order_become_an_object(store: Store) -> None:
    assert list(store.partial_blocks(FILE.root)) == [] and not store.has_object(FILE)
    write(store, 3, 0)
    assert list(store.partial_blocks(FILE.root))[3] == DATA[3 * BLOCK :]
    store.prepare(FILE)
    assert list(store.partial_blocks(FILE.root))[0] == DATA[:BLOCK]
    assert store.partials().keys() == {FILE.root}
    write(store, 1, 2)
    store.admit(FILE)
    assert store.has_object(FILE) and store.objects() == [FILE] and not store.partials()
    assert b"".join(store.object_blocks(FILE.root)) == DATA == store.read_object(FILE, len(DATA))
    with pytest.raises(TooBigError):
        store.read_object(FILE, len(DATA) - 1)
    store.remove_object(FILE.root)
    store.remove_object(FILE.root)
    assert store.objects() == [] and not store.has_object(FILE)
    with pytest.raises(NotFoundError):
        store.read_object(FILE, 1 << 20)


def test_prepare_takes_the_space_and_gives_the_length(store: Store) -> None:
    free = store.free()
    store.prepare(FILE)
    assert sum(map(len, store.partial_blocks(FILE.root))) == FILE.length
    assert store.partials()[FILE.root] >= FILE.length
    assert store.total() >= free
    store.remove_partial(FILE.root)
    store.remove_partial(FILE.root)
    assert not store.partials()
    with pytest.raises(NotFoundError):
        store.admit(FILE)


@pytest.fixture(params=["disk", "memory"])
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Shelf:
    return FileShelf(tmp_path) if request.param == "disk" else MemoryShelf()


def test_shelf(shelf: Shelf) -> None:
    assert shelf.get("a/b.json", 9) is None and shelf.names("a") == []
    shelf.put("a/b.json", b"1")
    shelf.put("a/b.json", b"22")
    shelf.put("a/c.json", b"3")
    assert shelf.get("a/b.json", 2) == b"22" and shelf.names("a") == ["b.json", "c.json"]
    with pytest.raises(TooBigError):
        shelf.get("a/b.json", 1)
    shelf.remove("a/b.json")
    shelf.remove("a/b.json")
    assert shelf.names("a") == ["c.json"]


@pytest.fixture(params=["disk", "memory"])
def drops(
    request: pytest.FixtureRequest, tmp_path: Path
) -> tuple[Drops, Callable[[str, bytes], str], Callable[[str], None]]:
    if request.param == "memory":
        memory = MemoryDrops()

        def keep(name: str, data: bytes) -> str:
            memory.put(name, data)
            return name

        return memory, keep, memory.take_away

    def put(name: str, data: bytes) -> str:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        return str(path)

    return Folders([tmp_path]), put, lambda path: Path(path).unlink()


def test_drops(drops: tuple[Drops, Callable[[str, bytes], str], Callable[[str], None]]) -> None:
    folder, put, remove = drops
    path = put("深/文件", DATA)
    put("empty", b"")
    assert folder.hint() and not folder.hint()
    (stat,) = folder.scan()
    assert (stat.path, stat.size) == (path, len(DATA))
    assert b"".join(folder.portions(path)) == DATA and b"".join(folder.portions(path, 3)) == DATA[3 * BLOCK :]
    assert folder.block(path, 3) == DATA[3 * BLOCK :]
    assert folder.block(path, 1, 2) == DATA[BLOCK : 3 * BLOCK] and folder.block(path, 1, 99) == DATA[BLOCK:]
    assert folder.members(stat) == ([], "")
    assert folder.small(path, len(DATA)) == DATA and folder.small(path, len(DATA) - 1) is None
    put("深/文件", DATA + b"more")
    (grown,) = folder.scan()
    assert grown != stat and grown.inode == stat.inode
    remove(path)
    assert list(folder.scan()) == [] and list(folder.portions(path)) == []
    assert folder.block(path, 0) is None and folder.small(path, 9) is None


def test_links_and_folders_that_vanish_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "drop").mkdir()
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "drop" / "link").symlink_to(tmp_path / "secret")
    (tmp_path / "drop" / "loop").symlink_to(tmp_path / "drop")
    assert list(Folders([tmp_path / "drop", tmp_path / "absent"]).scan()) == []
    assert [stat.size for stat in Folders([tmp_path / "secret"]).scan()] == [6]


def test_single_blocks_of_arriving_files_and_of_objects(store: Store) -> None:
    assert store.read_block(FILE, 0) is None
    write(store, 1)
    assert store.read_block(FILE, 1) == DATA[BLOCK : 2 * BLOCK] and store.read_block(FILE, 3) is None
    store.sync()
    write(store, 0, 2, 3)
    store.sync()
    store.sync()
    store.admit(FILE)
    assert store.read_block(FILE, 0) == DATA[:BLOCK] and store.read_block(FILE, 3) == DATA[3 * BLOCK :]
    assert store.read_block(FILE, 4) is None
