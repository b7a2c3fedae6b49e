"""First boot under faults: whatever fails or is cut, the next start ends where an undisturbed one does."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from appliance.config import BoxPaths, load_settings, read_enrolment
from appliance.firstboot.boot import Boot
from appliance.health.problems import kept
from content_sync.adapters.files import on_disk
from content_sync.adapters.keys import BoxKey
from content_sync.formats.boxconfig import CONFIG_NAME
from content_sync.formats.enrolment import Enrolment, dump_enrolment, parse_enrolment
from content_sync.testing.faults import KINDS, Crash, FaultFiles, Fuse
from tests.unit.small_county import SmallCounty

CONFIG = """wifi_name = 学校
wifi_password = geheim12
address = 192.168.1.10/24
host_name = lesson-7
nonsense
"""


class QuietHost:
    """A machine that only remembers."""

    def __init__(self) -> None:
        self.name = self.shown = ""
        self.services: tuple[bool, bool] | None = None

    @contextmanager
    def as_user(self) -> Iterator[None]:
        yield

    @contextmanager
    def writable(self, folder: Path) -> Iterator[None]:
        yield

    def sticks(self) -> Sequence[Path]:
        return ()

    def host_name(self, name: str) -> None:
        self.name = name

    def configured(self, wifi: bool, ssh: bool) -> None:
        self.services = wifi, ssh

    def show(self, state: str) -> None:
        self.shown = state


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """Enrolment files of two boxes of one county."""
    root = json.loads(SmallCounty(tmp_path_factory.mktemp("county")).root)
    made = [
        Enrolment(
            "清河县",
            ("http://county.test",),
            f"b-{n:016x}",
            "001",
            "溪口教学点",
            f"{n:032x}",
            root,
            "ab" * 32,
        )
        for n in (1, 2)
    ]
    return dump_enrolment(made[0]), dump_enrolment(made[1])


def lay(folder: Path, paper: bytes, config: str = CONFIG) -> Boot:
    """A card as the flasher leaves it, and a machine that never started."""
    for name in ("card", "run"):
        (folder / name).mkdir(parents=True)
    (folder / "card" / CONFIG_NAME).write_bytes(config.encode("gb18030").replace(b"\n", b"\r\n"))
    (folder / "card" / "enrolment.json").write_bytes(paper)
    return Boot(folder / "card", folder / "data", folder / "run", QuietHost(), 1_760_000_000)


def again(boot: Boot) -> Boot:
    """The next start: what was below /run is gone."""
    shutil.rmtree(boot.run)
    boot.run.mkdir()
    return Boot(boot.card, boot.data, boot.run, QuietHost(), boot.now + 60)


def whole(boot: Boot, paper: bytes) -> None:
    """Everything is as it has to be in the end."""
    claim = parse_enrolment(paper).claim
    assert claim is not None
    found = read_enrolment(BoxPaths(boot.data))
    assert found == parse_enrolment(paper) and BoxKey.load(BoxPaths(boot.data).key)
    assert load_settings(boot.data).text("host_name") == "lesson-7"
    assert [path.name for path in boot.card.iterdir()] == [CONFIG_NAME]
    assert "192.168.1.10/24" in (boot.run / "systemd/network/10-lessonbox-wifi.network").read_text()
    assert "psk=" in (boot.own / "wpa.conf").read_text()
    assert [p["code"] for p in kept(BoxPaths(boot.data).firstboot)] == ["E-CONFIG"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_setting_is_taken_back_wherever_a_start_was_cut(
    quick: Path, papers: tuple[bytes, bytes], kind: str
) -> None:
    at = 0
    while True:
        folder = quick / f"{kind.replace(' ', '-')}-back-{at}"
        boot = lay(folder, papers[0])
        fuse = Fuse(at, kind)
        with on_disk(FaultFiles(fuse, folder)), suppress(Crash):
            boot.work()
        (boot.card / CONFIG_NAME).write_bytes(b"# nothing any more\n")
        again(boot).work()
        assert load_settings(boot.data).text("host_name") == "lesson", f"{kind} at {at}"
        if not fuse.blown:
            break
        at += 7
        shutil.rmtree(folder)
        shutil.rmtree(f"{folder}.before", ignore_errors=True)


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: what is durable is FaultFiles' own reckoning, not the disk's."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as made:
        yield Path(made)


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_anywhere_is_healed_by_the_next_start(
    quick: Path, papers: tuple[bytes, bytes], kind: str
) -> None:
    step = 1 if kind == "power lost" else 3  # every operation by the cruellest; of the others each third
    at, seen = KINDS.index(kind) % step, 0
    while True:
        folder = quick / f"{kind.replace(' ', '-')}-{at}"
        boot = lay(folder, papers[0])
        fuse = Fuse(at, kind)
        with on_disk(FaultFiles(fuse, folder)), suppress(Crash):
            boot.work()
        if not fuse.blown:
            break
        claim = parse_enrolment(papers[0]).claim
        assert claim is not None
        somewhere = [
            path for path in folder.rglob("*.json*") if path.is_file() and claim.encode() in path.read_bytes()
        ]
        assert somewhere, f"{kind} at {at}: the claim is nowhere any more"
        config = BoxPaths(boot.data).config
        if config.exists():
            load_settings(boot.data)  # old or new, never torn
        next_start = again(boot)
        next_start.work()
        whole(next_start, papers[0])
        seen, at = seen + 1, at + step
        shutil.rmtree(folder)
        shutil.rmtree(f"{folder}.before", ignore_errors=True)
    assert seen * step > 40, seen


def test_an_undisturbed_start_and_the_ones_after_it(tmp_path: Path, papers: tuple[bytes, bytes]) -> None:
    boot = lay(tmp_path, papers[0])
    key = None
    for _ in range(3):
        boot.work()
        whole(boot, papers[0])
        key = key or BoxPaths(boot.data).key.read_bytes()
        assert BoxPaths(boot.data).key.read_bytes() == key
        assert boot.host.shown == "trouble" and boot.host.services == (True, False)  # type: ignore[attr-defined]
        boot = again(boot)
