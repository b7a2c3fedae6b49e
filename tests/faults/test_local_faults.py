"""Every durable operation fails or is cut off once while teachers' files become a lesson, change and go: what
they added is there after the next start, whole, or never was; the county's lessons stay as they are."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from content_sync.formats.hashtree import BLOCK
from content_sync.formats.local import LocalRequest, Source
from content_sync.testing.faults import KINDS, Fuse
from tests.faults.disk_box import through
from tests.unit.school_lessons import FILM, HEAD, ID, PAPER, OwnBox, named, zipped
from tests.unit.small_county import SmallCounty

FIRST = LocalRequest("add", ID, HEAD, files=(Source("upload", "a" * 16, "视频 长城.mp4"),))
MORE = LocalRequest(
    "add",
    ID,
    files=(
        Source("upload", "b" * 16, "教案.pdf"),
        Source("upload", "c" * 16, "互动课件 笔顺.zip"),
        Source("upload", "d" * 16, "视频 长城二.mp4"),
    ),
)
GONE = LocalRequest("delete", ID)
ZIP = zipped({"index.html": b"<p>", "a.js": b"run()"})


def leave(box: OwnBox, request: LocalRequest) -> None:
    """As web leaves uploads and their request; what lasts is the request, so it comes again and again."""
    contents = {"a": FILM, "b": PAPER, "c": ZIP, "d": FILM}
    for source in request.files:
        path = box.folder / f"incoming/uploads/{source.where}.data"
        path.write_bytes(contents[source.where[0]])


def do(box: OwnBox, request: LocalRequest, number: int) -> None:
    """A start, and a request."""
    box.start()
    box.ask(request, number)
    box.settle()


def add(box: OwnBox) -> None:
    """A lesson comes."""
    do(box, FIRST, 1)


def grow(box: OwnBox) -> None:
    """Files come to a lesson that is there."""
    do(box, MORE, 2)


def delete(box: OwnBox) -> None:
    """A lesson goes."""
    do(box, GONE, 3)


#: Life -> how many faults are the least that it must have.
LIVES: dict[Callable[[OwnBox], None], int] = {add: 8, grow: 20, delete: 4}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("life", LIVES, ids=lambda life: life.__name__)
def test_a_fault_at_every_durable_operation(
    memory_path: Path, life: Callable[[OwnBox], None], kind: str
) -> None:
    at = 0
    template = memory_path / "county"
    county = SmallCounty(template)
    county.noise("一", 2 * BLOCK)
    county.publish()
    while True:
        folder = memory_path / f"{at}"
        folder.mkdir()
        box = OwnBox(folder, county)
        box.start()
        box.settle()
        if life is not add:
            leave(box, FIRST)
            do(box, FIRST, 1)
        request, number = {add: (FIRST, 1), grow: (MORE, 2), delete: (GONE, 3)}[life]
        leave(box, request)
        fuse = Fuse(at, kind)
        through(box, fuse, life)
        before = {} if life is add else {"长城": FILM}
        box.start()
        shown = box.own()  # checks every byte that pages can see
        assert life is delete or set(before.items()) <= set(shown.items()), f"{kind} at {at}"
        assert box.shown() == {"一"}, f"{kind} at {at}"
        box.ask(request, number)  # web's request lies there until it is done
        box.settle()
        box.clock.go(4000)
        box.settle()
        after = box.own()
        if life is delete:
            assert after == {}, f"{kind} at {at}"
            assert named(FILM).root not in box.kept(), f"{kind} at {at}"
        else:
            wanted = {"长城": FILM}
            if life is grow:
                wanted |= {"教案": PAPER, "笔顺": b"<p>", "长城二": FILM}
            assert after == wanted, f"{kind} at {at}"
        assert box.shown() == {"一"} and box.kept() == box.state.referenced(), f"{kind} at {at}"
        assert not box.leftovers() and not box.uploads(), f"{kind} at {at}"
        assert not list((box.folder / "local").glob(".arriving/*")), f"{kind} at {at}"
        box.state.close()
        shutil.rmtree(folder)
        if not fuse.blown:
            break
        at += 1
    print(f"{life.__name__}, {kind}: {at} faults")
    assert at >= LIVES[life]
