"""What the root side believes: its own copy of the county's root, and an update's manifest that it signed.

The data folder belongs to the programs; whoever broke into one of them could put another county's root there.
So root keeps the first root that it saw, where only root writes, and goes on along the chain of roots alone.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from content_sync.adapters.files import read_capped, storage_errors, write_durable
from content_sync.adapters.tuf import Trust
from content_sync.core.trust import MAX_ROOT
from content_sync.errors import LessonBoxError, NotFoundError, StorageError, TooBigError
from content_sync.formats.canonical import dump
from content_sync.formats.enrolment import MAX_ENROLMENT, parse_enrolment
from content_sync.formats.update import MAX_SIGNED, UPDATE_TYPE, Update, parse_update

#: What sync leaves for root: the signed manifest of an update whose every file is here.
OFFER = "update/offer.json"
#: And its word that nobody teaches; it holds until that second of that boot.
QUIET, QUIET_FORMAT = "update/quiet.json", "lessonbox-quiet/1"


def read_foreign(path: Path, cap: int) -> bytes:
    """A plain file in somebody else's folder: no link is followed, no pipe waited for. Raises NotFoundError,
    StorageError, TooBigError."""
    with storage_errors(path.name):
        descriptor = open_foreign(path)
        with open(descriptor, "rb") as stream:
            data = stream.read(cap + 1)
    if len(data) > cap:
        raise TooBigError(f"{path.name} has more than {cap} bytes")
    return data


def open_foreign(path: Path) -> int:
    """The descriptor of such a file. Raises OSError, StorageError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise StorageError(f"{path.name} is no file")
    return descriptor


def anchor(home: Path, data: Path) -> Trust:
    """The newest root that root itself has followed to; the enrolment's, the first time. Raises NotFoundError
    before the box is enrolled, FormatError, SignatureError, StorageError."""
    place = home / "root.json"
    try:
        trust = Trust.from_root(read_capped(place, MAX_ROOT))
    except NotFoundError:
        first = dump(parse_enrolment(read_foreign(data / "enrolment.json", MAX_ENROLMENT)).root)
        trust = Trust.from_root(first)
        write_durable(place, first, 0o600)
    while True:
        name = f"{trust.root_version + 1}.root.json"
        try:
            found = read_foreign(data / "trust" / "metadata" / name, MAX_ROOT)
            trust.update_root(found)
        except LessonBoxError:
            return trust  # none further that is signed as it must be
        write_durable(place, found, 0o600)


def read_offer(home: Path, data: Path) -> Update | None:
    """The update that sync offers, signed with the county's root key; None when it offers none.

    Raises SignatureError, FormatError, StorageError.
    """
    try:
        signed = read_foreign(data / OFFER, MAX_SIGNED)
        trust = anchor(home, data)
    except NotFoundError:
        return None
    return parse_update(trust.verify_signed(signed, UPDATE_TYPE, MAX_SIGNED, "root"))
