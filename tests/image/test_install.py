"""install.sh on fresh machines: Debian 12 and 13, booted by systemd, without Internet; from the first install
to the last trace. One life of a machine each, told in order."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.image.roots import (
    RELEASES,
    Machine,
    booted,
    copy_sources,
    make_root,
    make_wheelhouse,
    wheel_of,
)

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.needs("mmdebstrap", "systemd-nspawn", "nsenter"),
]
DATA = "/var/lib/lessonbox"
BOX = f"/opt/lessonbox/bin/lessonbox {{}} --data {DATA}"
TITLE = "大青树下的小学"
PROGRAMS = ("lessonbox-web", "lessonbox-sync", "lessonbox-agent")
#: Asks for pages without a pause until it is told to stop; says how often, and what went wrong.
ASKER = """
import json, select, sys, urllib.request
asked, wrong = 0, []
while not select.select([sys.stdin], [], [], 0.02)[0]:
    asked += 1
    try:
        with urllib.request.urlopen("http://127.0.0.1/healthz", timeout=60) as answer:
            if answer.status != 200:
                wrong.append(answer.status)
    except OSError as error:
        wrong.append(repr(error))
print(json.dumps([asked, wrong]))
"""
READER = """
import sys, urllib.request
sys.stdout.buffer.write(urllib.request.urlopen(sys.argv[1], timeout=60).read())
"""
#: What install.sh puts there, at least; how much of the machine each may reach (systemd-analyze security).
UNITS = (
    *("web.socket", "web.service", "sync.service", "agent.service", "helper.socket", "helper@.service"),
    *("stick@.service", "firstboot.service", "doctor.service", "doctor.timer", "enrolled.path"),
    *("enrolled.target", "wifi@.service"),
)
#: What is off until somebody wants it may lack the program that it runs.
NOT_HERE = re.compile(r"lessonbox-(hotspot|hotspot-dhcp|share|wifi@sda1)\.service: Command \S+ is not exec")
SHUT_IN = {
    "lessonbox-web.service": 2.0,
    "lessonbox-sync.service": 2.0,
    "lessonbox-agent.service": 4.0,
    "lessonbox-helper@1.service": 4.0,
    "lessonbox-stick@1.service": 4.0,
    "lessonbox-firstboot.service": 4.0,
    "lessonbox-doctor.service": 4.0,
}
#: A word to the helper as its programs send it, by Python of the machine itself.
WORD = (
    "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect('/run/lessonbox/helper.sock');"
    " s.sendall(sys.argv[1].encode() + b'\\\\n'); print(s.makefile().readline().strip())"
)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], tuple[Path, Path]]:
    """A root and a wheelhouse of that Debian, each made once."""
    folder = tmp_path_factory.mktemp("roots")
    held: dict[int, tuple[Path, Path]] = {}

    def get(number: int) -> tuple[Path, Path]:
        if number not in held:
            held[number] = make_root(number, folder), make_wheelhouse(number, folder)
        return held[number]

    return get


def install(machine: Machine, *words: str) -> str:
    return machine.run(f"cd /srv/src && ./install.sh --wheelhouse /srv/wh {' '.join(words)}")


def typed(machine: Machine, line: str) -> str:
    """What a command of operations.md says, found where sudo looks (secure_path); empty when it is not."""
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    said = machine.run(f"PATH={path} {line}", check=False)
    return "" if "command not found" in said else said


def get(machine: Machine, path: str, port: int = 80) -> bytes:
    command = [*machine.enter("-n"), sys.executable, "-c", READER, f"http://127.0.0.1:{port}{path}"]
    return subprocess.run(command, capture_output=True, check=True).stdout


def pids(machine: Machine) -> dict[str, str]:
    return {name: machine.show(f"{name}.service", "MainPID") for name in PROGRAMS}


def all_up(machine: Machine, but: dict[str, str] | None = None) -> None:
    """Until every program runs, as other processes than `but`."""

    def up() -> bool:
        states = [machine.show(f"{name}.service", "ActiveState") for name in PROGRAMS]
        return states == ["active"] * 3 and not (but and set(but.items()) & set(pids(machine).items()))

    machine.wait(up, 180, "all programs run")


def word(machine: Machine, line: str, user: str = "lessonbox") -> str:
    return machine.run(f'/usr/bin/python3 -c "{WORD}" "{line}"', check=False, user=user).strip()


@pytest.mark.parametrize("number", sorted(RELEASES))
def test_the_life_of_a_machine(number: int, made: Callable[[int], tuple[Path, Path]], tmp_path: Path) -> None:
    base, wheels = made(number)
    with booted(base, tmp_path) as machine:
        machine.run("mkdir /srv/wh")
        for wheel in wheels.iterdir():
            (machine.top / "srv/wh" / wheel.name).write_bytes(wheel.read_bytes())
        began = time.monotonic()

        def step(text: str) -> None:
            print(f"Debian {number}, {time.monotonic() - began:.0f} s: {text}", flush=True)

        step("a dry run changes nothing")
        before = machine.run(
            "find /opt /etc /usr/lib/systemd /usr/lib/sysusers.d /var/lib | sort | sha256sum"
        )
        assert "Nothing was changed." in install(machine, "--dry-run")
        after = machine.run("find /opt /etc /usr/lib/systemd /usr/lib/sysusers.d /var/lib | sort | sha256sum")
        assert after == before

        step("install, then again with an enrolment")
        install(machine)
        assert "lessonbox" not in machine.run("systemctl --failed --plain --no-legend")
        publish(machine)
        install(machine, "--enrolment /srv/school.json")
        all_up(machine)
        assert get(machine, "/healthz")
        assert "lessonbox" in typed(machine, "lessonbox --version")

        step("a lesson comes by drop and is served")
        machine.run(
            f"cp -r /srv/county/public /srv/county/objects {DATA}/drop/ && chown -R lessonbox: {DATA}/drop"
        )
        status: dict[str, object] = {}

        def present() -> bool:
            said = machine.run(BOX.format("status --json"), user="lessonbox")
            status.update(json.loads(said))
            return json.loads(said)["lessons"]["present"] == 1

        machine.wait(present, 120, "the lesson is there")
        served(machine)

        step("shut in, as systemd sees it")
        shut_in(machine)

        step("the helper")
        helper(machine)

        step("enrolled later: sync and agent begin by themselves")
        enrolled_later(machine)

        step("what gave up is started again by the doctor")
        gave_up(machine)
        served(machine)

        step("upgrade in place")
        upgrade(machine, tmp_path)
        served(machine)

        step("crashes and a hang")
        crashes(machine)
        hang(machine)
        served(machine)

        step("the machine starts again, asked by the helper")
        assert word(machine, "reboot") == "ok"
        machine.boots_again()
        all_up(machine)
        served(machine)

        step("uninstall keeps the data, purge takes it")
        machine.run("cd /srv/src && ./install.sh --uninstall")
        left = machine.run(
            "ls /opt /etc/systemd/system /etc/udev/rules.d /usr/lib/sysusers.d /usr/lib/tmpfiles.d"
        )
        assert "lessonbox" not in left
        assert not typed(machine, "lessonbox --version")
        assert machine.run(f"ls {DATA}/keys {DATA}/box.toml")
        assert "refused" in machine.run("(echo >/dev/tcp/127.0.0.1/80)", check=False)
        machine.run("cd /srv/src && ./install.sh --uninstall")  # a second time harms nothing
        install(machine)
        all_up(machine)
        served(machine)  # what was there is there again
        machine.run("cd /srv/src && ./install.sh --uninstall --purge --yes")
        left = machine.run("ls /var/lib /opt; getent passwd")
        assert "lessonbox" not in left, left
        assert "lessonbox" not in machine.run("systemctl --failed --plain --no-legend")
        step("done")


def publish(machine: Machine) -> None:
    lesson = f"/srv/tree/小学/语文/统编版/三年级上册/第一单元/01 {TITLE}"
    county = "/opt/lessonbox/bin/county"
    machine.run(
        f"mkdir -p '{lesson}' && echo 读课文 >'{lesson}/教案.txt'"
        f" && {county} init --data /srv/county --name 试县 --url http://127.0.0.1:9"
        f" && {county} publish --data /srv/county /srv/tree"
        f" && {county} enrol --data /srv/county --school-code 1 --name 小学 --out /srv/school.json"
    )


def served(machine: Machine) -> None:
    """The lesson is on a page, and its plan's bytes come."""
    machine.wait(lambda: TITLE in get(machine, "/new").decode(), 60, "the lesson is on the page")
    listed = json.loads(get(machine, "/api/v1/lessons"))["lessons"]
    assert [lesson["title"] for lesson in listed] == [TITLE]
    files = [resource["url"] for resource in listed[0]["resources"]]
    assert any(get(machine, path).decode().startswith("读课文") for path in files), listed


