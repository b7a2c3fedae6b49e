"""Classes, wishes and offers on their way up: each once at the county, whatever instant the power goes."""

from __future__ import annotations

import json
import shutil
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace

from appliance.config import BoxPaths
from appliance.school import teachers
from appliance.school.database import School
from appliance.usage import records
from appliance.usage.outbox import Outbox, read_agent_status
from appliance.usage.recorder import Recorder
from appliance.usage.records import take_damage, take_offers, take_records
from appliance.wishes import make_wish
from content_sync.errors import FormatError, StorageError
from content_sync.formats import dsse
from content_sync.formats.canonical import dump, load
from content_sync.formats.enrolment import claim_proof
from content_sync.formats.policy import Policy
from content_sync.formats.records import ClassRecord, DamageRecord, OfferRecord, Record, WishRecord
from content_sync.formats.report import FIRST_PREV, MAX_BATCH, Batch, dump_batch, parse_batch
from content_sync.formats.wish import Wish
from county.config import CountyPaths
from county.library import BoxRow, Library
from county.receive.database import Reader, Writer, create
from county.receive.door import Door
from county.stats.figures import compute
from county.stats.output import as_csv, as_json, as_xlsx
from tests.unit.test_outbox import Mains, PowerCut, Sign, round
from tests.usage import BOARD, BOX, TRUE, HandClock, Ledger, make_key, play

LESSON = "aaaaaaaa-bbbbbbbb-cccccccc"
CLASS = ClassRecord("1" * 16, "2" * 16, "r-1", "teach", LESSON, TRUE, 16, "ntp", 1500, "王秀英")
WISH = WishRecord("3" * 16, LESSON, BOARD, TRUE)
OFFER = OfferRecord("4" * 16, "local-1", "秋天的树", None, (("picture", 3), ("video", 1)), 9_000_000)
DAMAGE = DamageRecord("8" * 16, "9" * 64, 2, TRUE)
ALL: tuple[tuple[str, Record], ...] = (
    ("classes", CLASS),
    ("wishes", WISH),
    ("offers", OFFER),
    ("damage", DAMAGE),
)
BATCH = Batch(BOX, "a" * 16, 1, FIRST_PREV, "0.1.0", 3, (), records=ALL)


@pytest.fixture
def sign(tmp_path: Path) -> Sign:
    key = make_key(tmp_path)
    return lambda payload: key.sign(dsse.REPORT_TYPE, payload)


# the format


def test_round_trip_and_an_empty_list_is_left_out() -> None:
    assert parse_batch(dump_batch(BATCH)) == BATCH
    assert (
        not {"classes", "wishes", "offers"} & load(dump_batch(replace(BATCH, records=())), MAX_BATCH).keys()
    )
    nameless = replace(BATCH, records=(("classes", replace(CLASS, name=None)),))
    assert b"name" not in dump_batch(nameless) and parse_batch(dump_batch(nameless)) == nameless


def test_a_newer_boxs_lists_and_kinds_are_no_reason_to_refuse() -> None:
    newer = {**load(dump_batch(BATCH), MAX_BATCH), "health": [{"x": 1}], "later": {"y": 2}}
    newer["classes"][0] |= {"kind": "demonstration", "clock": "rtc", "room_kind": "lab"}
    read = parse_batch(dump(newer))
    assert read.unknown == ("health",)
    [one] = read.of("classes")
    assert isinstance(one, ClassRecord) and one.kind == "demonstration"


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("classes", {"id": "x"}), ("classes", {"teacher": "王秀英"}), ("classes", {"start": -1}),
        ("classes", {"seconds": 1 << 40}), ("classes", {"lesson": ""}), ("classes", {"kind": "k" * 41}),
        ("classes", {"name": 5}), ("wishes", {"board": "b"}), ("wishes", {"at": "now"}),
        ("wishes", {"lesson": "x" * 201}), ("offers", {"kinds": []}), ("offers", {"kinds": {"video": -1}}),
        ("offers", {"offered": 1}), ("offers", {"size": 1 << 54}), ("offers", {"title": None}),
    ],
)  # fmt: skip
def test_a_damaged_record_is_refused(name: str, change: dict[str, object]) -> None:
    value = load(dump_batch(BATCH), MAX_BATCH)
    value[name][0] |= change
    with pytest.raises(FormatError):
        parse_batch(dump(value))


# the box


