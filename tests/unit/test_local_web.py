"""What stands before sync: uploads in pieces, baskets, and local lessons on a stick."""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path

import pytest

from appliance.config import BoxPaths
from appliance.local_export import export_local
from appliance.school import baskets, uploads
from appliance.school.baskets import Item
from appliance.school.database import School
from appliance.school.films import starts_late
from appliance.school.rooms import check_room, save_room, set_board
from appliance.school.uploads import Uploads
from content_sync.errors import BusyError, DiskFullError, FormatError, LocalError, NotFoundError
from content_sync.formats import bag
from content_sync.formats.hashtree import BLOCK
from content_sync.formats.local import Heading, LocalRequest, Source, parse_local
from county.submissions import collect
from tests.unit.school_lessons import FILM, HEAD, ID, PAPER, OwnBox, named
from tests.unit.small_county import SmallCounty

UP = "0123456789abcdef"


class Broken(io.BytesIO):
    """A body whose sender vanishes after its bytes."""

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if not data:
            raise OSError("gone")
        return data


@pytest.fixture
def box(tmp_path: Path) -> Uploads:
    return Uploads(tmp_path / "uploads", 0, lambda: 0.0)


def test_an_upload_comes_in_pieces_and_goes_on(box: Uploads, tmp_path: Path) -> None:
    data = os.urandom(700_000)
    assert box.at(UP) == (0, False)
    assert box.append(UP, 0, len(data), io.BytesIO(data[:100])) == (100, False)
    with pytest.raises(BusyError, match="vanished"):  # the sender vanishes: what came stays
        box.append(UP, 100, len(data), Broken(data[100:300_000]))
    assert box.at(UP) == (300_000, False)
    again = Uploads(tmp_path / "uploads", 0, lambda: 0.0)  # web was killed
    assert again.append(UP, 5, len(data), io.BytesIO(data[5:9])) == (9, False), "the sender knows best"
    assert again.append(UP, 10, len(data), io.BytesIO(b"x")) == (9, False), "a hole changes nothing"
    assert again.append(UP, 9, len(data), io.BytesIO(data[9:] + b"more")) == (len(data), True)
    assert (tmp_path / f"uploads/{UP}.data").read_bytes() == data
    assert again.append(UP, 0, len(data), io.BytesIO(b"other")) == (len(data), True), "whole is whole"
    assert (tmp_path / f"uploads/{UP}.data").read_bytes() == data


