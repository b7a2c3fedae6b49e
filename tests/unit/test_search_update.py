"""An index brought up to date is the one made anew: the same lessons, in the same order, for every query."""

from __future__ import annotations

import random
import shutil
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from appliance.web.search import build as search_build
from appliance.web.search.build import write
from appliance.web.search.entries import Entry, listed
from appliance.web.search.index import Index, Indexer, Near
from appliance.web.search.sets import PART, unpack
from appliance.web.search.update import Anew, update
from content_sync.adapters.sqlite import StateReader
from content_sync.formats.outline import Outline, Part
from tests.box import SHUXUE, YUWEN, SmallBox, sample

WORDS = (
    "静夜思",
    "古诗三首",
    "Unit 4 animals",
    "7的乘法",
    "长江",
    "行走",
    "春",
    "重庆的山",
    "大青树下的小学",
)
PLACES = tuple(
    (f"c{n}", subject, edition, grade)
    for n, (subject, edition, grade) in enumerate(
        [("语文", "统编版", "一年级"), ("数学", "人教版", "一年级"), ("数学", "北师大版", "三年级")]
    )
)


def lesson(number: int, collection: int, title: str, present: bool, unit: str = "第一单元") -> Entry:
    name, subject, edition, grade = PLACES[collection]
    words = (subject, edition, grade)
    part = Part("r1", "video", title, "video/mp4", number, "0" * 64, "a.mp4", 0)
    return Entry(
        f"{name}-{number}", title, (unit, *words), grade, subject, ("video",) if number % 2 else ("quiz",),
        f"p{number}" if present else None, (title + "课件",) if present else (), words, edition, name,
        Outline((part,)) if present else None,
    )  # fmt: skip


def write_new(path: Path, entries: list[Entry], generation: int) -> None:
    path.touch()
    write(path, map(listed, entries), generation)


def held(path: Path) -> tuple[dict[str, set[str]], dict[str, set[str]], list[tuple[object, ...]], object]:
    """All that an index says, without its numbers: tokens, sets, lessons in order, what all have."""
    with closing(sqlite3.connect(path)) as db:
        rows = db.execute(
            "SELECT l.number, l.id, h.id, mark, s.words, title, other, initials, syllables, present, toned,"
            " kinds, resources FROM lesson l JOIN words w ON w.number = l.number"
            " JOIN sounds o ON o.number = l.number JOIN shown h ON h.number = l.number"
            " JOIN shared s ON s.number = l.shared ORDER BY 1"
        ).fetchall()
        for table in ("lesson", "words", "sounds", "shown"):
            assert db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] == len(rows)
        name = {row[0]: row[1] for row in rows}

        def ids(bits: int) -> set[str]:
            return {name[n] for n in range(bits.bit_length()) if bits >> n & 1}

        tokens: dict[str, set[str]] = {}
        for token, part, *both in db.execute("SELECT * FROM token"):
            assert any(both)
            for where, numbers in zip(("^", ""), both, strict=True):
                if numbers:
                    tokens.setdefault(where + token, set()).update(ids(unpack(numbers) << part * PART))
        masks = {key: ids(int.from_bytes(bits, "little")) for key, bits in db.execute("SELECT * FROM mask")}
        meta = db.execute(
            "SELECT generation, lessons, syllables, vocabulary, known_initials, known_sounds FROM meta"
        ).fetchone()
        assert db.execute("SELECT sum(lessons) FROM collection").fetchone()[0] == len(rows)
        return tokens, masks, [row[1:] for row in rows], meta


