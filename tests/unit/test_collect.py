"""`county collect`: what no kept release names goes, nothing else, whatever is cut off."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from content_sync.adapters.files import on_disk
from content_sync.errors import BusyError, LessonBoxError
from content_sync.testing.faults import Crash, FaultFiles, Fuse
from county import setup
from county.config import CountyPaths, load_settings
from county.publish.collect import Collected, collect
from county.publish.publish import alone
from tests.unit.test_publish import NOW, County

DAY = 86_400


@pytest.fixture
def county(tmp_path: Path) -> County:
    setup.init(CountyPaths(tmp_path / "county"), "清河县", ["http://county.test"], NOW - 9, password="x")
    made = County(tmp_path)
    made.write("教案 第一课时.txt", b"one" * 9000)
    made.write("资料 地图.bin", b"map" * 9000)
    made.write("教案.txt", b"two" * 9000, "18 富饶的西沙群岛")
    made.publish()
    return made


def settings(county: County, **values: int) -> None:
    text = county.paths.config.read_text("utf-8")
    county.paths.config.write_text(text + "".join(f"{key} = {value}\n" for key, value in values.items()))


def run(county: County, **more: bool) -> Collected:
    return collect(county.paths, load_settings(county.paths.data), lambda: county.now, **more)


def files(county: County) -> set[str]:
    data = county.paths.data
    return {
        str(path.relative_to(data))
        for folder in ("objects", "public")
        for path in (data / folder).rglob("*")
        if path.is_file()
    }


def whole(county: County) -> None:
    """The newest release and every file that it names can be read, and publishing again reads nothing."""
    for lesson in county.lessons().values():
        for resource in lesson.resources:
            for entry in resource.files:
                assert (county.paths.objects / entry.file.root[:2] / entry.file.root).stat().st_size
    before = files(county)
    again = county.publish()
    assert again.read_bytes == 0 and files(county) == before


def test_nothing_goes_while_releases_are_kept(county: County) -> None:
    county.write("教案 第一课时.txt", b"1" * 9000)
    county.publish()
    before = files(county)
    assert run(county) == Collected(2, 0, 0, 0, 0) and files(county) == before


def test_what_only_old_releases_name_goes(county: County) -> None:
    settings(county, keep_releases=1, keep_days=30)
    first = files(county)
    county.now += 40 * DAY
    county.write("教案 第一课时.txt", b"1" * 9000)
    county.publish()
    assert run(county).kept == 2  # the first was the library until a moment ago
    county.now += 31 * DAY
    before = files(county)
    told = run(county, dry_run=True)
    assert files(county) == before and told.objects == 2 and told.metadata == 2
    assert run(county) == told
    gone = before - files(county)
    assert gone <= first and "public/metadata/1.root.json" not in gone
    # lesson.json and the file that changed; torrent and leaves; the indexes
    assert len([path for path in gone if path.startswith("objects/")]) == 2
    assert len([path for path in gone if "/packages/" in path]) == 2
    whole(county)
    assert run(county).objects == 0


def test_a_source_that_is_as_it_was_keeps_its_object(county: County) -> None:
    """Another source alone is published for a while, then the first again."""
    settings(county, keep_releases=1, keep_days=0)
    first, county.source = county.source, county.source.with_name("other")
    county.write("教案.txt", b"other" * 9000, "19 海滨小城")
    county.now += 10
    county.publish(withdraw=True)
    before = len(list(county.paths.objects.glob("??/*")))
    assert run(county).objects == 2  # two lesson.json, no file of the first source
    assert before - len(list(county.paths.objects.glob("??/*"))) == 2
    county.source = first
    result = county.publish(withdraw=True)
    assert result.lessons == 2 and result.read_bytes == 0
    whole(county)


def test_not_while_publishing(county: County) -> None:
    with alone(county.paths), pytest.raises(BusyError):
        run(county)


@pytest.mark.parametrize("kind", ["killed", "error", "power lost"])
def test_cut_off_anywhere_the_library_is_whole_and_the_next_run_finishes(
    county: County, kind: str, tmp_path: Path
) -> None:
    settings(county, keep_releases=1, keep_days=0)
    county.write("教案 第一课时.txt", b"1" * 9000)
    county.now += 10
    county.publish()
    clean = tmp_path / "clean"
    shutil.copytree(county.paths.data, clean)
    at = 0
    while True:
        fuse = Fuse(at, kind)
        try:
            with on_disk(FaultFiles(fuse, county.paths.data)):
                run(county)
        except (Crash, LessonBoxError):
            pass
        shutil.rmtree(county.paths.data.with_name("county.before"))
        whole(county)
        run(county)
        assert run(county).bytes == 0
        whole(county)
        shutil.rmtree(county.paths.data)
        shutil.copytree(clean, county.paths.data)
        if not fuse.blown:
            break
        at += 1
    assert at >= 6