def book(folder: Path, classes: int = 2) -> School:
    """A school's book with a teacher and some classes, all dated but the last."""
    school = School(folder / "school.db")
    wang = teachers.save(school, "王秀英", "语文")
    with school.write() as db:
        for number in range(1, classes + 1):
            told = number if number < classes or classes == 1 else None
            db.execute(
                "INSERT INTO class (id, tap, teacher, place, kind, lesson, title, seconds, boot, mono, wall,"
                " source, start, uncertainty, clock, told) VALUES"
                " (?, 't', ?, 'r-1', 'teach', ?, '课', 1500, 'b', 1, 1, 'ntp', ?, 16, 'ntp', ?)",
                (f"{number:016x}", wang, LESSON, TRUE if told else None, told),
            )
    return school


def told(county: Ledger, name: str) -> list[str]:
    """Ids of all records of a list, in order of their batches."""
    return [one.id for _, batch in sorted(county.batches.items()) for one in batch.of(name)]


def test_power_cut_before_every_operation(tmp_path: Path, sign: Sign) -> None:
    """N = 0, 1, 2 …: each class, wish and offer exactly once at the county, none left behind."""
    base, clock = tmp_path / "base", HandClock()
    recorder = Recorder(base / "usage.db", clock)
    play(recorder, clock, "v1")
    recorder.close()
    (base / "usage.reserve").unlink()
    book(base, 3)
    make_wish(base / "incoming", Wish(LESSON, BOARD, TRUE))
    make_wish(base / "incoming", Wish(LESSON, None, None))
    cut, finished, began = 0, False, clock.mono

    def day(box: Outbox, folder: Path, county: Ledger) -> None:
        take_records(box, BoxPaths(folder), names=False)
        take_offers(box, [OFFER], folder / "local")
        round(box, folder, clock, sign, county)
        take_offers(box, [replace(OFFER, offered=False)], folder / "local")
        round(box, folder, clock, sign, county)

    while not finished:
        folder = tmp_path / f"cut-{cut}"
        shutil.copytree(base, folder)
        county, clock.mono = Ledger(), began
        box = Outbox(folder / "outbox.db")
        mains = Mains(box._db, cut)
        box._db = mains  # type: ignore[assignment]
        try:
            day(box, folder, county)
            finished = True
        except PowerCut:
            pass
        mains.close()
        box = Outbox(folder / "outbox.db")
        clock.mono = began + 800
        day(box, folder, county)
        county.check_chain()
        assert told(county, "classes") == [f"{1:016x}", f"{2:016x}"], cut
        assert len(told(county, "wishes")) == len(set(told(county, "wishes"))) == 2
        offers = [one for _, batch in sorted(county.batches.items()) for one in batch.of("offers")]
        assert len({one.id for one in offers}) == len(offers)
        assert isinstance(offers[-1], OfferRecord) and not offers[-1].offered
        assert len(county.sessions()) == 1
        assert read_agent_status(folder / "outbox.db")["outbox"] == {"unacknowledged": 0, "waiting": 0}
        box.close()
        shutil.rmtree(folder)
        cut += 1
    assert cut > 60


def waiting(box: Outbox) -> list[tuple[str, dict[str, Any]]]:
    return [
        (name, json.loads(body)) for name, body in box._all("SELECT list, body FROM record ORDER BY number")
    ]


def test_names_stay_at_the_school_unless_the_policy_asks(tmp_path: Path) -> None:
    book(tmp_path, 1)
    for names in (False, True):
        box = Outbox(tmp_path / f"outbox-{names}.db")
        take_records(box, BoxPaths(tmp_path), names)
        [(_, said)] = waiting(box)
        assert said.get("name") == ("王秀英" if names else None)
        assert len(said["teacher"]) == 16 and "王" not in said["teacher"]
        box.close()


def test_an_offer_made_changed_taken_back_and_made_again(tmp_path: Path) -> None:
    box, local = Outbox(tmp_path / "outbox.db"), tmp_path / "local"
    kept = local / OFFER.lesson
    kept.mkdir(parents=True)
    bigger = replace(OFFER, size=OFFER.size + 1)
    steps: list[list[OfferRecord] | None] = [
        [OFFER], [OFFER], None, [], [bigger], [replace(bigger, offered=False)],
        [replace(OFFER, offered=False)], [OFFER],
    ]  # fmt: skip
    counts = []
    for offers in steps:
        take_offers(box, offers, local)
        counts.append(len(waiting(box)))
    # state.db that is not there, or shows it not yet, takes nothing back
    assert counts == [1, 1, 1, 1, 2, 3, 3, 4]
    kept.rmdir()
    take_offers(box, [], local)
    said = [body for _, body in waiting(box)]
    assert [body["offered"] for body in said] == [True, True, False, True, False]
    assert len({body["id"] for body in said}) == 5
    box.close()