def shut_in(machine: Machine) -> None:
    listed = machine.run("cd /etc/systemd/system && ls -d lessonbox-*.* | grep -v [.]wants").split()
    assert {f"lessonbox-{name}" for name in UNITS} <= set(listed), listed
    units = " ".join(unit.replace("@.", "@sda1.") for unit in listed)
    said = machine.run(f"systemd-analyze verify {units}", check=False)
    wrong = [line for line in said.splitlines() if "lessonbox" in line and not NOT_HERE.match(line)]
    assert not wrong, wrong
    for unit, bound in SHUT_IN.items():
        path = re.sub("@1", "@", f"/etc/systemd/system/{unit}")
        said = machine.run(f"systemd-analyze --no-pager security --offline=true {path}")
        found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
        assert found and float(found[1]) <= bound, said
        print(f"  {unit}: {found[1]}")
    if "verify" in machine.run("udevadm --help", check=False):  # Debian 13
        machine.run("udevadm verify /etc/udev/rules.d/70-lessonbox-sticks.rules")


def helper(machine: Machine) -> None:
    assert word(machine, "format-the-disk").startswith("E-FORMAT")
    assert word(machine, "unmount ../../etc").startswith("E-NOT-FOUND")
    assert word(machine, "set-clock").startswith("E-"), "no agent has asked for it"
    assert "PermissionError" in word(machine, "restart", user="nobody")
    # A stick that appears is seen in sync's own namespace, and goes by the helper's word.
    machine.run("systemd-mount --quiet --type=tmpfs tmpfs /media/lessonbox/课")
    sync = machine.show("lessonbox-sync.service", "MainPID")
    seen = f"grep -c /media/lessonbox/ /proc/{sync}/mountinfo"
    machine.wait(lambda: machine.run(seen, check=False).strip() != "0", 10, "sync sees the stick")
    assert word(machine, "unmount 课") == "ok"
    machine.wait(lambda: machine.run(seen, check=False).strip() == "0", 10, "sync lets go of the stick")
    assert word(machine, "unmount 课").startswith("E-NOT-FOUND")
    running = pids(machine)
    assert word(machine, "restart") == "ok"
    all_up(machine, but=running)


