"""The amd64 image: `make test-image`. Builds it twice, the root from the cache, and boots cards of it."""

from __future__ import annotations

import hashlib
import json
import lzma
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.programs import ROOT
from tests.image import boot
from tests.image.boot import MIB, Machine, booted, fat, partitions, run

pytestmark = pytest.mark.slow
TOOLS = ("mmdebstrap", "sfdisk", "mcopy", "mke2fs", "bmaptool", "qemu-system-x86_64", "ssh")
#: Emulated on a busy machine; a real one takes a tenth.
PATIENCE = 600
#: Of an entry for Raspberry Pi Imager (findings.md "Images"); the first may not lack.
NEEDED = {"name", "description", "icon", "url", "extract_size", "extract_sha256"}
NEEDED |= {"image_download_size", "release_date", "devices"}
ALLOWED = NEEDED | {"init_format", "bmap_url", "image_download_sha256", "capabilities"}


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def build(out: Path, *options: str) -> Path:
    """`images/build`; the image."""
    cache = os.environ.get("LESSONBOX_IMAGE_CACHE", "/var/cache/lessonbox-image")
    words = ["images/build", "--arch", "amd64", "--out", str(out), "--cache", cache, *options]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    print(done.stdout)
    return Path(done.stdout.splitlines()[-1])


def inside(image: Path, words: str) -> str:
    """What debugfs says of root_a."""
    return run("debugfs", "-R", words, f"{image}?offset={partitions(image)['root_a'][0]}")


