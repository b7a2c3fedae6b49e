"""Parts of the image for Raspberry Pi that need no image: tests/image/test_arm64.py looks at a whole one."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tests.image.devicetree import Node, needs, parse
from tests.image.pi import read_config

ROOT = Path(__file__).resolve().parents[2]
PI = ROOT / "images" / "pi"
TABLE = "label: gpt\nstart=16384, size=40960, name=boot\nstart=57344, name=data\n"


@pytest.mark.needs("sfdisk")
def test_the_old_table_names_the_first_partition_and_the_new_one_stays(tmp_path: Path) -> None:
    image = tmp_path / "card.img"
    with image.open("wb") as file:
        file.truncate(64 << 20)
    subprocess.run(["sfdisk", "--quiet", image], input=TABLE, text=True, check=True)
    before = image.read_bytes()
    subprocess.run([sys.executable, PI / "hybrid.py", image], check=True)
    after = image.read_bytes()
    assert before[512:] == after[512:] and before[:446] == after[:446] and after[510:512] == b"\x55\xaa"
    entries = [struct.unpack_from("<4xB3xII", after, 446 + 16 * i) for i in range(4)]
    assert entries == [(0x0C, 16384, 40960), (0xEE, 1, 16383), (0, 0, 0), (0, 0, 0)]
    listed = json.loads(subprocess.check_output(["sfdisk", "--json", image], stderr=subprocess.DEVNULL))
    assert listed["partitiontable"]["label"] == "gpt" and len(listed["partitiontable"]["partitions"]) == 2


def test_what_has_no_gpt_is_left_alone(tmp_path: Path) -> None:
    image = tmp_path / "card.img"
    image.write_bytes(bytes(4096))
    done = subprocess.run([sys.executable, PI / "hybrid.py", image], capture_output=True)
    assert done.returncode and image.read_bytes() == bytes(4096)


@pytest.mark.parametrize("board", ["pi4", "pi5"])
def test_config_for_each_board(board: str) -> None:
    config = read_config((PI / "config.txt").read_text("utf-8"), board)
    assert (
        config.path(config.initramfs) == "a/initrd" and config.path(config.settings["kernel"]) == "a/vmlinuz"
    )
    lamp = ["lamp-pi5"] if board == "pi5" else []  # Debian's tree of a Pi 4 has its own
    assert config.overlays == [f"clock-{board}", *lamp]
    assert all((PI / f"{name}.dts").exists() for name in config.overlays)
    assert ("arm_boost" in config.settings) == (board == "pi4")
    with pytest.raises(ValueError):
        read_config("x" * 99, board)


@pytest.mark.parametrize(("arch", "devices"), [("amd64", []), ("arm64", ["pi5-64bit", "pi4-64bit"])])
def test_imager_offers_each_image_for_its_boards(tmp_path: Path, arch: str, devices: list[str]) -> None:
    (tmp_path / "box.img").write_bytes(b"image")
    (tmp_path / "box.img.xz").write_bytes(b"packed")
    words = [sys.executable, ROOT / "images" / "os_list.py", tmp_path / "box", "1.0", arch]
    told = subprocess.check_output(words, env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000"})
    (entry,) = json.loads(told)["os_list"]
    assert (
        entry["devices"] == devices and entry["extract_size"] == 5 and entry["release_date"] == "2023-11-14"
    )
    assert ("Raspberry Pi" in entry["name"]) == bool(devices)


def test_imagers_list_gets_whole_addresses(tmp_path: Path) -> None:
    """As built it has file names alone, which Imager does not take; moved again, it is corrected again."""
    folder = tmp_path / "课 箱"
    folder.mkdir()
    (folder / "box.img").write_bytes(b"image")
    (folder / "box.img.xz").write_bytes(b"packed")
    script, file = ROOT / "images" / "os_list.py", folder / "box.os_list.json"
    env = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
    file.write_bytes(
        subprocess.check_output([sys.executable, script, folder / "box", "1.0", "arm64"], env=env)
    )
    for address in ("https://county.example/images/", ""):
        subprocess.run([sys.executable, script, "--at", file, *filter(None, [address])], check=True)
        (entry,) = json.loads(file.read_text("utf-8"))["os_list"]
        base = address.rstrip("/") or folder.as_uri()
        assert (entry["url"], entry["bmap_url"]) == (f"{base}/box.img.xz", f"{base}/box.bmap")
        assert entry["icon"] == f"{base}/box.icon.png" and entry["init_format"] == "rpi-preseed"
    assert sorted(path.name for path in folder.iterdir()) == ["box.img", "box.img.xz", "box.os_list.json"]


def tree(name: str, values: dict[str, bytes], *children: bytes) -> bytes:
    """A node as it stands in a flattened tree; names lie in `NAMES`."""
    data = struct.pack(">I", 1) + name.encode() + b"\0" * (4 - len(name) % 4)
    for key, value in values.items():
        data += (
            struct.pack(">3I", 3, len(value), NAMES.index(f"{key}\0".encode()))
            + value
            + b"\0" * (-len(value) % 4)
        )
    return data + b"".join(children) + struct.pack(">I", 2)


NAMES = b"compatible\0phandle\0clocks\0#clock-cells\0vmmc-supply\0pinctrl-0\0status\0"
CELL = struct.Struct(">I").pack


def test_needs_goes_along_clocks_pins_voltages_and_buses() -> None:
    top = tree(
        "",
        {"compatible": b"a,board\0"},
        tree(
            "soc",
            {"compatible": b"simple-bus\0"},
            tree(
                "card",
                {"compatible": b"a,card\0b,card\0", "clocks": CELL(1) + CELL(7), "vmmc-supply": CELL(2)},
            ),
            tree("clock", {"compatible": b"a,clock\0", "phandle": CELL(1), "#clock-cells": CELL(1)}),
            tree("pins", {"compatible": b"a,pins\0"}, tree("on", {"phandle": CELL(3)})),
            tree("other", {"compatible": b"a,card\0", "status": b"disabled\0"}),
        ),
        tree("power", {"compatible": b"a,power\0", "phandle": CELL(2), "pinctrl-0": CELL(3)}),
    )
    names = NAMES + b"\0" * (-len(NAMES) % 4)
    head = struct.pack(">10I", 0xD00DFEED, 0, 40 + len(names), 40, 0, 17, 16, 0, len(names), len(top))
    root = parse(head + names + top + struct.pack(">I", 9))
    card = root.find("b,card")
    assert card.path == "/soc/card" and card.compatible == ["a,card", "b,card"]
    found = {it.path for it in needs(root, card)}
    assert found == {"/soc/card", "/soc", "/soc/clock", "/power", "/soc/pins"}
    with pytest.raises(LookupError):
        Node("empty", None).find("a,card")
    with pytest.raises(ValueError):
        parse(bytes(40))