def enrolled_later(machine: Machine) -> None:
    """As from its page or by a stick: the enrolment appears while the machine runs."""
    machine.run("systemctl stop lessonbox-enrolled.target lessonbox-sync lessonbox-agent")
    machine.run(f"mv {DATA}/enrolment.json /srv/")
    machine.run("systemctl restart lessonbox-enrolled.path")
    assert machine.show("lessonbox-enrolled.path", "ActiveState") == "active"
    assert machine.show("lessonbox-sync.service", "ActiveState") == "inactive"
    machine.run(f"mv /srv/enrolment.json {DATA}/")
    all_up(machine)


def gave_up(machine: Machine) -> None:
    """A web that can't run ends so often that systemd gives it up, and its port; when the cause is gone the
    doctor's next look brings both back. The diagnosis tells of it."""
    folder = "/run/systemd/system/lessonbox-web.service.d"
    wrong = "[Unit]\\nStartLimitBurst=3\\n[Service]\\nRestartSec=1\\nExecStart=\\nExecStart=/bin/false\\n"
    machine.run(f"mkdir -p {folder} && printf '{wrong}' >{folder}/t.conf && systemctl daemon-reload")
    machine.run("systemctl restart --no-block lessonbox-web.service")

    def failed() -> bool:
        return machine.show("lessonbox-web.service", "ActiveState") == "failed"

    machine.wait(failed, 90, "systemd gives up")
    machine.run(f"rm -r {folder} && systemctl daemon-reload")
    machine.run("systemctl start lessonbox-doctor.service")
    all_up(machine)
    assert get(machine, "/healthz")
    told = machine.run(f"cat {DATA}/health.json")
    assert "E-FLAPPING" in told, told
    read = "import sys, zipfile; print(zipfile.ZipFile(sys.argv[1]).read(sys.argv[2]).decode())"
    for name, word_in in (("checks.json", "lessonbox-web"), ("journal.txt", "start request repeated")):
        said = machine.run(
            f"python3 -c '{read}' /run/lessonbox-doctor/diagnosis.zip {name}", user="lessonbox"
        )
        assert word_in.lower() in said.lower(), (name, said[-3000:])
    machine.run("systemctl start lessonbox-doctor.service")
    assert "E-FLAPPING" not in machine.run(f"cat {DATA}/health.json"), "it is well again"
    assert word(machine, "diagnose") == "ok"