@pytest.fixture(scope="module")
def packed(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image built once more, with all that is published."""
    if os.environ.get("LESSONBOX_IMAGE"):
        pytest.skip("the image was there already")
    return build(tmp_path_factory.mktemp("packed"))


def test_the_same_inputs_give_the_same_bytes(image: Path, packed: Path) -> None:
    assert packed.name == image.name
    assert sha256(packed) == sha256(image)
    name = f"{image.stem}.spdx.json"
    assert (packed.parent / name).read_bytes() == (image.parent / name).read_bytes()


def test_what_is_in_the_image(image: Path) -> None:
    """Room for a second system; no mirror, no password, no key, no id of this machine."""
    parts = partitions(image)
    assert {"boot", "root_a", "root_b", "data", "state"} == parts.keys()
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
    assert document["spdxVersion"] == "SPDX-2.3" and document["documentNamespace"]
    names = {it["name"] for it in document["packages"]}
    assert {"lessonbox", "libtorrent", "systemd", "linux-image-amd64"} <= names
    assert all(it["versionInfo"] and it["externalRefs"] for it in document["packages"])


def test_what_is_published(packed: Path, tmp_path: Path) -> None:
    """The packed file unpacks to the image, the map writes it, Imager's entry names it as it is."""
    file = packed.with_name(f"{packed.name}.xz")
    made = hashlib.sha256()
    with lzma.open(file) as stream:
        while piece := stream.read(4 * MIB):
            made.update(piece)
    said = json.loads((packed.parent / f"{packed.stem}.os_list.json").read_text("utf-8"))["os_list"]
    assert len(said) == 1 and NEEDED <= said[0].keys() <= ALLOWED
    entry = said[0]
    assert entry["extract_sha256"] == made.hexdigest() == sha256(packed)
    assert entry["extract_size"] == packed.stat().st_size
    assert entry["image_download_size"] == file.stat().st_size
    assert entry["image_download_sha256"] == sha256(file)
    assert entry["url"] == file.name and (packed.parent / entry["bmap_url"]).exists()
    assert (packed.parent / entry["icon"]).read_bytes().startswith(b"\x89PNG")
    assert len(entry["release_date"]) == 10 and isinstance(entry["devices"], list)
    written = tmp_path / "card.img"
    run("bmaptool", "--quiet", "copy", "--bmap", packed.parent / entry["bmap_url"], file, written)
    os.truncate(written, packed.stat().st_size)
    assert sha256(written) == sha256(packed)


@pytest.fixture(scope="module")
def county(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return boot.make_county(tmp_path_factory.mktemp("county"))


def a_card(image: Path, folder: Path) -> tuple[Path, Path]:
    """A card of 8 GB as it was flashed, and a key for SSH, which is not on it."""
    card = folder / "card.img"
    boot.make_card(image, card, 8 * 1024 * MIB)
    return card, boot.new_key(folder)


def said(machine: Machine) -> dict[str, str]:
    """What the box's status says is wrong: the code, and all its messages."""
    problems = json.loads(machine.get("/api/v1/status", PATIENCE))["problems"]
    return {p["code"]: " ".join(q["message"] for q in problems if q["code"] == p["code"]) for p in problems}


def lines(machine: Machine, *commands: str) -> list[str]:
    """What each command says, on one line; one call, since each takes seconds."""
    script = "; ".join(f"echo $({command})" for command in commands)
    return machine.command(script).splitlines()


def by_ssh(machine: Machine) -> None:
    machine.wait_until(machine.hears_ssh, PATIENCE, "SSH")


def programs(machine: Machine, *expected: str) -> None:
    """Until web, sync and agent are so."""
    ask = "systemctl is-active lessonbox-web lessonbox-sync lessonbox-agent || true"
    machine.wait_until(lambda: machine.command(ask).split() == list(expected), PATIENCE, str(expected))


def test_a_box_with_lessons_starts_twice(image: Path, county: Path, tmp_path: Path) -> None:
    card, key = a_card(image, tmp_path)
    tree = tmp_path / "data"
    tree.mkdir()
    boot.make_box(county).rename(tree / "lessonbox")
    boot.put_data(card, tree)
    boot.put_on_fat(card, key.with_suffix(".pub"), "authorized_keys")
    with booted(card, key) as machine:
        assert "西沙群岛" in machine.wait_for("/", PATIENCE).decode()
        print(f"first page after {machine.seconds():.0f} s")
        assert json.loads(machine.get("/api/v1/status", PATIENCE))["lessons"]["present"] == 2
        by_ssh(machine)
        programs(machine, "active", "active", "active")
        is_shut(machine)
        identity, _ = keeps(machine)
        print("memory, kB:", machine.command(boot.MEMORY).split())
        machine.command("touch -d '2031-05-06' /var/lib/systemd/timesync/clock; journalctl --sync; sync")
    # Power was cut. A clock without a battery, a card that somebody wrote nonsense on.
    wrong = tmp_path / "lessonbox.conf"
    wrong.write_bytes("地址 = 300.1.1.1/24\r\nwas ist das\r\nhost_name = --\r\n".encode() + b"\xff\0\1" * 99)
    boot.put_on_fat(card, wrong, "lessonbox.conf")
    with booted(card, key, date="2000-01-01") as machine:
        assert "西沙群岛" in machine.wait_for("/", PATIENCE).decode()
        print(f"first page again after {machine.seconds():.0f} s")
        assert "lessonbox.conf" in said(machine)["E-CONFIG"]
        assert "lessonbox.conf" in machine.get("/help", PATIENCE).decode()
        by_ssh(machine)
        again, boots = keeps(machine)
        assert again == identity
        assert boots == 2, "a clock that jumped took the journal"
        assert machine.command("date +%Y").strip() == "2031"
        machine.wait_until(lambda: "E-CONFIG" in machine.console_end(), PATIENCE, "the console says it")


def is_shut(machine: Machine) -> None:
    """Nothing failed, nothing of the system can be written, nobody has a password, the watchdog is fed."""
    assert machine.command("systemctl --failed --plain --no-legend") == ""
    for place in ("/usr", "/var/lib", "/etc", "/opt", "/boot/firmware"):
        assert lines(machine, f"touch {place}/written 2>&1 || true")[0].endswith("Read-only file system")
    found = lines(
        machine,
        "cut -d: -f2 /etc/shadow | sort -u",
        "systemctl show -P RuntimeWatchdogUSec",
        "ls -l /proc/1/fd | grep -c watchdog",
        "systemctl is-enabled lessonbox-firstboot lessonbox-doctor.timer lessonbox-enrolled.path",
        "tail -n +2 /proc/swaps",
    )
    assert set(found[0].split()) <= {"*", "!", "!*"}
    assert found[1:4] == ["1min", "1", "enabled enabled enabled"]
    assert found[4].startswith("/dev/zram0")


def keeps(machine: Machine) -> tuple[str, int]:
    """Data fills the card and has journal, identity and clock; which identity, how many starts."""
    size, here, kept, journal, data, clock, boots = lines(
        machine,
        "df --output=size -BM /data | tail -1",
        "cat /etc/machine-id",
        "cat /data/system/machine-id",
        "ls /var/log/journal",
        "findmnt -no SOURCE /data",
        "findmnt -no SOURCE /var/lib/systemd",
        "journalctl --list-boots --no-pager -q | wc -l",
    )
    assert int(size.removesuffix("M")) > 4500
    assert here == kept == journal and len(here) == 32
    assert data.startswith("/dev/vda") and clock == f"{data}[/system/systemd]"
    return here, int(boots)


def test_a_flashed_card_and_a_disk_become_the_schools_box(image: Path, county: Path, tmp_path: Path) -> None:
    """As Notepad on a Chinese Windows writes it; with an empty disk in USB, which is then forgotten."""
    card, key = a_card(image, tmp_path)
    public = key.with_suffix(".pub").read_text().strip()
    config = tmp_path / "lessonbox.conf"
    text = f"# 东沟小学的课箱\n学校名称 = 东沟小学\n主机名：DONGGOU\nSSH公钥 = {public}\n"
    config.write_bytes(text.replace("\n", "\r\n").encode("gb18030"))
    boot.put_on_fat(card, config, "lessonbox.conf")
    boot.put_on_fat(card, boot.enrolment(county, "002", "东沟小学"), "enrolment.json")
    disk = boot.make_disk(tmp_path / "disk.img", "lessonbox-disk")
    with booted(card, key, disk) as machine:
        machine.wait_for("/healthz", PATIENCE)
        print(f"a new box answers after {machine.seconds():.0f} s")
        page = "/status"
        machine.wait_until(lambda: "东沟小学" in machine.get(page, PATIENCE).decode(), PATIENCE, "its school")
        assert "E-CONFIG" not in said(machine)
        by_ssh(machine)
        programs(machine, "active", "active", "active")
        place, host, left = lines(
            machine, "findmnt -no SOURCE /var/lib/lessonbox", "hostname", "ls /boot/firmware"
        )
        assert place == "/dev/sda[/lessonbox]" and host == "donggou"
        assert "enrolment" not in left and "lessonbox.conf" in left
        machine.command("sync")
    assert "enrolment" not in fat(card, "mdir", "-b", "::/")
    with booted(card, key) as machine:
        machine.wait_for("/healthz", PATIENCE)
        assert "放课的硬盘不在" in said(machine)["E-STORAGE"]
        machine.wait_until(lambda: "plug it in" in machine.console_end(), PATIENCE, "the console says it")


def test_a_card_without_a_school_can_be_used(image: Path, tmp_path: Path) -> None:
    card, key = a_card(image, tmp_path)
    config = tmp_path / "lessonbox.conf"
    config.write_bytes("host_name = lesson-7\r\nhotspot = off\r\n".encode("utf-8-sig"))
    boot.put_on_fat(card, config, "lessonbox.conf")
    with booted(card, key) as machine:
        assert "这个课箱还没有注册" in machine.wait_for("/", PATIENCE).decode()
        print(f"a box without a school answers after {machine.seconds():.0f} s")
        assert set(said(machine)) == {"E-UNENROLLED"}
        machine.wait_until(lambda: "/enrol" in machine.console_end(), PATIENCE, "the console says it")
        assert not machine.hears_ssh(), "nobody gave a key"


def test_a_stick_enrols_brings_lessons_and_takes_the_diagnosis(
    image: Path, county: Path, tmp_path: Path
) -> None:
    """Nothing but a stick at power on: the enrolment file, and what the county exported beside it."""
    card, key = a_card(image, tmp_path)
    boot.put_on_fat(card, key.with_suffix(".pub"), "authorized_keys")
    export = tmp_path / "export"
    export.mkdir()
    run(sys.executable, "-m", "county", "export", "--data", county, export)
    file = boot.enrolment(county, "003", "溪口小学")
    stick = boot.make_stick(tmp_path / "stick.img", "KEXIANG", file, *export.iterdir())
    disk = boot.make_stick(tmp_path / "disk.img", "OLD", size=9 * 1024 * MIB)
    with booted(card, key, stick, disk) as machine:
        machine.wait_for("/healthz", PATIENCE)
        status = "/status"
        machine.wait_until(lambda: "溪口小学" in machine.get(status, PATIENCE).decode(), PATIENCE, "enrolled")
        by_ssh(machine)
        programs(machine, "active", "active", "active")
        place, host = "/media/lessonbox/KEXIANG", "findmnt -no FSTYPE,OPTIONS /media/lessonbox/KEXIANG"
        assert lines(machine, host)[0].startswith("vfat ro,")
        assert lines(machine, "systemctl is-active lessonbox-netbios.socket")[0] == "active"
        lay(machine, "import", place)
        machine.wait_until(lambda: present(machine) == 2, PATIENCE, "its lessons")
        assert "西沙群岛" in machine.get("/", PATIENCE).decode()
        lay(machine, "diagnosis", place)
        found = f"ls {place} | grep -c ^lessonbox-diagnosis- || true"
        machine.wait_until(lambda: lines(machine, found)[0] == "1", PATIENCE, "the diagnosis")
        machine.wait_until(lambda: " ro," in lines(machine, host)[0], PATIENCE, "shut again")
        a_disk_for_lessons(machine)
    left = run("mdir", "-b", "-i", f"{stick}@@{boot.STICK_AT}", "::/")
    assert "lessonbox-diagnosis-" in left and file.name not in left, "the claim was used and is erased"
    with booted(card, key, disk) as machine:
        machine.wait_for("/healthz", PATIENCE)
        machine.wait_until(lambda: present(machine) == 2, PATIENCE, "its lessons, moved to the disk")
        by_ssh(machine)
        assert lines(machine, "findmnt -no SOURCE /var/lib/lessonbox")[0] == "/dev/sda[/lessonbox]"


def lay(machine: Machine, do: str, place: str) -> None:
    """Ask sync as the school's page does."""
    words = f"leave(Path('/var/lib/lessonbox/incoming'), Ask('{do}', '{place}'))"
    as_web(machine, f"from pathlib import Path; from appliance.sticks import Ask, leave; {words}")


def a_disk_for_lessons(machine: Machine) -> None:
    """Asked for as the school's page does: the stick is too small, the other disk has something on it."""
    given = "from appliance.disks import can_move, usb_disks; from appliance.helped import Helper; "
    said = as_web(machine, given + "print(can_move(), [(d.token, d.size, d.holds) for d in usb_disks()])")
    only = re.match(r"True \[\('(sd[ab])-\d+', \d+, \('OLD',\)\)\]$", said)
    assert only, said
    as_web(machine, given + "Helper().ask('make-disk', usb_disks()[0].token)")
    assert lines(machine, f"blkid -c /dev/null -s LABEL -o value /dev/{only[1]}")[0] == "lessonbox-disk"
    assert as_web(machine, given + "print([d.ready for d in usb_disks()])").strip() == "[True]"
    assert lines(machine, "findmnt -n /media/lessonbox/OLD || echo gone")[0] == "gone"


def as_web(machine: Machine, script: str) -> str:
    """What Python says, as the programs' user."""
    return machine.command(f'runuser -u lessonbox -- /opt/lessonbox/bin/python -c "{script}"')


def present(machine: Machine) -> int:
    """How many lessons are there."""
    return int(json.loads(machine.get("/api/v1/status", PATIENCE))["lessons"]["present"])
