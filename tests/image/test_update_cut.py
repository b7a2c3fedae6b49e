"""The power goes at any instant of a system update, replayed from the log of its card (`make test-update`, as
root). By hand: python -m tests.image.test_update_cut IMAGE FOLDER [record|look|boot] [MOMENT/KIND …]."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

import pytest

from tests.image.boot import partitions
from tests.image.logwrites import Replay, copy, mount_alone, read_log
from tests.image.test_image import TOOLS
from tests.image.updating import Story, Truth, chance, comes_up, kinds, moments, unbootable

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.needs(*TOOLS, "fsck.vfat", "mtype", "debugfs", "e2fsck"),
]
STATES = 20
#: The nastiest, which are really started.
BOOTED = (
    "50 % of the new system written/sectors",
    "armed: the record/all but the first",
    "tried: after it/nothing",
    "confirmed: after it/nothing",
    "50 % of the FAT written/sectors",
    "99 % of the FAT written/all but the first",
    "the firmware's pointer/pages",
)


@pytest.fixture(scope="module")
def story(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """An update lived through once, every write of it in a log."""
    made = Story(image, tmp_path_factory.mktemp("story"))
    made.prepare()
    made.live()
    return made


def test_what_must_not_be_taken_touches_neither_slot_nor_record(story: Story) -> None:
    """The older and the forged one were refused by name (Story.live); until both were, no request went to
    another slot, the record or the boot partition."""
    assert refused_writes(story) == []


def refused_writes(story: Story) -> list[str]:
    """Requests to what an update changes, until both were refused; to the boot partition since it was up."""
    parts, marks = partitions(story.base), story.truth.marks
    early = [one for one in read_log(story.log) if one.end <= marks["forged"] and one.length]
    assert early, "the box has lived"
    return [
        f"{name} at {one.offset}"
        for one in early
        for name in ("root_a", "root_b", "state", "boot")
        if parts[name][0] <= one.offset < sum(parts[name]) and (name != "boot" or one.end > marks["up"])
    ]


def test_every_state_is_proved_bootable(story: Story, memory_path: Path) -> None:
    count, wrong = look(story, memory_path)
    assert not wrong, "\n".join(wrong[:40])
    assert count >= STATES


def look(story: Story, work: Path) -> tuple[int, list[str]]:
    """How many states there are, and what is wrong with them."""
    mount_alone()
    began = time.monotonic()
    entries = read_log(story.log)
    replay = Replay(story.base, story.log, entries, work / "now")
    count, wrong, notes = 0, list[str](), dict[str, int]()
    for name, moment in sorted(moments(entries, story.base, story.log).items(), key=lambda it: it[1]):
        replay.through(moment)
        for kind in kinds(entries, moment):
            state = work / f"state {count}"
            replay.cut(kind, chance(name, kind), state)
            count += 1
            try:
                found = unbootable(state, work, story.truth, notes)
            except Exception as error:
                found = [repr(error)]
            wrong += [f"{name}/{kind}: {one}" for one in found]
            state.unlink()
            at = time.monotonic() - began
            print(f"{at:.0f} s, state {count}: {name}/{kind}: {found or 'proved'}", flush=True)
    replay.close()
    print(f"{len(entries)} requests, {count} states, {len(wrong)} wrong, {notes}", flush=True)
    return count, wrong


@pytest.mark.parametrize("which", BOOTED)
def test_the_nastiest_come_up(story: Story, which: str, tmp_path: Path) -> None:
    print(which, begin(story, which, tmp_path))


def begin(story: Story, which: str, folder: Path) -> dict[str, object]:
    """Make that state, and switch on."""
    name, _, kind = which.rpartition("/")
    entries = read_log(story.log)
    replay = Replay(story.base, story.log, entries, folder / "now")
    replay.through(moments(entries, story.base, story.log)[name])
    card = folder / "card.img"
    replay.cut(kind, chance(name, kind), card)
    replay.close()
    (folder / "now").unlink()
    return comes_up(card, story.key, story.truth)


def by_hand(words: list[str]) -> None:
    """A part of it, in a folder that stays."""
    folder = Path(words[1]).absolute()
    story = Story(Path(words[0]).absolute(), folder)
    if words[2] == "record":
        if not story.base.exists():
            folder.mkdir()
            story.prepare()
            story.truth.keep(folder / "truth.json")
        else:
            story.truth = Truth.kept(folder / "truth.json")
            copy(story.base, story.card)
        story.live()
        return
    story.truth = Truth.kept(folder / "truth.json")
    if words[2] == "look":
        work = Path("/dev/shm") / f"{folder.name}-look"
        work.mkdir(exist_ok=True)
        print(refused_writes(story), flush=True)
        print("\n".join(look(story, work)[1]))
        shutil.rmtree(work)
    for number, which in enumerate(words[3:] or (BOOTED if words[2] == "boot" else ())):
        place = folder / f"boot{number}"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        print(which, begin(story, which, place), flush=True)
        shutil.rmtree(place)


if __name__ == "__main__":
    by_hand(sys.argv[1:])