def upgrade(machine: Machine, tmp_path: Path) -> None:
    old = machine.run("readlink /opt/lessonbox").strip()
    for wheel in (machine.top / "srv/wh").glob("lessonbox-*.whl"):
        wheel.unlink()
    wheel = wheel_of("9.9.9", tmp_path)
    (machine.top / "srv/wh" / wheel.name).write_bytes(wheel.read_bytes())
    running = pids(machine)
    asker = machine.ask(["-c", ASKER])
    install(machine)
    all_up(machine, but=running)
    said, _ = asker.communicate("stop\n")
    asked, wrong = json.loads(said)
    assert not wrong and asked > 20, (asked, wrong)
    assert "9.9.9" in machine.run("/opt/lessonbox/bin/lessonbox --version")
    new = machine.run("readlink /opt/lessonbox").strip()
    assert new != old and machine.run(f"{old}/bin/lessonbox --version")  # there to go back to
    assert len(machine.run("ls /opt/lessonbox.d").split()) == 2


def crashes(machine: Machine) -> None:
    running = pids(machine)
    machine.run("kill -KILL " + " ".join(running.values()))
    all_up(machine, but=running)
    for name in PROGRAMS:
        assert int(machine.show(f"{name}.service", "NRestarts")) >= 1


def hang(machine: Machine) -> None:
    """A sync that stands still is ended by systemd's watchdog; here it asks for signs of life more often."""
    folder = "/run/systemd/system/lessonbox-sync.service.d"
    machine.run(
        f"mkdir -p {folder} && printf '[Service]\\nWatchdogSec=15\\nTimeoutAbortSec=2\\n' >{folder}/t.conf"
    )
    machine.run("systemctl daemon-reload && systemctl restart lessonbox-sync")
    stuck = machine.show("lessonbox-sync.service", "MainPID")
    machine.run(f"kill -STOP {stuck}")

    def another() -> bool:
        now = machine.show("lessonbox-sync.service", "MainPID")
        return now not in ("0", stuck) and machine.show("lessonbox-sync.service", "ActiveState") == "active"

    machine.wait(another, 90, "another sync")
    assert "atchdog" in machine.run("journalctl --no-pager -u lessonbox-sync.service | grep -i watchdog")
    machine.run(f"rm -r {folder} && systemctl daemon-reload && systemctl restart lessonbox-sync")