def test_each_damage_is_told_once(tmp_path: Path) -> None:
    box = Outbox(tmp_path / "outbox.db")
    one, two = "a" * 64, "b" * 64
    counts = []
    for repairs in ([(one, 1, TRUE)], [(one, 1, TRUE)], [(one, 2, TRUE + 9), (two, 1, -5)], []):
        take_damage(box, repairs)
        counts.append(len(waiting(box)))
    assert counts == [1, 1, 3, 3]
    assert [(body["file"], body["times"], body["at"]) for _, body in waiting(box)] == [
        (one, 1, TRUE), (one, 2, TRUE + 9), (two, 1, 0),
    ]  # fmt: skip
    box.close()


def test_an_older_copy_of_the_book_loses_no_class(tmp_path: Path) -> None:
    box = Outbox(tmp_path / "outbox.db")
    school = book(tmp_path, 3)
    take_records(box, BoxPaths(tmp_path), False)
    with school.write() as db:
        db.execute("DELETE FROM class WHERE number > 1")
        db.execute(
            "INSERT INTO class SELECT 2, 'f' || substr(id, 2), tap, teacher, place, kind, lesson, title,"
            " seconds, period, boot, mono, wall, source, start, uncertainty, clock, NULL FROM class"
        )
    take_records(box, BoxPaths(tmp_path), False)
    with school.write() as db:
        db.execute("UPDATE class SET told = 2 WHERE number = 2")
    take_records(box, BoxPaths(tmp_path), False)
    assert [body["id"] for _, body in waiting(box)] == [f"{1:016x}", f"{2:016x}", "f" + f"{1:015x}"]
    box.close()


def test_a_book_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    box = Outbox(tmp_path / "outbox.db")
    (tmp_path / "school.db").write_bytes(b"no database" * 1000)
    with pytest.raises(StorageError):
        take_records(box, BoxPaths(tmp_path), False)
    box.close()


def test_an_outbox_of_an_older_program_gets_the_new_tables(tmp_path: Path) -> None:
    box = Outbox(tmp_path / "outbox.db")
    stream = box.stream
    box.close()
    with sqlite3.connect(tmp_path / "outbox.db") as old:
        old.executescript(
            "DROP TABLE record; DROP TABLE told; DELETE FROM meta WHERE key IN ('book', 'classes');"
        )
    box = Outbox(tmp_path / "outbox.db")
    assert box.stream == stream and box.classes_taken("x") == 0 and waiting(box) == []
    box.close()


def test_a_damaged_wish_holds_no_other_back(tmp_path: Path) -> None:
    box, incoming = Outbox(tmp_path / "outbox.db"), tmp_path / "incoming"
    make_wish(incoming, Wish(LESSON, BOARD, None))
    (incoming / f"wish-{'0' * 16}.json").write_bytes(b"{broken")
    (incoming / f"wish-{'1' * 16}.json").write_bytes(
        next(incoming.glob("wish-*[2-9a-f]*.json")).read_bytes()  # another's content under a wrong name
    )
    for _ in range(2):
        take_records(box, BoxPaths(tmp_path), False)
    assert [name for name, _ in waiting(box)] == ["wishes"]
    records.take_wishes(box, tmp_path / "nowhere")
    box.close()


# the county


@pytest.fixture
def door(tmp_path: Path) -> Iterator[tuple[Door, Reader, Callable[[bytes], bytes]]]:
    key = make_key(tmp_path)
    row = BoxRow(BOX, "2133", "石桥小学", "c" * 32, ("*",), TRUE)
    writer = Writer(tmp_path / "reports.db")
    proof = claim_proof("c" * 32, BOX, key.public_hex)

    def signed(payload: bytes) -> bytes:
        value = {**load(payload, MAX_BATCH), "enrol": {"public_key": key.public_hex, "proof": proof}}
        return key.sign(dsse.REPORT_TYPE, dump(value))

    yield Door(writer, {BOX: row}.get), Reader(tmp_path / "reports.db"), signed
    writer.close()


def test_the_county_keeps_each_record_once(door: tuple[Door, Reader, Callable[[bytes], bytes]]) -> None:
    gate, reader, signed = door
    future = replace(CLASS, id="9" * 16, start=TRUE + 10**7)
    batches = [
        dump_batch(BATCH),
        dump_batch(replace(BATCH, seq=2, records=(*ALL, ("classes", future)))),
        dump({**load(dump_batch(replace(BATCH, seq=3, records=())), MAX_BATCH), "health": [1]}),
    ]
    for payload in (*batches, *batches):
        gate.receive(signed(payload), "http", TRUE)
    assert reader.all("SELECT id, name, flags FROM class") == [
        (CLASS.id, "王秀英", ""),
        (future.id, "王秀英", "future"),
    ]
    assert reader.all("SELECT count(*) FROM wish")[0] == reader.all("SELECT count(*) FROM offer")[0] == (1,)
    flags = dict(reader.all("SELECT seq, flags FROM batch"))
    assert "repeat" not in flags[1] and "repeat" in flags[2] and "unknown" in flags[3]


