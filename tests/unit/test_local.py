"""Lessons of the school's own: made of uploads, kept through everything that happens to the county's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from content_sync.adapters.local import FileLocal
from content_sync.errors import FormatError, LocalError
from content_sync.formats import local as formats
from content_sync.formats.hashtree import BLOCK
from content_sync.formats.local import Heading, LocalRequest, Source, clean, guess, parse_local, safe_name
from content_sync.formats.paths import check_component
from tests.unit.school_lessons import FILM, HEAD, ID, PAPER, OwnBox, named, zipped
from tests.unit.small_county import NOW, SmallCounty


@pytest.fixture
def box(tmp_path: Path) -> OwnBox:
    county = SmallCounty(tmp_path / "county")
    county.noise("一", 3 * BLOCK + 7, 100)
    county.noise("二", 2 * BLOCK)
    county.publish()
    (tmp_path / "box").mkdir()
    made = OwnBox(tmp_path / "box", county)
    made.start()
    made.settle()
    return made


def again(box: OwnBox, without_state: bool = False) -> None:
    """A start anew, perhaps with state.db lost."""
    box.state.close()
    if without_state:
        for path in box.folder.glob("state.db*"):
            path.unlink()
    box.reopen()
    box.start()
    box.settle()


def test_uploads_become_a_lesson(box: OwnBox) -> None:
    box.add({"视频 长城.mp4": FILM, "教案.pdf": PAPER})
    assert box.own() == {"长城": FILM, "教案": PAPER}
    assert not box.uploads() and not box.leftovers() and not box.said()
    row = box.state.local_lessons()[0]
    assert (row.row.title, row.row.kinds, row.offered, row.row.state) == (
        HEAD.title,
        ("plan", "video"),
        False,
        "present",
    )
    place = box.state.places()[row.row.collection]
    assert (place.stage, place.subject, place.grade, place.edition) == ("小学", "语文", "四年级", "本校")
    # kept apart: nothing that walks the county's lessons meets it
    assert ID not in {one.id for one in box.state.lessons()} and box.state.count() == 2
    assert row.row.collection not in {one.id for one in box.state.collections()}
    assert row.row.collection not in {one.collection for one in box.state.tally()}
    assert box.engine is not None and box.engine.complete
    record = box.folder / "local" / ID / "lesson.json"
    assert parse_local(record.read_bytes()).uploads == {}


def test_it_outlives_starts_a_lost_state_and_a_new_release(box: OwnBox) -> None:
    box.add({"视频 长城.mp4": FILM})
    for without_state in (False, True):
        again(box, without_state)
        assert box.own() == {"长城": FILM} and box.shown() == {"一", "二"}
    box.county.lessons.pop("二")
    box.county.noise("三", BLOCK)
    box.county.publish(NOW + 60)
    box.clock.go(400)
    box.settle()
    assert box.own() == {"长城": FILM} and box.shown() == {"一", "三"}
    assert box.kept() == box.state.referenced(), "what the county withdrew is gone, nothing else"


def test_the_same_file_as_the_countys_is_kept_once(box: OwnBox) -> None:
    data = box.county.lessons["二"]["资料 0.bin"]
    before = len(box.kept())
    box.add({"视频 甲.mp4": data, "视频 乙.mp4": data})
    assert box.own() == {"甲": data, "乙": data} and len(box.kept()) == before and not box.uploads()
    box.county.lessons.pop("二")
    box.county.publish(NOW + 60)
    box.clock.go(400)
    box.settle()
    assert box.own() == {"甲": data, "乙": data} and box.shown() == {"一"}
    box.ask(LocalRequest("delete", ID))
    assert not box.own() and named(data).root not in box.kept()


def test_eviction_never_takes_it(tmp_path: Path) -> None:
    county = SmallCounty(tmp_path / "county")
    county.noise("一", 8 * BLOCK)
    county.publish()
    (tmp_path / "box").mkdir()
    box = OwnBox(tmp_path / "box", county)
    box.start()
    box.settle()
    box.add({"视频 长城.mp4": FILM})
    county.noise("三", 64 * BLOCK)
    county.publish(NOW + 60)
    box.store.free = lambda: 3 * BLOCK  # type: ignore[method-assign]
    box.clock.go(400)
    assert box.engine is not None
    for _ in range(50):
        box.engine.step(box.clock.monotonic())
        box.clock.go(30)
    assert box.own() == {"长城": FILM}
    assert "E-DISK-FULL" in {code for code, _ in box.said()}


def test_editing_offering_and_removing(box: OwnBox) -> None:
    box.add({"视频 长城.mp4": FILM, "教案.pdf": PAPER})
    first, second = (r.id for r in box.state.present_lesson(ID).resources)  # type: ignore[union-attr]
    head = Heading("长城（改）", "数学", "五年级")
    order = ((second, "guide", "学习单"), (first, "interactive", "短片"))
    box.ask(LocalRequest("edit", ID, head, order=order))
    lesson = box.state.present_lesson(ID)
    assert lesson is not None and lesson.title == "长城（改）"
    said = [(r.kind, r.step, r.title) for r in lesson.resources]
    assert said == [("guide", "practise", "学习单"), ("video", "look", "短片")], "nothing is made to run"
    box.ask(LocalRequest("edit", ID, head, removed=(second,)))
    assert box.own() == {"短片": FILM} and named(PAPER).root not in box.kept()
    box.ask(LocalRequest("offer", ID, offered=True))
    assert box.state.local_lessons()[0].offered
    again(box, without_state=True)
    assert box.state.local_lessons()[0].offered and box.own() == {"短片": FILM}
    box.ask(LocalRequest("delete", ID))
    assert not box.state.local_lessons() and not list((box.folder / "local").glob("local-*"))
    assert named(FILM).root not in box.kept() and box.shown() == {"一", "二"}
    assert not [one for one in box.state.collections(local=True) if one.id.startswith("local-")]


def test_a_request_that_is_carried_out_twice_does_it_once(box: OwnBox) -> None:
    source = Source("upload", box.upload("a", FILM), "视频 a.mp4")
    request = LocalRequest("add", ID, HEAD, files=(source,))
    box.ask(request, 7)
    box.ask(request, 7)
    lesson = box.state.present_lesson(ID)
    assert lesson is not None and len(lesson.resources) == 1 and not box.said()


def test_the_same_file_by_the_same_name_is_there_once(box: OwnBox) -> None:
    box.add({"视频 a.mp4": FILM})
    twice = tuple(Source("upload", box.upload(f"again {n}", FILM), "视频 a.mp4") for n in range(2))
    box.ask(LocalRequest("add", ID, files=twice))
    other = Source("upload", box.upload("b", FILM), "视频 b.mp4")
    box.ask(LocalRequest("add", ID, files=(other,)))
    lesson = box.state.present_lesson(ID)
    assert lesson is not None and [one.title for one in lesson.resources] == ["a", "b"]
    assert not box.said() and not box.uploads() and not box.leftovers()


def test_what_is_refused_says_so_and_the_rest_is_kept(box: OwnBox) -> None:
    box.add({"视频 长城.mp4": FILM, "空.pdf": b""})
    assert box.own() == {"长城": FILM} and ("E-LOCAL", HEAD.title) in box.said()
    lost = LocalRequest("add", ID, files=(Source("upload", "f" * 16, "x.mp4"),))
    box.ask(lost)
    for where in ("/etc/passwd", str(box.folder / "state.db"), str(box.folder / "sticks/../state.db")):
        box.ask(LocalRequest("add", ID, files=(Source("stick", where, "x.mp4"),)))
    (box.folder / "sticks/one/link.mp4").symlink_to("/etc/passwd")
    box.ask(LocalRequest("add", ID, files=(Source("stick", f"{box.folder}/sticks/one/link.mp4", "x"),)))
    box.ask(LocalRequest("add", ID, files=(Source("drop", "/etc/passwd", "x"),)))
    box.ask(LocalRequest("edit", "local-" + "e" * 16, HEAD))
    assert box.own() == {"长城": FILM} and len(box.state.local_lessons()) == 1


def test_files_of_a_stick_the_shelf_and_a_drop(box: OwnBox) -> None:
    (box.folder / "sticks/one/短片.mp4").write_bytes(FILM)
    (box.folder / "received" / named(PAPER).root).write_bytes(PAPER)
    box.drops.put("drop/歌.mp3", b"ID3" + b"s" * 999)
    box.clock.go(70)
    box.settle()
    sources = (
        Source("stick", f"{box.folder}/sticks/one/短片.mp4", "短片.mp4"),
        Source("received", named(PAPER).root, "导学案 一.pdf"),
        Source("drop", "drop/歌.mp3", "歌.mp3"),
    )
    box.ask(LocalRequest("add", ID, HEAD, files=sources))
    assert box.own() == {"短片": FILM, "一": PAPER, "歌": b"ID3" + b"s" * 999}
    assert (box.folder / "sticks/one/短片.mp4").exists() and not box.leftovers()


def test_a_full_disk_leaves_nothing_half(box: OwnBox) -> None:
    (box.folder / "sticks/one/短片.mp4").write_bytes(FILM)
    real, box.store.free = box.store.free, lambda: 10_000  # type: ignore[method-assign]
    source = Source("stick", f"{box.folder}/sticks/one/短片.mp4", "短片.mp4")
    box.ask(LocalRequest("add", ID, HEAD, files=(source,)))
    assert ("E-DISK-FULL", HEAD.title) in box.said() and not box.state.local_lessons()
    assert not list((box.folder / "local").glob("local-*"))
    box.store.free = real  # type: ignore[method-assign]
    box.ask(LocalRequest("add", ID, HEAD, files=(source,)))
    assert box.own() == {"短片": FILM} and ("E-DISK-FULL", HEAD.title) not in box.said()


def test_courseware_in_a_zip_is_unpacked_or_only_offered(box: OwnBox) -> None:
    page = {"课件/index.html": b"<p>hi</p>", "课件/js/run.js": b"run()", "读我.txt": b"x"}
    box.add({"互动课件 笔顺.zip": zipped(page), "资料.zip": zipped({"a.txt": b"a"})})
    lesson = box.state.present_lesson(ID)
    assert lesson is not None
    second, first = lesson.resources  # in teaching order
    assert (first.kind, first.media_type, first.main.path) == (
        "interactive",
        "text/html",
        f"{first.id}/z/index.html",
    )
    assert [e.path for e in first.with_role("part")] == [f"{first.id}/z/js/run.js"]
    assert len(first.with_role("original")) == 1
    assert (second.kind, second.media_type) == ("other", "application/zip")
    bomb = zipped({"index.html": b"x", **{f"{n}": b"\0" * (8 << 20) for n in range(12)}})
    box.add(
        {"炸弹.zip": bomb, "逃.zip": zipped({"index.html": b"x", "../../etc/x": b"x"}), "网页.html": b"<p>"}
    )
    lesson = box.state.present_lesson(ID)
    assert lesson is not None
    kinds = {r.title: (r.kind, r.media_type) for r in lesson.resources[2:]}
    assert kinds == {"炸弹": ("other", "application/zip"), "网页": ("other", "text/html")}
    assert ("E-LOCAL", HEAD.title) in box.said() and not box.leftovers()
    assert not list((box.folder / "local/.arriving").iterdir())


def arriving(box: OwnBox) -> list[str]:
    """Copies on their way."""
    return sorted(path.name for path in box.folder.glob("local/.arriving/*"))


def spoilt(files: dict[str, bytes], name: str) -> bytes:
    """A zip whose list gives this file another check sum."""
    data = bytearray(zipped(files))
    data[data.rindex(name.encode()) - 46 + 16] ^= 1
    return bytes(data)


BAD_ZIPS = {
    "unsafe": zipped({"index.html": b"x", "a": FILM, "zz/../../etc/x": b"x"}),
    "case": zipped({"index.html": b"x", "A.js": b"1", "a.js": b"2"}),
    "folder": zipped({"index.html": b"x", "a": b"1", "A/b": b"2"}),
    "damaged": spoilt({"index.html": b"x", "a": FILM, "b": PAPER}, "b"),
    "itself": zipped({"index.html": b"x"}),
}


@pytest.mark.parametrize("why", BAD_ZIPS)
def test_a_refused_zip_leaves_nothing_and_costs_no_other_file(box: OwnBox, why: str) -> None:
    name = "Z" if why == "itself" else "课件.zip"
    (box.folder / "sticks/one/课件.zip").write_bytes(BAD_ZIPS[why])
    refused = Source("stick", f"{box.folder}/sticks/one/课件.zip", name)
    box.ask(LocalRequest("add", ID, HEAD, files=(refused,)))
    assert not box.own() and not arriving(box) and (box.folder / "sticks/one/课件.zip").exists()
    # a file of the zip beside it: the zip's own copy goes, the upload stays
    box.add({name: BAD_ZIPS[why], "视频 好.mp4": FILM})
    assert box.own() == {"好": FILM} and not arriving(box) and not box.uploads()
    (problem,) = box.state.problems()
    assert problem.code == "E-LOCAL" and f"{name}: " in problem.message
    assert why == "damaged" or "重新打包" in problem.message and "pack" in problem.message
    box.add({"教案.pdf": PAPER})
    assert box.own() == {"好": FILM, "教案": PAPER} and not box.said(), "it is over"


def test_names_are_judged_before_a_byte_is_copied(box: OwnBox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FileLocal, "append", lambda *_: pytest.fail("copied"))
    for why in ("unsafe", "case", "folder"):
        box.add({"课件.zip": BAD_ZIPS[why]})
        assert box.said() == {("E-LOCAL", HEAD.title)} and not box.uploads()


def test_a_full_disk_is_no_refusal(box: OwnBox) -> None:
    """Copies go, also those of the files before; what was uploaded may still be good."""
    (box.folder / "sticks/one/短片.mp4").write_bytes(FILM)
    sources = (
        Source("stick", f"{box.folder}/sticks/one/短片.mp4", "短片.mp4"),
        Source("upload", box.upload("b", PAPER), "教案.pdf"),
        Source("upload", box.upload("z", zipped({"index.html": b"x", "a": PAPER, "b": FILM})), "课件.zip"),
    )
    free = box.store.free
    box.store.free = lambda: 0 if len(arriving(box)) > 3 else free()  # type: ignore[method-assign]
    box.ask(LocalRequest("add", ID, HEAD, files=sources))
    assert not box.own() and not arriving(box) and len(box.uploads()) == 2
    assert "E-DISK-FULL" in {code for code, _ in box.said()}
    box.store.free = free  # type: ignore[method-assign]
    box.ask(LocalRequest("add", ID, HEAD, files=sources))
    assert set(box.own()) == {"短片", "教案", "课件"} and not box.uploads()


def test_an_upload_that_is_refused_as_one_thing_and_good_as_another_is_kept(box: OwnBox) -> None:
    upload = box.upload("z", BAD_ZIPS["case"])
    sources = (Source("upload", upload, "a.zip"), Source("upload", upload, "b.zip", "guide"))
    box.ask(LocalRequest("add", ID, HEAD, files=sources))
    assert box.own() == {"b": BAD_ZIPS["case"]} and not box.uploads()


def test_what_the_disk_lost_is_named_and_the_rest_is_shown(box: OwnBox) -> None:
    box.add({"视频 长城.mp4": FILM, "教案.pdf": PAPER})
    path = box.store.object_path(named(FILM).root)
    path.chmod(0o644)
    path.write_bytes(FILM[:-1] + b"!")
    assert box.engine is not None
    box.engine.suspect(named(FILM).root)
    box.settle()
    assert box.own() == {"教案": PAPER} and box.state.local_lessons()[0].damaged == ("长城",)
    assert ("E-LOCAL", HEAD.title) in box.said()
    again(box, without_state=True)
    assert box.own() == {"教案": PAPER}
    box.add({"视频 长城.mp4": FILM})  # the same bytes again: what was lost is whole
    assert box.own() == {"教案": PAPER, "长城": FILM} and not box.state.local_lessons()[0].damaged


def test_a_record_that_cant_be_read_costs_no_file(box: OwnBox) -> None:
    box.add({"视频 长城.mp4": FILM})
    record = box.folder / "local" / ID / "lesson.json"
    good = record.read_bytes()
    record.write_bytes(good[:-9])
    again(box, without_state=True)
    assert not box.own() and named(FILM).root in box.kept() and box.state.status("local_unreadable") == [ID]
    box.county.noise("四", BLOCK)
    box.county.publish(NOW + 60)
    box.clock.go(400)
    box.settle()
    assert named(FILM).root in box.kept()
    record.write_bytes(good)
    again(box)
    assert box.own() == {"长城": FILM}
    record.write_bytes(b"{}")
    again(box)
    box.ask(LocalRequest("delete", ID))
    assert box.state.status("local_unreadable") == [] and not box.state.local_lessons()


def held(box: OwnBox) -> list[bytes]:
    """What opens of each resource, in order."""
    lesson = box.state.present_lesson(ID)
    return [box.bytes_of(r.main.file.root) for r in lesson.resources] if lesson else []


def test_a_basket_refers_and_protects(box: OwnBox) -> None:
    one, two = (row for row in box.state.lessons())
    items = tuple(
        (row.id, box.state.present_lesson(row.id).resources[0].id)  # type: ignore[union-attr]
        for row in (two, one)
    )
    before = box.kept()
    box.ask(LocalRequest("basket", ID, HEAD, items=(*items, ("local-" + "0" * 16, "gone"))))
    lesson = box.state.present_lesson(ID)
    assert lesson is not None and box.kept() == before and box.state.local_lessons()[0].basket
    assert len(lesson.resources) == 2
    kept = set(held(box))
    box.county.lessons.pop("二")
    box.county.publish(NOW + 60)
    box.clock.go(400)
    box.settle()
    assert box.shown() == {"一"} and set(held(box)) == kept, "the county withdrew it, the basket has it"
    box.ask(LocalRequest("basket", ID, HEAD, items=tuple(reversed(items))))
    assert set(held(box)) == kept
    box.ask(LocalRequest("basket", ID, HEAD, items=(items[1],)))
    assert len(held(box)) == 1 and box.kept() == box.state.referenced()
    box.add({"a.mp4": FILM}, "local-" + "1" * 16)
    box.ask(LocalRequest("basket", "local-" + "1" * 16, HEAD, items=items))
    assert box.own("local-" + "1" * 16) == {"a": FILM}, "a lesson of files is no basket"


def test_a_countys_lesson_never_takes_its_id(box: OwnBox) -> None:
    box.add({"视频 长城.mp4": FILM})
    from content_sync.formats.collection import Collection, LessonEntry, TargetRef

    ref = TargetRef("packages/x", 1, "0" * 64)
    entry = LessonEntry(ID, "别的", "u", None, None, 1, (), 0, "a" * 64, 5, 2, ref, ref)
    listed = box.state.collections()[0]
    box.state.apply([Collection(listed.id, "小学", "语文", "x", "三年级", "上册", (entry,))], {})
    assert box.own() == {"长城": FILM} and box.state.local_lessons()[0].row.title == HEAD.title


HOSTILE = [
    "../../etc/passwd",
    "a\0b.mp4",
    "长" * 300 + ".mp4",
    "\u202egpj.exe",
    "CON",
    "nul.mp4",
    "  .  ",
    "",
    "a/b\\c:d*e?.pdf",
    "x." + "y" * 300,
    "e\u0301.mp3",
    "....",
    "\ud800.mp4",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_become_safe(name: str) -> None:
    made = safe_name(name)
    assert check_component(made) == made and "\u202e" not in made
    kind, title = guess(name)
    assert kind in formats.KINDS and 0 < len(title) <= formats.MAX_TITLE and clean(title) == title
    assert safe_name("视频 望天门山.mp4") == "视频 望天门山.mp4"
    assert guess("视频 望天门山.mp4") == ("video", "望天门山") and guess("IMG_01.JPG") == (
        "picture",
        "IMG_01",
    )
    assert guess("PPT 一.pptx")[0] == "courseware" and guess("练习1.pdf") == ("quiz", "1")


def test_formats_refuse_nonsense(box: OwnBox) -> None:
    good = json.loads(formats.dump_request(LocalRequest("add", ID, HEAD)))
    bad: list[dict[str, object]] = [
        {"do": "format"},
        {"lesson": "local-x"},
        {"lesson": "../x"},
        {"heading": {"title": "", "subject": "", "grade": ""}},
        {"files": [{"from": "upload", "where": "../x", "name": "x"}]},
        {"files": [{"from": "http", "where": "x", "name": "x"}]},
        {"files": [{"from": "upload", "where": "0" * 16, "name": "x"}] * 201},
        {"path": "a\0b"},
        {"order": [["a", "b"]]},
        {"format": "other/1"},
    ]
    for change in bad:
        with pytest.raises((FormatError, LocalError)):
            formats.parse_request(json.dumps(good | change).encode())
    box.add({"a.mp4": FILM})
    record = json.loads((box.folder / "local" / ID / "lesson.json").read_bytes())
    for change in (
        {"local": 1},
        {"collection": "0" * 8},
        {"id": "x" * 8},
        {"local": record["local"] | {"uploads": {"x": 1}}},
    ):
        with pytest.raises(FormatError):
            parse_local(json.dumps(record | change).encode())


def test_a_lesson_from_another_box(box: OwnBox, tmp_path: Path) -> None:
    box.add({"视频 长城.mp4": FILM, "教案.pdf": PAPER})
    stick = box.folder / "sticks/one/lessonbox/local" / ID
    stick.mkdir(parents=True)
    data = (box.folder / "local" / ID / "lesson.json").read_bytes()
    (stick / "lesson.json").write_bytes(data)
    (stick / named(PAPER).root).write_bytes(PAPER)
    (stick / f"{named(FILM).root}.0000000000").write_bytes(FILM[:BLOCK])
    (stick / f"{named(FILM).root}.0000000001").write_bytes(FILM[BLOCK:])
    box.ask(LocalRequest("import", ID, path=str(stick)))
    assert box.state.local_lessons()[0].origin == "", "our own, come home"
    box.ask(LocalRequest("delete", ID))
    box.ask(LocalRequest("import", ID, path=str(stick)))
    assert box.own() == {"长城": FILM, "教案": PAPER} and box.state.local_lessons()[0].origin
    box.ask(LocalRequest("delete", ID))
    whole = stick / f"{named(FILM).root}.0000000001", stick / named(PAPER).root
    for path in whole:  # whichever comes first is copied already when the other is found damaged
        data = path.read_bytes()
        path.write_bytes(data[:-1] + b"!")
        box.ask(LocalRequest("import", ID, path=str(stick)))
        assert not box.state.local_lessons() and box.said() and not box.leftovers() and not arriving(box)
        path.write_bytes(data)
    box.ask(LocalRequest("import", ID, path=str(tmp_path)))
    assert not box.state.local_lessons()
    (stick / "lesson.json").write_bytes(b"{}")
    box.ask(LocalRequest("import", ID, path=str(stick)))
    assert {code for code, _ in box.said()} == {"E-LOCAL"}, "no other code is told, or ever over, here"