COUNTY = "/var/lib/lessonbox-county"
#: What install.sh asks of Debian for a county; stand-ins here, for it is half a gigabyte and nothing is made.
TOOLS = "ffmpeg poppler-utils libreoffice-impress-nogui libreoffice-writer-nogui fonts-wqy-microhei"
STAND_IN = (
    'mkdir -p /tmp/$name/DEBIAN && printf "Package: $name\\nVersion: 1\\nArchitecture: all\\nMaintainer: t\\n'
    'Description: t\\n" >/tmp/$name/DEBIAN/control && dpkg-deb -b /tmp/$name /srv/wh/debs/$name.deb'
)


def test_the_life_of_a_county(made: Callable[[int], tuple[Path, Path]], tmp_path: Path) -> None:
    base, wheels = made(12)
    with booted(base, tmp_path) as machine:
        machine.run(f"mkdir -p /srv/wh/debs; for name in {TOOLS}; do {STAND_IN} || exit 1; done")
        for wheel in wheels.iterdir():
            (machine.top / "srv/wh" / wheel.name).write_bytes(wheel.read_bytes())
        said = install(machine, "--county --name 清河县 --url http://127.0.0.1:8000")
        assert "The county is ready" in said
        county_answers(machine)
        assert machine.show("lessonbox-county.service", "NotifyAccess") == "main"
        assert int(machine.show("lessonbox-county.service", "MemoryMax")) < 1 << 60
        secret = f"find {COUNTY}* -name '*.pem' | sort | xargs sha256sum"
        keys = machine.run(secret)
        assert keys.count(".pem") >= 2, keys
        out = f"runuser -u lessonbox-county -- county enrol --school-code 1 --name 小学 --out {COUNTY}/1.json"
        assert typed(machine, out) and machine.run(f"test -s {COUNTY}/1.json; echo $?") == "0\n"

        # Again, over a command of that name which is somebody else's.
        machine.run("rm /usr/local/bin/county && echo theirs >/usr/local/bin/county")
        assert "/usr/local/bin/county is not of Lesson Box and stays" in install(machine, "--county")
        machine.run("grep theirs /usr/local/bin/county && rm /usr/local/bin/county")
        install(machine, "--county")
        county_answers(machine)
        assert machine.run(secret) == keys

        county_hangs(machine)

        machine.run("cd /srv/src && ./install.sh --county --uninstall")
        left = machine.run("ls /opt /etc/systemd/system /usr/lib/sysusers.d /usr/local/bin")
        assert "lessonbox" not in left and "county" not in left, left
        assert "refused" in machine.run("(echo >/dev/tcp/127.0.0.1/8000)", check=False)
        assert machine.run(secret) == keys and machine.run(f"ls {COUNTY}/county.toml {COUNTY}/1.json")
        install(machine, "--county")
        county_answers(machine)  # what was there is there again
        assert "lessonbox" not in machine.run("systemctl --failed --plain --no-legend")


def county_answers(machine: Machine) -> None:
    def up() -> bool:
        return machine.show("lessonbox-county.service", "ActiveState") == "active"

    machine.wait(up, 120, "the county's server runs")
    assert get(machine, "/healthz", 8000) and "清河县" in get(machine, "/", 8000).decode()


def county_hangs(machine: Machine) -> None:
    """Its pages stand still, its parent does not: systemd begins it anew."""
    folder = "/run/systemd/system/lessonbox-county.service.d"
    machine.run(
        f"mkdir -p {folder} && printf '[Service]\\nWatchdogSec=15\\nTimeoutAbortSec=2\\n' >{folder}/t.conf"
    )
    machine.run("systemctl daemon-reload && systemctl restart lessonbox-county")
    stuck = machine.show("lessonbox-county.service", "MainPID")
    time.sleep(20)
    assert machine.show("lessonbox-county.service", "MainPID") == stuck, "one that answers is let be"
    machine.run(f"for one in $(pgrep -P {stuck}); do kill -STOP $one $(pgrep -P $one); done")

    def another() -> bool:
        now = machine.show("lessonbox-county.service", "MainPID")
        return now not in ("0", stuck) and machine.show("lessonbox-county.service", "ActiveState") == "active"

    machine.wait(another, 90, "another server")
    assert "atchdog" in machine.run("journalctl --no-pager -u lessonbox-county.service | grep -i watchdog")
    machine.run(f"rm -r {folder} && systemctl daemon-reload && systemctl restart lessonbox-county")
    county_answers(machine)


