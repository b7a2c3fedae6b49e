"""Light renditions: a box fetches just what the county chose for it, and teachers see just that."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import pytest

from content_sync.core import renditions
from content_sync.errors import LessonError
from content_sync.formats import lesson as lessons
from content_sync.formats import torrent
from content_sync.formats.collection import LessonEntry
from content_sync.formats.hashtree import BLOCK
from content_sync.formats.lesson import Lesson, Resource, ResourceFile
from content_sync.formats.policy import Policy
from tests.unit.box_in_memory import MemoryBox
from tests.unit.small_county import COLLECTION, NOW, PLACE, identify
from tests.unit.test_plan_engine import TermCounty, box_of, identity

#: Path -> role and size, by resource.
FILES = {
    ("video", "v"): {"片.mp4": ("main", 30), "~light/片.mp4": ("light", 4), "片.vtt": ("subtitles", 1)},
    ("recorded", "w"): {"实录.mp4": ("main", 20), "~light/实录.mp4": ("light", 3)},
    ("courseware", "c"): {"课件.pdf": ("main", 5), "课件.pptx": ("original", 6)},
}
ALL = {path: size for files in FILES.values() for path, (_, size) in files.items()}


@dataclass
class FilmCounty(TermCounty):
    """Every lesson has a video and a recorded class, each in two renditions, and slides."""

    def _package(self, title: str, files: dict[str, bytes]) -> LessonEntry:
        chance = random.Random(title)
        files = {path: chance.randbytes(size * BLOCK - 7) for path, size in ALL.items()}
        made = {path: identify(data) for path, data in files.items()}
        described = lessons.dump_lesson(film(title, {path: file for path, (file, _) in made.items()}))
        made[lessons.NAME] = identify(described)
        self.content |= {made[path][0].root: data for path, data in files.items()}
        self.content[made[lessons.NAME][0].root] = described
        package = torrent.build(identity(title), [(path, *one) for path, one in made.items()])
        leaves = b"".join(made[entry.path][1] for entry in package.files)
        return LessonEntry(
            identity(title), title, "第一单元", 1, None, 1, ("video",), NOW, package.infohash, package.size,
            len(package.files), self._target(f"packages/{package.infohash}.torrent", package.data),
            self._target(f"packages/{package.infohash}.leaves", leaves),
        )  # fmt: skip


def film(title: str, files: dict[str, object]) -> Lesson:
    resources = tuple(
        Resource(
            name, kind, "look", name, "video/x-matroska" if kind != "courseware" else "application/pdf",
            tuple(ResourceFile(path, role, files[path]) for path, (role, _) in listed.items()),  # type: ignore[arg-type]
        )
        for (kind, name), listed in FILES.items()
    )  # fmt: skip
    return Lesson(identity(title), COLLECTION, *PLACE, "第一单元", 1, None, title, 1, resources)


@pytest.fixture
def county(tmp_path: Path) -> FilmCounty:
    made = FilmCounty(tmp_path / "county")
    made.lessons = {"一": {}, "二": {}}
    made.publish()
    return made


def held(box: MemoryBox) -> set[str]:
    """Paths of the files of lesson 一 that are on the disk."""
    found = box.state._all("SELECT path FROM file JOIN object USING (root) WHERE infohash IN"
                           " (SELECT wanted FROM lesson WHERE title = '一')")  # fmt: skip
    return {row[0] for row in found} - {lessons.NAME}


def shown(box: MemoryBox) -> dict[str, str]:
    """Resource -> path that opens, as teachers see it."""
    made = box.state.present_lesson(identity("一"))
    assert made is not None
    return {resource.id: resource.main.path for resource in made.resources}


FULL = {"片.mp4", "片.vtt", "实录.mp4", "课件.pdf", "课件.pptx"}
CHOICES = [
    ((), FULL, {"v": "片.mp4", "w": "实录.mp4", "c": "课件.pdf"}),
    (
        (("video", "light"),),
        {"~light/片.mp4", "片.vtt", "实录.mp4", "课件.pdf", "课件.pptx"},
        {"v": "~light/片.mp4", "w": "实录.mp4", "c": "课件.pdf"},
    ),
    (
        (("courseware", "light"), ("recorded", "none"), ("video", "light")),
        {"~light/片.mp4", "片.vtt", "课件.pdf"},
        {"v": "~light/片.mp4", "c": "课件.pdf"},
    ),
    ((("courseware", "none"), ("recorded", "none"), ("video", "none")), set(), {}),
]


@pytest.mark.parametrize(("chosen", "files", "opens"), CHOICES)
def test_a_box_fetches_what_is_chosen_and_no_more(
    tmp_path: Path,
    county: FilmCounty,
    chosen: tuple[tuple[str, str], ...],
    files: set[str],
    opens: dict[str, str],
) -> None:
    county.policy(Policy(renditions=chosen))
    box = box_of(tmp_path, county)
    box.start()
    box.settle()
    assert box.shown() == {"一", "二"} and box.engine is not None and box.engine.complete
    assert held(box) == files and shown(box) == opens
    assert box.swarm is not None and set(box.swarm.moved.values()) == {1}
    blocks = sum(ALL[path] for path in files) + 1
    assert len(box.swarm.moved) == 2 * blocks  # not one block of what is not wanted
    row = next(row for row in box.state.lessons() if row.title == "一")
    assert row.size < blocks * BLOCK and row.complete
    # a start over it, and a release that changes nothing for it, change nothing
    county.lessons["三"] = {}
    county.publish(NOW + 60)
    box.clock.go(400)
    box.start()
    box.settle()
    assert held(box) == files and shown(box) == opens


def test_a_policy_that_changes_meanwhile_holds_for_what_is_still_to_come(
    tmp_path: Path, county: FilmCounty
) -> None:
    county.policy(Policy(renditions=(("video", "light"),)))
    box = box_of(tmp_path, county)
    assert box.swarm is not None
    box.swarm.speed = 6
    engine = box.start()
    for _ in range(400):
        engine.step(box.clock.monotonic())
        box.clock.go(1.0)
        if "一" in box.shown():
            break
    county.policy(Policy(renditions=(("video", "none"),)), NOW + 5)
    box.clock.go(400)
    for _ in range(100):
        engine.step(box.clock.monotonic())
        box.clock.go(1.0)
    assert box.shown() == {"一", "二"} and engine.complete
    assert shown(box)["v"] == "~light/片.mp4"  # what teachers had stays
    second = box.state.present_lesson(identity("二"))
    assert second is not None and {resource.id for resource in second.resources} <= {"v", "w", "c"}
    assert all(resource.main.path != "片.mp4" for resource in second.resources)


def test_light_files_lie_where_they_must() -> None:
    files = {path: identify(path.encode())[0] for path in ALL}
    good = film("一", dict(files))
    described = {**files, lessons.NAME: identify(b"x")[0]}
    lessons.check_against(good, described)
    for path, role in (("~light/片.mp4", "part"), ("片.vtt", "light")):
        entries = tuple(
            ResourceFile(path, role, files[path]) for path, role in [("片.mp4", "main"), (path, role)]
        )
        bad = Lesson(good.id, COLLECTION, *PLACE, "第一单元", 1, None, "一", 1,
                     (Resource("v", "video", "look", "v", "video/mp4", entries),))  # fmt: skip
        with pytest.raises(LessonError):
            lessons.check_light(bad)
    two = tuple(ResourceFile(f"~light/{n}", "light", files["片.mp4"]) for n in range(2))
    entries = (ResourceFile("片.mp4", "main", files["片.mp4"]), *two)
    bad = Lesson(good.id, COLLECTION, *PLACE, "第一单元", 1, None, "一", 1,
                 (Resource("v", "video", "look", "v", "video/mp4", entries),))  # fmt: skip
    with pytest.raises(LessonError):
        lessons.parse_lesson(lessons.dump_lesson(bad))


def test_choosing_is_pure_and_whole() -> None:
    made = film("一", {path: identify(path.encode())[0] for path in ALL})
    assert renditions.paths_of(renditions.choose(made, Policy())) == FULL | {lessons.NAME}
    assert renditions.full_paths([*ALL, lessons.NAME]) == FULL | {lessons.NAME}
    light = Policy(renditions=(("recorded", "light"), ("video", "light")))
    chosen = renditions.paths_of(renditions.choose(made, light))
    narrow = renditions.narrow(made, chosen)
    assert renditions.paths_of(narrow) == chosen
    assert [resource.main.path for resource in narrow.resources] == [
        "~light/片.mp4",
        "~light/实录.mp4",
        "课件.pdf",
    ]
    assert narrow.resources[0].media_type == "video/mp4"
    assert lessons.parse_lesson(lessons.dump_lesson(narrow)) == narrow
