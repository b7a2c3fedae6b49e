"""What pages need of the term and the teaching calendar reaches state.db, and follows when they change."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from content_sync.formats.hashtree import BLOCK
from content_sync.formats.policy import BEIJING, Policy
from tests.unit.small_county import NOW
from tests.unit.test_plan_engine import AUTUMN, TermCounty, arrivals, box_of


def test_term_and_weeks_reach_the_pages(tmp_path: Path) -> None:
    county = TermCounty(tmp_path / "county")
    for title in "一二三":
        county.noise(title, BLOCK)
    county.weeks = {"一": 12, "三": 2}
    county.publish()
    county.policy(Policy(term=AUTUMN))
    box = box_of(tmp_path, county)
    box.start()
    arrivals(box)
    assert {row.title: row.week for row in box.state.lessons()} == {"一": 12, "二": None, "三": 2}
    assert box.state.term() == (AUTUMN, BEIJING)
    county.weeks = {"二": 7}
    county.publish(NOW + 60)
    later = replace(AUTUMN, weeks=18)
    county.policy(Policy(term=later, utc_offset=360), NOW + 60)
    box.clock.go(4000)
    arrivals(box)
    assert {row.title: row.week for row in box.state.lessons()} == {"一": None, "二": 7, "三": None}
    assert box.state.term() == (later, 360)
    county.policy(Policy(), NOW + 120)
    box.clock.go(4000)
    arrivals(box)
    assert box.state.term() == (None, BEIJING)
    box.state.set_meta({"term": "{"})
    assert box.state.term() == (None, BEIJING)
