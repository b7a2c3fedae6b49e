"""A Debian of its own, booted: root by mmdebstrap, systemd-nspawn around it, commands in its namespaces."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: Debian's number, its name and its Python.
RELEASES = {12: ("bookworm", "3.11"), 13: ("trixie", "3.13")}
#: What a machine has on which install.sh is run, with its two packages: the roots have no Internet.
PACKAGES = ("systemd", "systemd-sysv", "dbus", "udev", "python3-venv", "avahi-daemon", "procps", "e2fsprogs")
_SOURCES = ("pyproject.toml", "README.md", "LICENSE", "install.sh", "systemd", "images/requirements.txt")


def sources(release: str) -> str:
    """This machine's own places for Debian's packages, for another release of Debian. They are written
    nowhere but into roots that are thrown away."""
    here = re.search(r"^VERSION_CODENAME=(\w+)$", Path("/etc/os-release").read_text("utf-8"), re.MULTILINE)
    assert here, "this is no Debian"
    suites = {here[1] + tail: release + tail for tail in ("", "-updates", "-security")}
    found = []
    for path in [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]:
        if path.suffix == ".sources":
            for stanza in re.split(r"\n\s*\n", path.read_text("utf-8")):
                fields = dict(re.findall(r"^([A-Za-z-]+):[ \t]*(.*)$", stanza, re.MULTILINE))
                if (
                    set(fields.get("Suites", "-").split()) <= suites.keys()
                    and "deb" in fields["Types"].split()
                ):
                    names = [suites[name] for name in fields["Suites"].split()]
                    found += [f"deb {uri} {name} main" for uri in fields["URIs"].split() for name in names]
        elif path.suffix == ".list" and path.is_file():
            for line in path.read_text("utf-8").splitlines():
                words = re.sub(r"\[.*?\]", "", line).split()
                if len(words) > 3 and words[0] == "deb" and words[2] in suites:
                    found.append(f"deb {words[1]} {suites[words[2]]} main")
    assert found, "no place for Debian's packages is set on this machine"
    return "\n".join(dict.fromkeys(found)) + "\n"


def make_root(number: int, folder: Path) -> Path:
    """A Debian in a folder."""
    release, _ = RELEASES[number]
    top, list_file = folder / f"debian{number}", folder / f"debian{number}.list"
    list_file.write_text(sources(release), "utf-8")
    options = ["--variant=minbase", "--aptopt=APT::Install-Recommends 0", f"--include={','.join(PACKAGES)}"]
    command = ["mmdebstrap", "--quiet", *options, release, str(top), str(list_file)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return top


def make_wheelhouse(number: int, folder: Path) -> Path:
    """The wheels for that Debian."""
    _, python = RELEASES[number]
    made = folder / f"wheels{python}"
    subprocess.run(
        [str(ROOT / "images" / "wheelhouse"), str(made), "--python", python],
        check=True,
        env={**os.environ, "PYTHON": sys.executable},
        stdout=subprocess.DEVNULL,
    )
    return made


def wheel_of(version: str, folder: Path) -> Path:
    """Lesson Box itself, under another version."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        source = Path(place) / "source"
        source.mkdir()
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, source)
        for name in ("appliance", "content_sync", "county"):
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        project = source / "pyproject.toml"
        text = project.read_text("utf-8")
        project.write_text(re.sub(r'(?m)^version = ".*"$', f'version = "{version}"', text), "utf-8")
        command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(source)]
        subprocess.run(command, check=True)
    return next(folder.glob(f"lessonbox-{version}-*.whl"))


def copy_sources(to: Path) -> None:
    """What a clone has that install.sh needs."""
    to.mkdir(parents=True)
    for name in _SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, to / name)
        else:
            (to / name).parent.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, to / name)


class Machine:
    """A root that was booted; commands run in it as root."""

    def __init__(self, top: Path, log: Path) -> None:
        self.top, self.log = top, log
        self._begin()

    def _begin(self) -> None:
        options = [
            "-q",
            "-D",
            str(self.top),
            "--register=no",
            "--keep-unit",
            "--private-network",
            "--console=pipe",
            "--capability=CAP_SYS_RAWIO",  # the doctor's, for SMART
        ]
        # systemd 256 and later boot on a machine with control groups of the old kind only when told.
        told = "SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1"
        with self.log.open("ab") as out:
            self._nspawn = subprocess.Popen(
                ["env", told, "systemd-nspawn", *options, f"--setenv={told}", "-b"],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=subprocess.STDOUT,
            )

        def up() -> bool:
            said = self.log.read_text("utf-8", "replace")[-3000:]
            assert self._nspawn.poll() is None, f"it did not boot:\n{said}"
            state = self.run("systemctl is-system-running", check=False).strip() if self.pid else ""
            return state in ("running", "degraded")

        self.wait(up, 120, "booted")

    def boots_again(self) -> None:
        """It was told to start again: systemd-nspawn says so by ending with 133 and leaves it to its unit."""
        assert self._nspawn.wait(120) == 133, self.log.read_text("utf-8", "replace")[-3000:]
        self._begin()

    def cut(self) -> None:
        """The power goes and comes again."""
        self.end()
        self._begin()

    @property
    def pid(self) -> int:
        """Its first process, as this machine numbers it; 0 before there is one."""
        with suppress(OSError, ValueError, IndexError):
            children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children").read_text().split()
            for child in children:
                if Path(f"/proc/{child}/comm").read_text().strip() in ("systemd", "init"):
                    return int(child)
        return 0

    def enter(self, *spaces: str) -> list[str]:
        """How a command of this machine begins that runs inside."""
        return ["nsenter", "-t", str(self.pid), *(spaces or ("-m", "-u", "-i", "-n", "-p", "-r", "-w"))]

    def run(self, script: str, check: bool = True, user: str = "") -> str:
        """What a line of shell said, errors too."""
        shell = ["/bin/bash", "-c", script]
        command = [*self.enter(), *(["runuser", "-u", user, "--", *shell] if user else shell)]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"},
        )
        said = done.stdout + done.stderr
        assert not check or done.returncode == 0, f"{script}\nended with {done.returncode}:\n{said[-4000:]}"
        return said

    def show(self, unit: str, what: str) -> str:
        """A property of a unit."""
        return self.run(f"systemctl show -P {what} {shlex.quote(unit)}").strip()

    def wait(self, check: Callable[[], object], seconds: float, what: str) -> None:
        """Until it is so."""
        deadline = time.monotonic() + seconds
        while not check():
            assert time.monotonic() < deadline, f"{what}: not within {seconds} s\n{self._journal()}"
            time.sleep(0.2)

    def _journal(self) -> str:
        if not self.pid:
            return self.log.read_text("utf-8", "replace")[-3000:]
        return self.run("journalctl --no-pager -n 80; systemctl --no-pager --failed", check=False)

    def ask(self, words: Sequence[str]) -> subprocess.Popen[str]:
        """Start this machine's Python where only the network is the other's."""
        command = [*self.enter("-n"), sys.executable, *words]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)

    def end(self) -> None:
        """Pull the plug. Its first process would live on without systemd-nspawn, and all others with it."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
        self._nspawn.kill()
        self._nspawn.wait()


@contextmanager
def booted(base: Path, folder: Path) -> Iterator[Machine]:
    """A copy of a root, booted; gone afterwards."""
    top = folder / "root"
    subprocess.run(["cp", "-a", "--reflink=auto", str(base), str(top)], check=True)
    copy_sources(top / "srv" / "src")
    machine = Machine(top, folder / "console.log")
    try:
        yield machine
    finally:
        machine.end()
        shutil.rmtree(top, ignore_errors=True)
