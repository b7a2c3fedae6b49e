"""Builds the board's program from a box's data folder."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from appliance.asked import PROGRAMS, ask_restart
from appliance.config import BoxPaths
from appliance.disks import Disk, can_move, usb_disks
from appliance.helped import Helper
from appliance.network.by_page import NetworkByPage
from appliance.school.database import School
from appliance.school.tally import Tally
from appliance.school.uploads import Uploads
from appliance.setup import SetupByPage
from appliance.sticks import Stick, mounted
from appliance.usage.recorder import PatientRecorder, Recorder
from appliance.web.app import Board, create_app
from appliance.web.captive import Captive
from appliance.web.classes import counted
from appliance.web.flash import find_ruffle
from appliance.web.pin import Pin
from appliance.web.search.index import Index, Indexer
from appliance.web.server import WSGI
from content_sync.adapters.clock import SystemClock
from content_sync.adapters.neighbours import FileNeighbours
from content_sync.adapters.sqlite import StateReader
from content_sync.adapters.streaming import StreamSign
from content_sync.settings import Settings

#: Threads that are never given to streams, so that pages always have some.
_RESERVE = 8
#: Most boards that wait in a thread for what a phone asks of them, out of what streams and pages leave.
_WAITERS = 40


class _Programs:
    """web.machine.Machine: by word to sync and agent; `again`: web itself begins anew."""

    def __init__(self, paths: BoxPaths, folders: Sequence[str], again: Callable[[], None]) -> None:
        self._paths, self._folders, self._helper, self._again = paths, folders, Helper(), again

    def helped(self) -> bool:
        return self._helper.there()

    def reboot(self) -> None:
        self._helper.ask("reboot")

    def power_off(self) -> None:
        self._helper.ask("poweroff")

    def unmount(self, name: str) -> None:
        self._helper.ask("unmount", name)

    def sticks(self) -> list[Stick]:
        return mounted(self._folders)

    def disks(self) -> list[Disk] | None:
        return usb_disks() if can_move() else None

    def make_disk(self, token: str) -> None:
        self._helper.ask("make-disk", token)

    def restart(self) -> None:
        for program in PROGRAMS:
            ask_restart(self._paths.incoming, program)
        self._again()


def build(
    data: Path,
    settings: Settings,
    courseware_port: int,
    unreadable: Callable[[str], None],
    again: Callable[[], None],
) -> WSGI:
    """The application of a box, in the process that serves it: its threads don't survive a fork. Raises
    SetupError."""
    paths = BoxPaths(data)
    threads = settings.number("threads")
    streams = max(1, min(settings.number("streams"), threads - _RESERVE, threads * 3 // 4))
    reader, clock, index = StateReader(paths.state_db), SystemClock(), Index(paths.search_db)
    Indexer(paths.search_db, reader, index).start()

    school = School(paths.school_db)
    tally = Tally(school, paths.usage_db, paths.outbox_db, clock, counted(reader))
    tally.start()

    def records() -> Recorder:
        return Recorder(paths.usage_db, clock, consumed)

    def consumed() -> int:
        from appliance.usage.outbox import consumed_through  # once an hour

        return consumed_through(paths.outbox_db, paths.usage_db)

    def diagnosis() -> bytes:
        from appliance.health import bundles  # rare, and heavy

        return bundles.newest(data, int(clock.wall()))

    def status() -> dict[str, Any]:
        from appliance.status import read_status  # a page of its own

        return read_status(data, reader=reader)

    return create_app(
        Board(
            objects=paths.objects,
            reader=reader,
            index=index,
            records=PatientRecorder(records, clock),
            clock=clock,
            status=status,
            streams=streams,
            waiters=max(0, min(_WAITERS, threads - streams - _RESERVE)),
            language=settings.text("language"),
            courseware_port=courseware_port,
            partial=paths.partial,
            packages=paths.trust / "targets" / "packages",
            unreadable=unreadable,
            sign=StreamSign(paths.streaming, clock),
            received=paths.received,
            incoming=paths.incoming,
            pin=Pin(paths.pin, clock),
            machine=_Programs(paths, settings.texts("stick_folders"), again),
            enrolling=SetupByPage(data, settings.texts("stick_folders")),
            diagnosis=diagnosis,
            neighbours=FileNeighbours(paths.neighbours, "", clock).near,
            wifi=settings.text("wifi_name"),
            network=NetworkByPage(data),
            captive=Captive(settings.text("host_name"), clock.monotonic),
            school=school,
            uploads=Uploads(paths.uploads, settings.number("reserve") << 20, clock.monotonic),
            tally=tally,
            class_goal=settings.number("class_goal"),
            compiled=paths.compiled,
            ruffle=find_ruffle(data / "ruffle", Path(sys.prefix) / "share" / "lessonbox" / "ruffle"),
        )
    )
