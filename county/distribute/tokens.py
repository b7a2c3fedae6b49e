"""Who may use tracker and web seed: the county's token secret, and which tokens are void (formats.md 8, 10).

`tokens.json` is written by commands, one at a time (a lock), and read by a running `serve` when it changes.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from msgspec import Struct

from content_sync.adapters.files import (
    lock_file,
    make_folder,
    read_capped,
    storage_errors,
    sync_folder,
    write_durable,
)
from content_sync.errors import FormatError, NotFoundError
from content_sync.formats import token as tokens
from content_sync.formats.canonical import check_format, dump, load, need
from county.config import CountyPaths

FORMAT = "lessonbox-tokens/1"
_SECRET_BYTES = 32
_MAX_FILE = 16 << 20
T = TypeVar("T")


def token_secret(paths: CountyPaths) -> bytes:
    """The secret that every token is made of; made the first time, by whichever program comes first. Raises
    StorageError, DiskFullError."""
    path = paths.keys / "token.secret"
    if not path.is_file():
        made = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        write_durable(made, secrets.token_bytes(_SECRET_BYTES), 0o600)
        with storage_errors(path.name):
            try:
                os.link(made, path)  # never replaces one that another program made meanwhile
            except FileExistsError:
                pass
            made.unlink()
            sync_folder(path.parent)
    return read_capped(path, 1024)


class _Held(Struct, frozen=True):
    """The file: the holders' numbers where they are not 1, who is shut out, and the guests' names."""

    numbers: dict[str, int]
    shut: set[str]
    guests: dict[str, str]


def _read(path: Path) -> _Held:
    try:
        data = read_capped(path, _MAX_FILE)
    except NotFoundError:
        return _Held({}, set(), {})
    value = load(data, _MAX_FILE)
    check_format(value, FORMAT)
    numbers, shut, guests = (
        need(value, "numbers", dict),
        need(value, "shut", list),
        need(value, "guests", dict),
    )
    if not all(type(number) is int and number > 0 for number in numbers.values()):
        raise FormatError(f"{path.name}: 'numbers' is damaged")
    if not all(isinstance(text, str) for text in (*shut, *guests.values())):
        raise FormatError(f"{path.name}: 'shut' or 'guests' is damaged")
    return _Held(numbers, set(shut), guests)


class Tokens:
    """Makes and checks tokens. `known`: whether a box was enrolled here. Safe for threads."""

    def __init__(self, paths: CountyPaths, known: Callable[[str], bool]) -> None:
        self._path, self._lock, self._known = paths.data / "tokens.json", paths.work / "tokens.lock", known
        self._secret = token_secret(paths)
        self._read: tuple[Any, _Held] = None, _Held({}, set(), {})

    def _held(self) -> _Held:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return _Held({}, set(), {})
        mark = (found.st_ino, found.st_mtime_ns, found.st_size)
        if self._read[0] != mark:
            self._read = mark, _read(self._path)
        return self._read[1]

    def number(self, holder: str) -> int:
        """Which of a holder's tokens it is to use. Raises FormatError, StorageError."""
        return self._held().numbers.get(holder, 1)

    def holder(self, token: str) -> str | None:
        """Whose token this is; None when it holds no more, or never did. Raises FormatError, StorageError."""
        if not tokens.is_token(token):
            return None
        holder, held = tokens.holder_of(token), self._held()
        if holder in held.shut or not tokens.proves(token, self._secret, held.numbers.get(holder, 1)):
            return None
        known = holder in held.guests if holder.startswith("g-") else self._known(holder)
        return holder if known else None

    def give(self, holder: str) -> str:
        """The holder's token of now."""
        return tokens.make_token(tokens.holder_key(self._secret, holder), holder, self.number(holder))

    def guests(self) -> dict[str, str]:
        """Every guest: holder -> name."""
        return dict(self._held().guests)

    def guest(self, name: str) -> str:
        """The guest of this name, a new one if there is none; its holder's id. Durable."""

        def add(held: _Held) -> str:
            for holder, known in held.guests.items():
                if known == name:
                    return holder
            holder = "g-" + secrets.token_hex(8)
            held.guests[holder] = name
            return holder

        return self._change(add)

    def renew(self, holder: str) -> int:
        """Make a holder's tokens void and let it in again; the number of the next one. A box learns it by its
        next envelope."""

        def rise(held: _Held) -> int:
            held.numbers[holder] = held.numbers.get(holder, 1) + 1
            held.shut.discard(holder)
            return held.numbers[holder]

        return self._change(rise)

    def shut_out(self, holder: str) -> None:
        """No token of this holder holds any more, until `renew`."""
        self._change(lambda held: held.shut.add(holder))

    def _change(self, change: Callable[[_Held], T]) -> T:
        with storage_errors(self._lock.parent.name):
            make_folder(self._lock.parent)
        with lock_file(self._lock, "another command changes tokens"):
            held = _read(self._path)
            result = change(held)
            made = {
                "format": FORMAT,
                "numbers": held.numbers,
                "shut": sorted(held.shut),
                "guests": held.guests,
            }
            write_durable(self._path, dump(made), 0o600)
        return result
