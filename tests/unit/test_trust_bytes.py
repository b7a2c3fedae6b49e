"""What a box reads grows with what it subscribes to, not with the library (findings of bench/trust.py)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench.trust import NOW, Library, Reader
from content_sync.formats.collection import Collection
from county.publish.signing import Repository


@dataclass
class OneSmall(Library):
    """Collection 0 always has two lessons; the others have `lessons`."""

    def collection(self, number: int) -> Collection:
        return (
            Library(self.collections, self.subjects, 2).collection(0)
            if not number
            else super().collection(number)
        )


def read(place: Path, library: Library, *mine: int) -> tuple[Repository, Reader, int]:
    county = Repository.create(place / "public", place / "keys", place / "root.pem", "青山县", NOW, 365)
    county.publish(library.write(place / "public" / "targets"), NOW)
    box = Reader(place / "public", [library.collection(number).id for number in mine])
    return county, box, sum(map(len, box.sync()))


def test_lessons_elsewhere_cost_nothing(tmp_path: Path) -> None:
    _, box, few = read(tmp_path / "few", OneSmall(8, 2, 2), 0)
    _, _, many = read(tmp_path / "many", OneSmall(8, 2, 60), 0)
    assert len(box.read) == 5  # timestamp, snapshot, targets, one subject, one collection
    assert abs(many - few) < 100  # only digits in the subject's index


def test_collections_of_other_subjects_cost_nothing(tmp_path: Path) -> None:
    _, _, few = read(tmp_path / "few", OneSmall(2, 2, 2), 0)
    _, _, many = read(tmp_path / "many", OneSmall(12, 2, 2), 0)
    # five more collections in its own subject's index, five in the other's
    _, _, subject = read(tmp_path / "subject", OneSmall(12, 12, 2), 0)
    assert 5 * 100 < many - few < 5 * 600
    assert subject - few < 10 * 300  # an entry of the targets for each more subject


def test_more_subscribed_costs_more(tmp_path: Path) -> None:
    _, _, one = read(tmp_path / "one", Library(8, 2, 20), 0)
    _, _, three = read(tmp_path / "three", Library(8, 2, 20), 0, 2, 4)
    assert three - one > 2 * 20 * 300


def test_a_release_that_touches_nothing_of_it(tmp_path: Path) -> None:
    library = Library(8, 2, 20)
    county, box, first = read(tmp_path, library, 0)
    library.change(1, 3)
    assert county.publish(library.write(tmp_path / "public" / "targets"), NOW) == 2
    assert len(box.sync()) == 3 and sum(map(len, box.read)) < first / 3
    library.change(0, 3)
    county.publish(library.write(tmp_path / "public" / "targets"), NOW)
    assert len(box.sync()) == 5
    assert len(box.sync()) == 1  # nothing new: one timestamp
    assert box.trust.release == 3
