"""A batch of cards: which school comes next, which box it got, what was begun and not finished.

Kept in `flash/` of the county's data folder, so that a batch goes on after any stop: the enrolment file of a
school lies there from before its card is written until the card is done.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from content_sync.adapters.files import (
    lock_file,
    make_folder,
    read_capped,
    remove,
    storage_errors,
    sync_folder,
    write_durable,
)
from content_sync.errors import LessonBoxError, NotFoundError
from content_sync.formats.boxconfig import CONFIG_NAME, ENROLMENT_NAME, BoxConfig, dump_boxconfig
from content_sync.formats.canonical import check_format, dump, load, need
from content_sync.formats.enrolment import MAX_ENROLMENT, Enrolment, check_box_id, parse_enrolment
from content_sync.formats.hotspot import hotspot_name, hotspot_password
from content_sync.settings import Settings
from county import setup
from county.config import CountyPaths
from county.flash.image import Image
from county.flash.schools import School
from county.flash.target import Target
from county.flash.write import Bar, on_card, write_image

FORMAT = "lessonbox-cards/1"
_MAX_CARDS = 64 << 20


class Card(Struct, frozen=True):
    """A finished card: the school's code, the box it makes, when, the card's make, and name and password of
    the box's own Wi-Fi (for the door's label; empty: an open one)."""

    school: str
    box: str
    at: int
    card: str
    wifi: tuple[str, str] | None = None


class Batch:
    """The cards of a county."""

    def __init__(self, paths: CountyPaths, settings: Settings) -> None:
        self._paths, self._settings = paths, settings
        self._folder = paths.data / "flash"
        self.cards: list[Card] = []

    @classmethod
    @contextmanager
    def open(cls, paths: CountyPaths, settings: Settings) -> Iterator[Batch]:
        """The only program that does. Raises BusyError, FormatError, StorageError."""
        batch = cls(paths, settings)
        with storage_errors("flash"):
            make_folder(batch._folder, 0o700)
        with lock_file(batch._folder / "lock", "another `county flash` is writing cards of this county"):
            batch.cards = batch._read()
            yield batch

    def _read(self) -> list[Card]:
        try:
            obj = load(read_capped(self._folder / "cards.json", _MAX_CARDS), _MAX_CARDS)
        except NotFoundError:
            return []
        check_format(obj, FORMAT)
        return [_card(entry) for entry in need(obj, "cards", list)]

    def done(self, code: str) -> list[Card]:
        """Finished cards of a school."""
        return [card for card in self.cards if card.school == code]

    def card_of(self, box: str) -> Card | None:
        """The finished card of a box."""
        return next((card for card in self.cards if card.box == box), None)

    def left(self, schools: tuple[School, ...]) -> list[School]:
        """Schools without a finished card, in the list's order; one that was begun comes first."""
        left = [school for school in schools if not self.done(school.code)]
        return sorted(left, key=lambda school: not self._kept(school.code).exists())

    def _kept(self, code: str) -> Path:
        return self._folder / f"{hashlib.sha256(code.encode()).hexdigest()[:16]}.enrolment.json"

    def enrolment(self, school: School, now: int) -> Enrolment:
        """The school's next box: the one that was begun, with what the list says now, else a new one; durable
        in library.db and here.

        Raises what `setup.enrol` raises.
        """
        kept = self._kept(school.code)
        with suppress(NotFoundError):
            return setup.enrol_as_now(self._paths, self._settings, school.name, school.collections, kept, now)
        return setup.enrol(
            self._paths, self._settings, school.code, school.name, school.collections, kept, now
        )

    def flash(
        self,
        image: Image,
        school: School,
        target: Target,
        card: str,
        now: int,
        bar: Bar,
        ssh: tuple[str, ...],
    ) -> Enrolment:
        """Write one card for a school, whole or not bootable, and remember it. Raises CardError, TargetError,
        FormatError, DiskFullError, StorageError."""
        enrolment = self.enrolment(school, now)
        keys = tuple(dict.fromkeys((*school.config.ssh_keys, *ssh)))
        kept = self._kept(school.code)
        files: Mapping[str, bytes] = {
            CONFIG_NAME: dump_boxconfig(replace(school.config, ssh_keys=keys)),
            ENROLMENT_NAME: read_capped(kept, MAX_ENROLMENT),
        }
        write_image(image, target, files, bar)
        self.cards.append(Card(school.code, enrolment.box, now, card, own_wifi(school.config, enrolment)))
        write_durable(self._folder / "cards.json", _dump(self.cards), 0o600)
        with storage_errors(kept.name):
            remove(kept)
            sync_folder(self._folder)
        return enrolment

    def lying_in(self, target: Target) -> Card | None:
        """The finished card that is still in the reader: its box has not started from it yet."""
        data = on_card(target, ENROLMENT_NAME, MAX_ENROLMENT)
        try:
            return None if data is None else self.card_of(parse_enrolment(data).box)
        except LessonBoxError:
            return None


def own_wifi(config: BoxConfig, enrolment: Enrolment) -> tuple[str, str] | None:
    """What the box calls its Wi-Fi where there is no network, and its password, as the box itself finds
    them; None where it makes none, or one whose password only the box knows."""
    password = config.hotspot_password or hotspot_password(enrolment)
    if config.hotspot == "off" or not password:
        return None
    return config.hotspot_name or hotspot_name(enrolment.box), "" if password == "open" else password


def address(config: BoxConfig) -> str:
    """What a board types to reach the box."""
    if config.address:
        number = config.address.partition("/")[0]
        return f"http://[{number}]/" if ":" in number else f"http://{number}/"
    return named(config)


def named(config: BoxConfig) -> str:
    """The address that devices with mDNS know."""
    return f"http://{config.host_name or 'lesson'}.local/"


def _dump(cards: list[Card]) -> bytes:
    rows = [
        {"school": one.school, "box": one.box, "at": one.at, "card": one.card}
        | ({"wifi": list(one.wifi)} if one.wifi else {})
        for one in cards
    ]
    return dump({"format": FORMAT, "cards": rows})


def _card(entry: dict[str, Any]) -> Card:
    wifi = entry.get("wifi")
    told = isinstance(wifi, list) and len(wifi) == 2 and all(isinstance(text, str) for text in wifi)
    return Card(
        need(entry, "school", str),
        check_box_id(entry.get("box")),
        need(entry, "at", int),
        need(entry, "card", str),
        (wifi[0], wifi[1]) if told and wifi is not None else None,
    )
