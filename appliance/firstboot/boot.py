"""What a box does with its card at each start: no typing, and nothing on the card keeps it from coming up.

The config becomes files below /run, made anew at each start: there is no half-configured state that could be
kept. Two things last: eight settings in box.toml, which go when they go from the card (lasting.py), and the
enrolment, whose order is checkpoint, then act: the data folder is complete and durable before the claim is
erased from the card. Every step may be cut off by a power cut and is simply done again at the next start.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path
from typing import Protocol

from msgspec import Struct, field
from msgspec.structs import replace

from appliance.config import BoxPaths, load_settings, read_enrolment
from appliance.firstboot import console, lasting, network
from appliance.firstboot.wiring import introduce, open_state
from appliance.health.problems import keep, kept
from appliance.setup import blank, enrol, enrolments
from content_sync.adapters.files import (
    edited,
    make_durable,
    move_durable,
    read_capped,
    remove,
    storage_error,
    sync_folder,
    write_at,
    write_durable,
)
from content_sync.errors import (
    ConfigError,
    EnrolError,
    LessonBoxError,
    NotFoundError,
    OtherSchoolError,
    SpareClaimError,
    StorageError,
    UnenrolledError,
)
from content_sync.formats.boxconfig import (
    CONFIG_NAME,
    ENROLMENT_NAME,
    MAX_CONFIG,
    BoxConfig,
    Read,
    parse_boxconfig,
)
from content_sync.formats.enrolment import Enrolment, of_one_county
from content_sync.formats.preseed import OTHER_SYSTEMS_SCRIPT, PRESEED_NAMES, filled, parse_preseed
from content_sync.ports import Problem

#: No file of anybody else ends so: what does was renamed here, and is erased when a start was cut off.
_USED = ".json.lessonbox-used"
WELL, TROUBLE, NOT_ENROLLED = "well", "trouble", "not enrolled"


class Host(Protocol):
    """What the machine does for it (host.py)."""

    def as_user(self) -> AbstractContextManager[None]:
        """Inside, files are made as the programs' user, whose folder the data is."""

    def writable(self, folder: Path) -> AbstractContextManager[None]:
        """Inside, the file system that holds `folder` can be written to, if it can be."""

    def sticks(self) -> Sequence[Path]:
        """What is mounted where people plug sticks in."""

    def host_name(self, name: str) -> None:
        """The machine's name until the next start. Raises OSError."""

    def configured(self, wifi: bool, ssh: bool) -> None:
        """Let the machine's own programs read what was written below /run."""

    def show(self, state: str) -> None:
        """WELL, TROUBLE or NOT_ENROLLED by a lamp, where there is one."""


