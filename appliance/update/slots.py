"""Which of the two systems counts: the record on the partition `state`, and what may become of it
(formats.md 18).

Pure but for `Slots`. images/initramfs/lessonbox-slots does the same in shell, before there is any Python.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from content_sync.adapters.files import storage_errors
from content_sync.errors import FormatError, StorageError

FORMAT = "lessonbox-slots/1"
SECTOR = 512
#: Where the two copies lie: not in one erase block of a card's.
PLACES = (0, 1 << 20)
#: How often a system that has not proved itself is begun. Twice: a cut of power is no fault of its own.
TRIES = 2
_WHY = re.compile(r"[a-z-]{1,32}")
_FIELDS = 9


class State(Struct, frozen=True):
    """`confirmed` is the slot that counts; `trial` the other one while it is to be tried (else empty),
    `tries` how often it still may, `number` its update's. `floor`: the highest number that was ever
    confirmed; `refused`: the last number that failed, and `why`."""

    serial: int = 0
    confirmed: str = "a"
    trial: str = ""
    tries: int = 0
    number: int = 0
    floor: int = 0
    refused: int = 0
    why: str = ""

    @property
    def other(self) -> str:
        """The slot that an update is written to."""
        return other(self.confirmed)


def other(slot: str) -> str:
    """The other of the two."""
    return "b" if slot == "a" else "a"


# What may happen


def cleared(state: State) -> State:
    """Nothing is to be tried: before the other slot is written to."""
    return replace(state, serial=state.serial + 1, trial="", tries=0, number=0)


def armed(state: State, number: int) -> State:
    """The other slot holds this update, every byte read back: the next start tries it."""
    return replace(state, serial=state.serial + 1, trial=state.other, tries=TRIES, number=number)


def begun(state: State) -> State:
    """A start of the trial, counted before it begins."""
    return replace(state, serial=state.serial + 1, tries=state.tries - 1)


def confirmed(state: State) -> State:
    """The system that is tried has shown that it works."""
    return replace(
        cleared(state), confirmed=state.trial, floor=max(state.floor, state.number), refused=0, why=""
    )


def refused(state: State, why: str) -> State:
    """It did not: this number is not tried again."""
    return replace(cleared(state), refused=state.number, why=why)


def at_start(state: State, own: str, reached: bool) -> tuple[State, str]:
    """What the initramfs of slot `own`, which the loader has loaded, does: the state that it makes durable
    first, and the slot that it goes on with. `reached`: by a jump from the other one's initramfs."""
    if reached or own != state.confirmed:
        # The loader's own pointer is behind (a cut of power while it was set), or this is the trial itself.
        return state, own if reached else state.confirmed
    if not state.trial:
        return state, own
    if state.tries <= 0:
        return refused(state, "start"), own
    return begun(state), state.trial


# How it is written


def encode(state: State) -> bytes:
    """One sector."""
    words = (
        FORMAT, state.serial, state.confirmed, state.trial or "-", state.tries, state.number, state.floor,
        state.refused, state.why or "-",
    )  # fmt: skip
    text = " ".join(map(str, words))
    line = f"{text} {hashlib.sha256(text.encode()).hexdigest()}\n".encode()
    return line.ljust(SECTOR, b"\0")


def decode(sector: bytes) -> State | None:
    """The state of a sector; None when it holds none, or one that was cut off."""
    try:
        line = sector[:SECTOR].partition(b"\n")[0].decode("ascii")
    except UnicodeDecodeError:
        return None
    text, _, digest = line.rpartition(" ")
    words = text.split(" ")
    if len(words) != _FIELDS or words[0] != FORMAT:
        return None
    if hashlib.sha256(text.encode()).hexdigest() != digest:
        return None
    numbers = (words[1], *words[4:8])
    if not all(word.isdecimal() and len(word) <= 16 for word in numbers) or words[2] not in ("a", "b"):
        return None
    if words[3] not in ("-", other(words[2])) or not (words[8] == "-" or _WHY.fullmatch(words[8])):
        return None
    serial, tries, number, floor, failed = map(int, numbers)
    trial, why = words[3].strip("-"), "" if words[8] == "-" else words[8]
    return State(serial, words[2], trial, tries, number, floor, failed, why)


class Slots:
    """The partition (or a file, in tests). Of two whole copies the higher serial counts, and a new one
    takes the place of the lower: whenever power goes, one of them is whole."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> State:
        """Raises StorageError, and FormatError when neither copy is whole."""
        with storage_errors(self._path.name), self._path.open("rb") as stream:
            found = [state for place in PLACES if (state := self._at(stream.fileno(), place)) is not None]
        if not found:
            raise FormatError(f"{self._path.name} holds no record of the box's two systems")
        return max(found, key=lambda state: state.serial)

    def write(self, state: State) -> None:
        """Durably, and read back. `state` must have a higher serial than what `read` gives.

        Raises StorageError.
        """
        with storage_errors(self._path.name):
            descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
            try:
                place = PLACES[state.serial % len(PLACES)]
                os.pwrite(descriptor, encode(state), place)
                os.fsync(descriptor)
                os.posix_fadvise(descriptor, place, SECTOR, os.POSIX_FADV_DONTNEED)
                written = self._at(descriptor, place)
            finally:
                os.close(descriptor)
        if written != state:
            raise StorageError(f"{self._path.name} does not keep what is written to it")

    def _at(self, descriptor: int, place: int) -> State | None:
        return decode(os.pread(descriptor, SECTOR, place))
