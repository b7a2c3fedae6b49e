"""Opens a box's state.db; apart from all that sync needs, which costs each start of a machine a second."""

from __future__ import annotations

import logging
import secrets
from pathlib import Path

from content_sync.adapters.files import sync_folder
from content_sync.adapters.sqlite_writer import State
from content_sync.errors import DamagedDataError
from content_sync.formats.enrolment import Enrolment

_log = logging.getLogger(__name__)


def open_state(path: Path) -> State:
    """state.db; a damaged one is put aside and begun anew: sync rebuilds it from objects/ and trust/."""
    try:
        return State(path)
    except DamagedDataError as error:
        aside = path.with_name(f"{path.name}.damaged-{secrets.token_hex(4)}")
        _log.warning("%s; it is put aside as %s and built again", error.what, aside.name)
        for suffix in ("-wal", "-shm", ""):
            old = path.with_name(path.name + suffix)
            if old.exists():
                old.rename(aside.with_name(aside.name + suffix))
        sync_folder(path.parent)
        return State(path)


def introduce(state: State, enrolment: Enrolment) -> None:
    """Pages say whose box this is before the county's first envelope does, which may never come by a line."""
    if state.meta("school_name") is None:
        school = {"school_code": enrolment.school_code, "school_name": enrolment.school_name}
        state.set_meta({"box": enrolment.box, **school})
