"""Classes and wishes from a school's book to the county's bulletin, by the real programs."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from msgspec.structs import replace

from appliance.config import BoxPaths
from appliance.school import teachers
from appliance.school.classes import TEACH
from appliance.school.database import School
from appliance.school.tally import Library, Tally
from appliance.usage.recorder import Event, Recorder
from appliance.wishes import make_wish
from content_sync.adapters.files import write_durable
from content_sync.core.timefloor import TimeFloor
from content_sync.formats import dsse
from content_sync.formats.envelope import Envelope, dump_envelope
from content_sync.formats.policy import Policy
from content_sync.formats.records import ClassRecord
from content_sync.formats.wish import Wish
from tests.e2e.programs import Box, County, wait_until
from tests.e2e.test_agent import Box as AgentBox
from tests.e2e.test_agent import Door
from tests.usage import BOARD, BOX, TRUE, HandClock

LESSON = "aaaaaaaa-bbbbbbbb-cccccccc"


def taught(data: Path, offset: float, minutes: int = 30) -> str:
    """A class that a teacher held on this box in an earlier boot; the teacher's id."""
    paths, clock = BoxPaths(data), HandClock(offset=offset, boot="yesterday")
    school, recorder = School(paths.school_db), Recorder(paths.usage_db, clock)
    library = Library(lambda lesson: lesson, lambda lesson: False, TimeFloor, lambda: 480)
    tally = Tally(school, paths.usage_db, paths.outbox_db, clock, library)
    wang = teachers.save(school, "王秀英", "语文")
    tally.tap(wang, BOARD, None, TEACH)
    for minute in range(minutes + 1):
        type, origin = ("open", "server") if minute == 0 else ("ping", "page")
        recorder.record([Event(BOARD, LESSON, "r1", "courseware", "v1", type, None, None, origin)])
        clock.mono += 60
    recorder.close()
    clock.mono += 8000
    tally.settle()
    return wang


def kept(county: County, table: str) -> int:
    """How many the county has."""
    with closing(sqlite3.connect(county.data / "reports.db")) as db:
        return int(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def test_a_class_and_a_wish_reach_the_bulletin_once(
    make_county: Callable[[], County], make_box: Callable[..., Box]
) -> None:
    county = make_county()
    box = make_box(county)
    wang = taught(box.data, time.time() - 86_400)
    make_wish(box.data / "incoming", Wish(LESSON, BOARD, int(time.time()) - 3600))
    make_wish(box.data / "incoming", Wish(LESSON, "c" * 16, None))
    county.serve()
    box.start("agent")
    wait_until(lambda: (kept(county, "class"), kept(county, "wish")) == (1, 2), "the county has all", 60)
    box.programs["agent"].kill()
    (box.data / "outbox.db").unlink()  # the box loses what it had told: it tells it again, under the same ids
    for side in ("-wal", "-shm"):
        (box.data / f"outbox.db{side}").unlink(missing_ok=True)
    first = county.stats()
    make_wish(box.data / "incoming", Wish(LESSON[:-1] + "d", BOARD, None))
    box.programs["agent"].start()
    wait_until(lambda: kept(county, "wish") == 3, "a new wish came after it", 60)
    stats = county.stats()
    [teacher] = stats["teachers"]
    assert teacher == first["teachers"][0]
    assert [teacher[key] for key in ("teacher", "name", "teach", "goal", "watch", "minutes")] == [
        wang, None, 1, 80, 0, 30,
    ]  # fmt: skip
    counts = {row["lesson"]: (row["boards"], row["schools"]) for row in stats["wishes"]}
    assert counts == {LESSON: (2, 1), LESSON[:-1] + "d": (1, 1)}
    table = county.command(
        "stats", "--from", "2020-01-01", "--to", "2099-12-31", "--format", "csv", "--table", "teachers"
    )
    assert wang in table and "老师编号" in table


def test_the_agent_tells_names_where_the_policy_asks(tmp_path: Path) -> None:
    door = Door()
    try:
        for asked in (False, True):
            box = AgentBox(tmp_path / f"box-{asked}", door.url)
            taught(box.paths.data, TRUE)
            if asked:
                policy = Policy(other={"teacher_names": True})
                envelope = Envelope(BOX, 1, TRUE, "1", "希望小学", ("*",), None, False)
                payload = dump_envelope(replace(envelope, policy=policy))
                signed = dsse.dump_signed(dsse.Signed(dsse.ENVELOPE_TYPE, payload, (("k", b"s"),)))
                write_durable(box.paths.trust / "envelope.json", signed)
            door.county.batches.clear()
            door.county.payloads.clear()
            box.clock.mono = 20_000
            box.cycle()
            box.cycle()
            told = [one for batch in door.county.batches.values() for one in batch.of("classes")]
            assert [one.name for one in told if isinstance(one, ClassRecord)] == ["王秀英" if asked else None]
            box.close()
    finally:
        door.close()
