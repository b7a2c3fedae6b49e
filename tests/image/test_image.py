"""The amd64 image: `make test-image`. Builds it twice, the root from the cache; looks into it; boots it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.programs import ROOT
from tests.image import boot
from tests.image.boot import MIB, Machine, booted, partitions, run

pytestmark = pytest.mark.slow
TOOLS = ("mmdebstrap", "sfdisk", "mcopy", "mke2fs", "bmaptool", "qemu-system-x86_64", "ssh")


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def build(out: Path) -> Path:
    """`images/build`; the image."""
    cache = os.environ.get("LESSONBOX_IMAGE_CACHE", "/var/cache/lessonbox-image")
    words = ["images/build", "--arch", "amd64", "--out", str(out), "--cache", cache, "--fast"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return Path(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if os.geteuid() or missing:
        pytest.skip(f"an image is made by root, with {missing or TOOLS} (make test-image gets them)")
    return build(tmp_path_factory.mktemp("image"))


def inside(image: Path, words: str) -> str:
    """What debugfs says of root_a."""
    return run("debugfs", "-R", words, f"{image}?offset={partitions(image)['root_a'][0]}")


def test_the_same_inputs_give_the_same_bytes(image: Path, tmp_path: Path) -> None:
    again = build(tmp_path)
    assert again.name == image.name
    assert sha256(again) == sha256(image)
    name = f"{image.stem}.spdx.json"
    assert (tmp_path / name).read_bytes() == (image.parent / name).read_bytes()


def test_what_is_in_the_image(image: Path) -> None:
    """Four parts with room for a second system; no mirror, no password, no key, no id of this machine."""
    parts = partitions(image)
    assert list(parts) == ["boot", "root_a", "root_b", "data"]
    assert parts["root_a"][1] == parts["root_b"][1]
    assert inside(image, "cat /etc/hostname") == "lesson\n"
    assert inside(image, "cat /etc/machine-id") == ""
    passwords = {line.split(":")[1] for line in inside(image, "cat /etc/shadow").splitlines()}
    assert passwords <= {"*", "!", "!*"}
    listed = (
        inside(image, "ls /etc/apt/sources.list.d")
        + inside(image, "ls /etc/ssh")
        + inside(image, "ls /var/lib/apt/lists")
    )
    assert "sources" not in listed and "ssh_host" not in listed and "debian" not in listed
    document = json.loads((image.parent / f"{image.stem}.spdx.json").read_text("utf-8"))
    names = {it["name"] for it in document["packages"]}
    assert {"lessonbox", "libtorrent", "systemd", "linux-image-amd64"} <= names
    assert (image.parent / f"{image.stem}.bmap").read_text("utf-8").count("<Range") > 3


@pytest.fixture(scope="module")
def card(image: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A card of 8 GB with a box and its lessons on it, and the key for SSH."""
    work = tmp_path_factory.mktemp("card")
    tree = work / "data"
    tree.mkdir()
    boot.make_box(work).rename(tree / "lessonbox")
    card, key = work / "card.img", boot.new_key(work)
    boot.make_card(image, card, 8 * 1024 * MIB)
    boot.put_data(card, tree)
    boot.put_on_fat(card, key.with_suffix(".pub"), "authorized_keys")
    return card, key


@pytest.fixture(scope="module")
def machine(card: tuple[Path, Path]) -> Iterator[Machine]:
    with booted(*card) as machine:
        machine.wait_for("/", 900)
        yield machine


def test_boots_to_the_first_page_with_a_lesson_on_it(machine: Machine) -> None:
    assert "西沙群岛" in machine.get("/").decode()
    status = json.loads(machine.get("/api/v1/status"))
    assert status["lessons"]["present"] == 2


def test_the_system_is_read_only_and_data_fills_the_card(machine: Machine) -> None:
    failed = machine.command("systemctl --failed --plain --no-legend")
    assert failed == ""
    with pytest.raises(subprocess.CalledProcessError):
        machine.command("touch /usr/written || touch /var/lib/written || touch /etc/written")
    assert int(machine.command("df --output=size -BM /data | tail -1 | tr -dc 0-9")) > 5000
    assert machine.command("cat /etc/machine-id") == machine.command("cat /data/system/machine-id")
    assert "zram0" in machine.command("cat /proc/swaps")
    assert machine.command("ls /var/log/journal").strip() == machine.command("cat /etc/machine-id").strip()