class Boot(Struct):
    """One start. `card`: the FAT partition's folder; `run`: /run; `now`: unix seconds, as far as known."""

    card: Path
    data: Path
    run: Path
    host: Host
    now: int
    problems: list[Problem] = field(default_factory=list)

    @property
    def own(self) -> Path:
        """Where what is made for other programs lies."""
        return self.run / "lessonbox-firstboot"

    def work(self) -> list[Problem]:
        """All of it; what was wrong. Raises nothing that has a name."""
        read = Read(legible=False)
        with self._step("disk"):
            self._disks()
        with self._step("card"):
            read = self._read()
        config = read.config
        with self._step("enrolment"):
            self._enrolment()
        with self._step("folder"), self.host.as_user():
            paths = BoxPaths(self.data)
            if not paths.enrolment.exists():
                blank(self.data)
            with closing(open_state(paths.state_db)) as state:
                if paths.enrolment.exists():
                    introduce(state, read_enrolment(paths))
        with self._step("settings"), self.host.as_user():
            lasting.settle(BoxPaths(self.data), read)
        with self._step("network"):
            self._network(config)
        with self._step("name"):
            if config.host_name:
                self.host.host_name(config.host_name)
        with self._step("pages"), self.host.as_user():
            keep(BoxPaths(self.data).firstboot, self.problems)
        with self._step("console"):
            self._say(config)
        return self.problems

    def enrolled(self) -> None:
        """After enrolment by the page: what was wrong with the claim is settled, and the lamp follows. Raises
        StorageError, DiskFullError."""
        path = BoxPaths(self.data).firstboot
        self.problems = [Problem(**told) for told in kept(path) if told["subject"] != "enrolment"]
        with self.host.as_user():
            keep(path, self.problems)
        self._show(True)

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        try:
            yield
        except LessonBoxError as error:
            self._wrong(error.code, name, _WORDS[name], error.what)
        except OSError as error:
            named = storage_error(error, name)
            self._wrong(named.code, name, _WORDS[name], named.what)

    def _wrong(self, code: str, subject: str, chinese: str, english: str) -> None:
        self.problems.append(Problem(code, subject, f"{chinese}（{english}）", self.now))

    def _disks(self) -> None:
        """What kept the box's data from its place (an image's own start says it; formats.md 10)."""
        try:
            told = read_capped(self.run / "lessonbox" / "trouble", MAX_CONFIG)
        except NotFoundError:
            return
        for line in told.decode("utf-8", "replace").splitlines():
            chinese, _, english = line.partition("\t")
            self._wrong(StorageError.code, "disk", chinese, english)

    def _read(self) -> Read:
        """What lessonbox.conf says, and where it says nothing what Raspberry Pi Imager was told."""
        own = self._parsed(CONFIG_NAME, parse_boxconfig) or Read(legible=False)
        for name in PRESEED_NAMES:
            other = self._parsed(name, parse_preseed)
            if other is not None:
                return replace(own, config=filled(own.config, other.config))
        if (self.card / OTHER_SYSTEMS_SCRIPT).exists():
            self._wrong(
                ConfigError.code,
                OTHER_SYSTEMS_SCRIPT,
                f"Imager 按别的系统写的 {OTHER_SYSTEMS_SCRIPT}，课箱不用；请改 {CONFIG_NAME}",
                f"Imager wrote {OTHER_SYSTEMS_SCRIPT} for another system; it is not used: edit {CONFIG_NAME}",
            )
        return own

    def _parsed(self, name: str, parse: Callable[[bytes], Read]) -> Read | None:
        try:
            found = parse(read_capped(self.card / name, MAX_CONFIG))
        except NotFoundError:
            return None
        except LessonBoxError as error:
            self._wrong(error.code, name, _WORDS["card"], error.what)
            return None
        for wrong in found.problems:
            self._wrong(ConfigError.code, name, wrong.text("zh", name), wrong.text("en", name))
        return found

    # The claim

    def _enrolment(self) -> None:
        paths = BoxPaths(self.data)
        for folder in (self.card, *self.host.sticks()):
            for left in sorted(folder.glob(f"*{_USED}")):
                if stat.S_ISREG(left.lstat().st_mode):
                    self._erase(left, lambda path: path)
        enrolled = read_enrolment(paths) if paths.enrolment.exists() else None
        if enrolled is None:
            path = self._chosen()
            if path is None:
                return
            content = read_capped(path, 1 << 20)
            with self.host.as_user():
                enrolled = enrol(self.data, content)
        self._spent(enrolled)

    def _chosen(self) -> Path | None:
        """The one enrolment file there is: the card's, else a stick's."""
        for folder in (self.card, *self.host.sticks()):
            found = enrolments(folder)
            if len({enrolment.box for _, enrolment in found}) > 1:
                raise EnrolError(
                    f"{len(found)} enrolment files in {folder.name}: choose one on the page /enrol"
                )
            if found:
                return found[0][0]
        if (self.card / ENROLMENT_NAME).exists():
            raise EnrolError(f"{ENROLMENT_NAME} on the card is damaged, or its claim was used")
        return None

    def _spent(self, enrolled: Enrolment) -> None:
        """Erase the claim wherever it still lies. A card written anew for the same school has one that is not
        needed: the box whose key is here goes on. Another school's claim stays and is told."""
        for folder in (self.card, *self.host.sticks()):
            for path, there in enrolments(folder):
                own = (there.box, there.county) == (enrolled.box, enrolled.county)
                if own and enrolled.claim in (None, there.claim):
                    self._erase(path, lambda path: path.with_name(path.stem + _USED))
                elif folder != self.card:
                    continue  # a stick may be for any box
                elif own:
                    raise EnrolError(f"{path.name} on the card has another claim than {enrolled.box} had")
                elif there.school_code == enrolled.school_code and of_one_county(there, enrolled):
                    self._erase(path, lambda path: path.with_name(path.stem + _USED))
                    said = f"{there.box} of the card is not needed: {enrolled.box} goes on"
                    self._wrong(SpareClaimError.code, path.name, "这个学校原来的课箱接着用", said)
                else:
                    raise OtherSchoolError(
                        f"the card is for {there.school_code} {there.school_name} of {there.county}, what is"
                        f" kept here is {enrolled.school_code} {enrolled.school_name} of {enrolled.county}"
                    )

    def _erase(self, path: Path, aside: Callable[[Path], Path]) -> None:
        """Renamed first, so that a half-erased file is never taken for a damaged one."""
        with self.host.writable(path.parent):
            used = aside(path)
            if used != path:
                move_durable(path, used)
            with edited(used) as descriptor:
                write_at(descriptor, bytes(os.fstat(descriptor).st_size), 0)
                make_durable(descriptor)
            remove(used)
            sync_folder(used.parent)

    # What the config says

    def _network(self, config: BoxConfig) -> None:
        with suppress(LessonBoxError):  # box.toml has the card's word by now, or a later one of the page
            config = replace(config, lan_gateway=load_settings(self.data).text("lan_gateway"))
        files = network.networks(config)
        for name in (network.CABLE, network.WIFI):
            self._lay(self.run / "systemd" / "network" / name, files.get(name, ""))
        keys = "".join(f"{key}\n" for key in config.ssh_keys)
        self._lay(self.own / "wpa.conf", network.wpa(config), 0o600)
        self._lay(self.own / "authorized_keys", keys)
        self.host.configured(bool(config.wifi_name), bool(keys))

    def _lay(self, path: Path, text: str, mode: int = 0o644) -> None:
        if text:
            write_durable(path, text.encode(), mode)
        elif path.exists():
            remove(path)
            sync_folder(path.parent)

    # Telling

    def _say(self, config: BoxConfig) -> None:
        enrolled = BoxPaths(self.data).enrolment.exists()
        said = console.troubles_of([{"code": p.code, "message": p.message} for p in self.problems])
        school = f"{config.school_code} {config.school_name}"
        if enrolled:
            found = read_enrolment(BoxPaths(self.data))
            school = f"{found.school_code} {found.school_name}"
        else:
            self._lay(self.own / console.SCHOOL, school)
            said.append(console.Trouble(UnenrolledError.code, "no enrolment yet"))
        try:
            console.tell(self.run, console.issue(school, config.host_name, enrolled, said))
        finally:
            self._show(enrolled)

    def _show(self, enrolled: bool) -> None:
        wrong = any(problem.code != SpareClaimError.code for problem in self.problems)
        self.host.show(TROUBLE if wrong else WELL if enrolled else NOT_ENROLLED)


_WORDS = {
    "disk": "硬盘的情况读不出来",
    "card": "卡上的设置读不出来",
    "enrolment": "登记文件没有用上",
    "folder": "课箱的数据文件夹没有准备好",
    "settings": "卡上的设置没有写进课箱",
    "network": "网络没有按卡上的设置配好",
    "name": "主机名没有改成",
    "pages": "这些问题没有写到页面上",
    "console": "这些问题没有写到屏幕上",
}