def test_what_an_older_county_kept_unread_is_read_later(
    door: tuple[Door, Reader, Callable[[bytes], bytes]], tmp_path: Path
) -> None:
    gate, reader, signed = door
    gate.receive(signed(dump_batch(BATCH)), "http", TRUE)
    damaged = load(dump_batch(replace(BATCH, seq=2)), MAX_BATCH)
    damaged["classes"][0]["id"] = "x"
    with sqlite3.connect(tmp_path / "reports.db") as old:
        old.executescript("DROP TABLE class; DROP TABLE wish; DROP TABLE offer;")
        old.execute(
            "INSERT INTO batch (box, stream, seq, payload_sha256, prev, received, road, signatures, payload,"
            " flags) VALUES (?, 's', 2, '', '', 0, 'http', '', ?, '')",
            (BOX, zlib.compress(dump(damaged))),
        )
    create(tmp_path / "reports.db")
    create(tmp_path / "reports.db")
    other = Reader(tmp_path / "reports.db")
    counts = [other.all(f"SELECT count(*) FROM {table}")[0][0] for table in ("class", "wish", "offer")]
    assert counts == [1, 1, 1]
    assert other.all("SELECT flags FROM batch WHERE seq = 2 AND stream = 's'") == [("unread",)]


def test_the_bulletin_shows_classes_against_the_goal_wishes_and_offers(
    door: tuple[Door, Reader, Callable[[bytes], bytes]], tmp_path: Path
) -> None:
    gate, _, signed = door
    said: list[tuple[str, Record]] = [
        ("classes", replace(CLASS, id=f"{n:016x}", kind=kind, name="=王" if n == 1 else None))
        for n, kind in enumerate(("teach", "teach", "watch", "train", "another"))
    ]
    said += [
        ("classes", replace(CLASS, id="e" * 16, start=TRUE - 40 * 86_400)),
        ("wishes", WISH),
        ("wishes", replace(WISH, id="5" * 16, board=None, at=None)),
        ("offers", OFFER),
        ("offers", replace(OFFER, id="6" * 16, lesson="local-2", offered=True)),
        ("offers", replace(OFFER, id="7" * 16, lesson="local-2", kinds=(), offered=False)),
        ("damage", DAMAGE),
        ("damage", replace(DAMAGE, id="a" * 16, times=3)),
    ]
    gate.receive(signed(dump_batch(replace(BATCH, records=tuple(said)))), "http", TRUE)
    paths = CountyPaths(tmp_path)
    with Library.create(paths.library_db) as library:
        box = BoxRow(BOX, "2133", "石桥小学", "", ("*",), TRUE, Policy(class_goal=64))
        library.add_box(box)
        library.set_policy(box)
        day = date.fromtimestamp(TRUE)
        found = compute(paths, library, "青石县", ZoneInfo("Asia/Shanghai"), day, day, TRUE)
    [teacher] = found["teachers"]
    assert [teacher[key] for key in ("school", "teach", "goal", "watch", "train", "minutes")] == [
        "石桥小学", 2, 64, 1, 1, 100,
    ]  # fmt: skip
    [wish] = found["wishes"]
    assert (wish["lesson"], wish["boards"], wish["schools"]) == (LESSON, 2, 1)
    [offer] = found["offers"]
    assert (offer["title"], offer["kinds"], offer["bytes"]) == (
        "秋天的树",
        {"picture": 3, "video": 1},
        OFFER.size,
    )
    [damage] = found["damage"]
    assert (damage["school"], damage["files"], damage["times"]) == ("石桥小学", 1, 2)
    assert json.loads(as_json(found)) == found
    text = as_csv(found, "teachers").decode("utf-8-sig").splitlines()
    assert text[0].startswith("学校代码,学校,课箱,老师编号,姓名,上课,学期目标") and "2,64,1,1,100" in text[1]
    assert "'=王" in text[1], "no formula"
    assert "1,2" in as_csv(found, "wishes").decode() and "图片3，视频1" in as_csv(found, "offers").decode()
    assert as_xlsx(found).startswith(b"PK")