def test_what_an_upload_may_not_be(box: Uploads, tmp_path: Path) -> None:
    for upload in ("../x", "", "X" * 16, UP + "0"):
        with pytest.raises(NotFoundError):
            box.at(upload)
    for size in (0, -1, 1 << 50):
        with pytest.raises(LocalError):
            box.append(UP, 0, size, io.BytesIO(b"x"))
    full = Uploads(tmp_path / "uploads", 1 << 60, lambda: 0.0)
    with pytest.raises(DiskFullError):
        full.append(UP, 0, 10, io.BytesIO(b"x"))
    with pytest.raises(DiskFullError):
        full.receive()
    assert not list((tmp_path / "uploads").iterdir())

    class Twice(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            with pytest.raises(BusyError):
                box.append(UP, 0, 10, io.BytesIO(b"x"))
            return super().read(size)

    assert box.append(UP, 0, 4, Twice(b"abcd")) == (4, True)


def test_what_stands_still_goes_but_nothing_that_is_waited_for(tmp_path: Path) -> None:
    now = [0.0]
    box = Uploads(tmp_path / "uploads", 0, lambda: now[0])
    for n in "123":
        box.append(n * 16, 0, 4, io.BytesIO(b"abcd" if n == "1" else b"ab"))
    box.sweep(())
    now[0] = 7 * 3600.0
    box.append("3" * 16, 2, 4, io.BytesIO(b"c"))
    box.sweep({"1" * 16})
    assert [path.name for path in sorted((tmp_path / "uploads").iterdir())] == [
        "1" * 16 + ".data",
        "3" * 16 + ".part",
    ]


def test_a_request_that_sync_would_refuse_is_never_left(tmp_path: Path) -> None:
    good = LocalRequest("add", ID, HEAD, files=(Source("upload", UP, "a.mp4"),))
    for bad in (
        LocalRequest("add", "local-x", HEAD),
        LocalRequest("add", ID, Heading(" \u200b", "", "")),
        LocalRequest("add", ID, HEAD, files=(Source("upload", "../x", "a"),)),
        LocalRequest("add", ID, HEAD, files=good.files * 201),
    ):
        with pytest.raises((FormatError, LocalError)):
            uploads.leave(tmp_path, bad)
    assert not list(tmp_path.iterdir())
    uploads.leave(tmp_path, good)
    assert uploads.waiting(tmp_path) == [good]
    (tmp_path / f"local-{'f' * 16}.json").write_bytes(b"\xff")
    assert uploads.waiting(tmp_path) == [good]


def test_a_film_that_starts_late_is_told(tmp_path: Path) -> None:
    def film(*boxes: tuple[bytes, int]) -> Path:
        path = tmp_path / "film.mp4"
        path.write_bytes(b"".join(struct.pack(">I4s", 8 + size, kind) + bytes(size) for kind, size in boxes))
        return path

    assert starts_late(film((b"ftyp", 8), (b"free", 100), (b"mdat", 999), (b"moov", 9)))
    assert not starts_late(film((b"ftyp", 8), (b"moov", 9), (b"mdat", 999)))
    path = film((b"ftyp", 8))
    path.write_bytes(path.read_bytes() + struct.pack(">I4sQ", 1, b"mdat", 40) + bytes(24))
    assert starts_late(path)
    for nonsense in (b"", b"\0" * 90, b"\xff" * 90, struct.pack(">I4s", 4, b"mdat") * 9):
        path.write_bytes(nonsense)
        assert not starts_late(path)
    assert not starts_late(tmp_path / "none")


def test_too_many_baskets_cost_an_empty_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    school = School(tmp_path / "school.db")
    monkeypatch.setattr(baskets, "_MOST_BASKETS", 3)
    monkeypatch.setattr(baskets, "_MOST_CURRENT", 2)
    one = Item("lesson-one", "r1", "资料1", "video", "古诗三首")
    first, empty = baskets.put(school, "a" * 16, None, one), baskets.make(school, "空")
    third, fourth = baskets.make(school, "三"), baskets.make(school, "四")
    kept = {made.id for made in baskets.all_baskets(school)}
    assert kept == {first, third, fourth} and empty not in kept
    for identity in (third, fourth):
        baskets.put(school, "b" * 16, identity, one)
    with pytest.raises(LocalError):
        baskets.make(school, "五")
    save_room(school, check_room("一班", ["一年级"], identity="r-1"))
    set_board(school, "b" * 16, "r-1", "right")
    for number in range(9):
        baskets.put(school, f"{number:016x}", first, one)
    assert baskets.current(school, "b" * 16) == fourth, "a board of a room keeps its basket"
    with school.read() as db:
        assert db.execute("SELECT count(*) FROM current_basket").fetchone()[0] <= 3


def test_baskets_keep_their_order(tmp_path: Path) -> None:
    school = School(tmp_path / "school.db")
    board, other = "a" * 16, "b" * 16

    def item(n: int) -> Item:
        return Item("lesson-one", f"r{n}", f"资料{n}", "video", "古诗三首")

    first = baskets.put(school, board, None, item(1))
    for n in (2, 3, 2):
        assert baskets.put(school, board, None, item(n)) == first, "a board goes on with its basket"
    second = baskets.put(school, other, None, item(9))
    assert second != first and [one.id for one in baskets.all_baskets(school)] == [second, first]
    baskets.move_up(school, first, "lesson-one", "r3")
    baskets.move_up(school, first, "lesson-one", "r1")
    baskets.move_up(school, first, "lesson-one", "none")
    held = baskets.basket(school, first)
    assert held is not None and [one.resource for one in held.items] == ["r1", "r3", "r2"]
    baskets.take_out(school, first, "lesson-one", "r1")
    baskets.rename(school, first, "  一起\u202e备课 ")
    lesson = baskets.shared_as(school, first)
    assert baskets.shared_as(school, first) == lesson
    held = baskets.basket(school, first)
    assert held is not None and (held.name, held.lesson, len(held.items)) == ("一起备课", lesson, 2)
    baskets.throw_away(school, first)
    assert baskets.basket(school, first) is None and baskets.current(school, board) is None
    with pytest.raises(LocalError):
        baskets.put(school, board, first, item(1))


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OwnBox:
    county = SmallCounty(tmp_path / "county")
    county.noise("一", BLOCK)
    county.publish()
    (tmp_path / "box").mkdir()
    made = OwnBox(tmp_path / "box", county)
    made.start()
    made.settle()
    made.add({"视频 长城.mp4": FILM, "教案.pdf": PAPER})

    class Enrolled:
        box = "b-0123456789abcdef"

    monkeypatch.setattr("appliance.local_export.load_settings", lambda data: None)
    monkeypatch.setattr("appliance.local_export.read_enrolment", lambda paths: Enrolled)
    return made


def test_to_another_school_and_to_the_county(own: OwnBox, tmp_path: Path) -> None:
    top, data = own.folder / "sticks/one", BoxPaths(own.folder).data
    with pytest.raises(LocalError):
        export_local(data, top, ("local-" + "9" * 16,))
    assert export_local(data, top)["local"] == 0, "nobody has asked"
    own.state.set_meta({"collect_local": f'["{ID}","local-x",1]'})
    assert export_local(data, top)["local"] == 0, "asked for, not offered"
    own.ask(LocalRequest("offer", ID, offered=True))
    most = 2 * BLOCK  # a stick that holds small files alone
    made = export_local(data, top, most=most)
    assert (made["local"], made["problems"]) == (1, []) and made["written"] > len(FILM)
    assert export_local(data, top, most=most)["written"] == 0, "once"
    place = top / bag.LOCAL / ID
    assert (place / f"{named(FILM).root}.{2:010d}").is_file()
    record = parse_local((place / "lesson.json").read_bytes())
    assert record.origin == "b-0123456789abcdef" and not record.offered
    got = collect(tmp_path / "submissions", top)
    folder = tmp_path / "submissions/b-0123456789abcdef" / ID
    assert [one["title"] for one in got["lessons"]] == [HEAD.title] and not got["problems"]
    assert sorted(path.read_bytes() for path in folder.rglob("f-*/*")) == sorted([FILM, PAPER])
    own.ask(LocalRequest("delete", ID))
    own.ask(LocalRequest("import", ID, path=str(place)))
    assert own.own() == {"长城": FILM, "教案": PAPER}
    (place / named(PAPER).root).write_bytes(PAPER[:-1] + b"!")
    got = collect(tmp_path / "again", top)
    assert not got["lessons"] and got["problems"][0]["code"] == "E-LOCAL"
    assert not list((tmp_path / "again").rglob("lesson.json"))
    with pytest.raises(NotFoundError):
        collect(tmp_path / "again", tmp_path)


def test_a_file_that_is_damaged_here_is_no_export(own: OwnBox) -> None:
    path = own.store.object_path(named(PAPER).root)
    path.chmod(0o644)
    path.write_bytes(PAPER[:-1] + b"!")
    made = export_local(BoxPaths(own.folder).data, own.folder / "sticks/one", ("all",))
    assert made["local"] == 0 and made["problems"]
    assert not list((own.folder / "sticks").rglob("lesson.json"))