@settings(max_examples=10, deadline=None)
@given(st.data())
def test_the_same_as_made_anew(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("update")
    numbers = st.lists(st.integers(0, 30), unique=True, min_size=1, max_size=8)

    def some(before: list[Entry] = []) -> list[Entry]:  # noqa: B006
        entries = []
        for place in range(len(PLACES)):
            if before and not any(e.collection == PLACES[place][0] for e in before):
                continue
            for number in sorted(data.draw(numbers)):
                title, present = data.draw(st.sampled_from(WORDS)), data.draw(st.booleans())
                entries.append(lesson(number, place, title, present))
        return entries

    entries = some()
    write_new(folder / "old.db", entries, 1)
    for generation in (2, 3):
        entries = some(entries)
        write_new(folder / "anew.db", entries, generation)
        try:
            (folder / "fresh.db").touch()
            update(folder / "old.db", folder / "fresh.db", map(listed, entries), generation)
        except Anew:  # a collection has grown out of its numbers
            shutil.copyfile(folder / "anew.db", folder / "fresh.db")
        assert held(folder / "fresh.db") == held(folder / "anew.db")
        for query in (*WORDS, "jys", "xing", "数学", "一年级 课件", "changjiang", "zzz"):
            found = [
                Index(folder / f"{name}.db").find(query, room=Near(("三年级",), (), (("数学", "人教版"),)))
                for name in ("fresh", "anew")
            ]
            assert found[0] == found[1]
        shutil.copyfile(folder / "fresh.db", folder / "old.db")


def test_lessons_that_come_go_and_change_are_the_only_ones_written(tmp_path: Path) -> None:
    entries = [lesson(n, n // 30, random.Random(n).choice(WORDS) + str(n), n % 3 > 0) for n in range(90)]
    write_new(tmp_path / "old.db", entries, 1)
    made: list[str] = []

    def counted(entry: Entry) -> Entry:
        made.append(entry.id)
        return entry

    changed = list(entries)
    changed[3] = replace(changed[3], present="p3", resources=("新的微课",))
    changed[40] = replace(changed[40], title="走进新天地")
    del changed[89]
    listing = [listed(entry)._replace(make=partial(counted, entry)) for entry in changed]
    (tmp_path / "fresh.db").touch()
    update(tmp_path / "old.db", tmp_path / "fresh.db", listing, 2)
    assert sorted(made) == sorted([changed[3].id, changed[40].id])
    index = Index(tmp_path / "fresh.db")
    assert index.find("xdwk").ids == (changed[3].id,) and index.find("走进新天地").ids == (changed[40].id,)
    assert entries[89].id not in index.find("第一单元", limit=100).ids and index.find("第一单元").total == 89
    write_new(tmp_path / "anew.db", changed, 2)
    assert held(tmp_path / "fresh.db") == held(tmp_path / "anew.db")


@pytest.mark.parametrize("why", ["new collection", "grown", "order", "damaged", "other", "none"])
def test_when_it_is_made_anew(tmp_path: Path, why: str) -> None:
    entries = [lesson(n, place, WORDS[n], True) for place in (0, 1) for n in range(5)]
    old = tmp_path / "old.db"
    write_new(old, entries, 1)
    if why == "new collection":
        entries.append(lesson(1, 2, "春", True))
    elif why == "grown":
        entries += [lesson(n, 1, "春", True) for n in range(6, 20)]
    elif why == "order":
        entries = entries[5:] + entries[:5]
    elif why == "damaged":
        old.write_bytes(old.read_bytes()[:-4096] + b"\xff" * 4096)
    elif why == "other":
        with closing(sqlite3.connect(old)) as db:
            db.execute("UPDATE meta SET maker = 'another'")
            db.commit()
    else:
        old.unlink()
    (tmp_path / "fresh.db").touch()
    with pytest.raises(Anew):
        update(old, tmp_path / "fresh.db", map(listed, entries), 2)


def test_the_indexer_brings_it_up_to_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    box, main = sample(tmp_path, 1_780_000_000)
    reader, index = StateReader(box.paths.state_db), Index(box.paths.search_db)
    indexer = Indexer(box.paths.search_db, reader, index)
    assert indexer.step()
    more = SmallBox(tmp_path)
    more.lessons = [(one, state, have) for one, state, have in box.lessons if one.title != "静夜思"]
    more.lesson(YUWEN, "第七单元 我与自然", 22, "读不完的大书")
    more.write(1_780_000_000, generation=2)
    monkeypatch.setattr(search_build, "write", lambda *_: pytest.fail("made anew"))
    assert indexer.step() and index.generation() == 2
    assert index.find("dbwdds").total == 1 and index.find("jys").total == 0
    assert index.find("古诗").ids == (main.id,)
    more.lesson(SHUXUE, "第七单元", 1, "认识周长")
    more.write(1_780_000_000, generation=3)
    assert indexer.step(apart=True) and index.find("renshizhouchang").total == 1