REFUSED = [
    ('ID=debian\nVERSION_ID="11"\n', "amd64", "Debian 12 or 13"),
    ('ID=ubuntu\nVERSION_ID="24.04"\n', "amd64", "Debian 12 or 13"),
    ("ID=debian\nPRETTY_NAME='sid'\n", "amd64", "Debian 12 or 13"),
    ('ID=raspbian\nVERSION_ID="12"\n', "armhf", "64-bit"),
]


@pytest.mark.parametrize(("system", "architecture", "said"), REFUSED)
def test_what_it_cannot_support_is_refused_before_anything_changes(
    system: str, architecture: str, said: str, made: Callable[[int], tuple[Path, Path]], tmp_path: Path
) -> None:
    top, _ = made(12)
    source = top / "srv" / "refused"
    if not source.exists():
        copy_sources(source)
    (tmp_path / "os-release").write_text(system)
    (tmp_path / "dpkg").write_text(f'#!/bin/sh\necho "{architecture}"\n')
    (tmp_path / "dpkg").chmod(0o755)
    script = (
        f"mount --bind {tmp_path}/os-release {top}/etc/os-release"
        f" && mount --bind {tmp_path}/dpkg {top}/usr/bin/dpkg"
        f" && exec chroot {top} /bin/bash /srv/refused/install.sh --yes"
    )
    done = subprocess.run(["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True)
    assert done.returncode == 1 and said in done.stderr, done.stderr
    assert not (top / "opt").is_dir() or not list((top / "opt").iterdir())


def test_a_machine_that_has_one_hears_of_all_that_would_change(
    made: Callable[[int], tuple[Path, Path]], tmp_path: Path
) -> None:
    """The box that it is it stays; older programs are named before they go."""
    top, _ = made(12)
    source = top / "srv" / "dry"
    copy_sources(source)
    (top / "srv" / "wh-dry" / "debs").mkdir(parents=True)
    first = {"box": "b-1", "county": "清河县", "root": {"signed": {}}}
    files = {"here": first, "same": {**first, "claim": "c1"}, "other": {**first, "box": "b-2"}, "none": {}}
    for name, told in files.items():
        (source / f"{name}.json").write_text(json.dumps(told), "utf-8")
    places = f"{top}/opt/lessonbox.d"

    def install_with(name: str) -> subprocess.CompletedProcess[str]:
        script = (
            f"mount -t tmpfs none {top}/opt && mount -t tmpfs none {top}/var/lib"
            f" && mkdir -p {places}/update-1 {places}/20260101-000000-1 {places}/20260202-000000-1"
            f" && ln -s lessonbox.d/20260202-000000-1 {top}/opt/lessonbox"
            f" && mkdir {top}/{DATA} && cp {source}/here.json {top}/{DATA}/enrolment.json"
            f" && exec chroot {top} /bin/bash /srv/dry/install.sh --dry-run --wheelhouse /srv/wh-dry"
            f" --enrolment /srv/dry/{name}.json"
        )
        return subprocess.run(["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True)

    done = install_with("same")
    assert done.returncode == 0 and done.stdout.endswith("Nothing was changed.\n"), done.stderr
    gone = re.findall(r"would run: rm -rf /opt/lessonbox.d/(\S+)", done.stdout)
    assert sorted(gone) == ["20260101-000000-1", "update-1"], "the one that runs stays, for going back"
    for name, said in (("other", "already box b-1 of 清河县"), ("none", "no enrolment file")):
        done = install_with(name)
        assert done.returncode == 1 and said in done.stderr and not done.stdout, (name, done.stderr)
