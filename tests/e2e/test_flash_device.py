"""`county flash` on real block devices: loop devices of 1 to 64 GB, one that is pulled out, one that takes no
more, one that is in use."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from content_sync.errors import CardBusyError, CardError, CardGoneError
from county import setup
from county.config import CountyPaths
from county.flash.disks import LinuxDisks
from county.flash.image import Image, open_image, sign_image
from county.flash.target import opened
from county.flash.write import HEAD, write_image
from county.publish.signing import Repository
from tests.e2e.manual import make_image

pytestmark = [
    pytest.mark.root,
    pytest.mark.needs("losetup", "bindfs", "sfdisk", "mkfs.vfat", "bmaptool", "mtype", "mke2fs"),
]
FILES = {"lessonbox.conf": b"school_code = 1\r\n" * 99, "enrolment.json": b"{}"}
Bar = Callable[[str, int, int], None]


def run(*words: object) -> str:
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.strip()


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    folder = tmp_path_factory.mktemp("image")
    paths = CountyPaths(folder / "county")
    setup.init(paths, "清河县", ["http://county.test"], 1_790_000_000)
    repository = Repository(paths.public, paths.keys, 365)
    packed = make_image(folder)
    sign_image(packed, repository)
    return open_image(packed, repository.root())


@contextmanager
def looped(file: Path, size: int) -> Iterator[str]:
    """A block device upon a sparse file of this size."""
    with file.open("wb") as stream:
        stream.truncate(size)
    try:
        device = run("losetup", "--find", "--show", file)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no loop devices here: {error.stderr}")
    try:
        yield device
    finally:
        subprocess.run(["losetup", "-d", device], capture_output=True, timeout=60)


@contextmanager
def reader(folder: Path) -> Iterator[tuple[Path, Callable[[], None]]]:
    """A folder behind FUSE, and what pulls it out: from then on everything in it is an error."""
    folder.mkdir()
    top = folder.with_name("reader")
    top.mkdir()
    process = subprocess.Popen(["bindfs", "-f", str(folder), str(top)], stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 60
        while not os.path.ismount(top):
            assert process.poll() is None and time.monotonic() < end, "bindfs did not mount"
            time.sleep(0.05)

        def pull() -> None:
            process.send_signal(signal.SIGKILL)
            process.wait(60)

        yield top, pull
    finally:
        process.kill()
        process.wait(60)
        subprocess.run(["umount", "-l", str(top)], capture_output=True, timeout=60)


def silent(what: str, done: int, total: int) -> None:
    pass


@pytest.mark.parametrize("gb", [1, 16, 64])
def test_a_card_of_any_size(image: Image, tmp_path: Path, gb: int) -> None:
    file = tmp_path / "card"
    with looped(file, gb << 30) as device:
        assert device not in {card.path for card in LinuxDisks().cards()}, "no loop device is offered"
        with opened(device) as target:
            assert target.size == gb << 30
            write_image(image, target, FILES, silent)
        for name, data in FILES.items():
            assert subprocess.check_output(["mtype", "-i", f"{device}@@1048576", f"::/{name}"]) == data
        assert "gpt" in run("sfdisk", "-l", device)
    assert file.stat().st_blocks * 512 < 64 << 20


@pytest.mark.parametrize("when", ["writing", "reading back"])
def test_a_card_that_is_pulled_out(image: Image, tmp_path: Path, when: str) -> None:
    """Its reader gives errors from then on; it is named so, and what is on the card does not boot."""
    with reader(tmp_path / "real") as (top, pull), looped(top / "card", 1 << 30) as device:
        pulled: list[int] = []

        def bar(what: str, done: int, total: int) -> None:
            if what == when and not pulled:
                pulled.append(done)
                pull()

        with opened(device) as target, pytest.raises(CardGoneError, match=device):
            write_image(image, target, FILES, bar)
        assert pulled
    with (tmp_path / "real" / "card").open("rb") as card:
        assert not any(card.read(HEAD))


def test_a_card_that_takes_less_than_it_says(image: Image, tmp_path: Path) -> None:
    """A few MB behind a device of 1 GB."""
    small = tmp_path / "small"
    small.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=1280k", "tmpfs", small)
    try:
        with looped(small / "card", 1 << 30) as device:
            with opened(device) as target, pytest.raises(CardError) as raised:
                write_image(image, target, FILES, silent)
            assert raised.value.__cause__ is None or isinstance(raised.value.__cause__, OSError)
            cause = raised.value.__cause__
            assert cause is None or cause.errno in (errno.EIO, errno.ENOSPC)
            with contextlib.suppress(CardError), opened(device) as target:
                assert not any(target.read(0, HEAD))
    finally:
        subprocess.run(["umount", "-l", str(small)], capture_output=True, timeout=60)


def test_a_card_that_is_in_use(image: Image, tmp_path: Path) -> None:
    place = tmp_path / "mounted"
    place.mkdir()
    with looped(tmp_path / "card", 64 << 20) as device:
        run("mke2fs", "-q", "-t", "ext4", device)
        run("mount", device, place)
        try:
            (place / "homework").write_text("precious")
            with pytest.raises(CardBusyError), opened(device):
                pass
        finally:
            run("umount", place)
        run("mount", device, place)
        assert (place / "homework").read_text() == "precious"
        run("umount", place)
    shutil.rmtree(place)
