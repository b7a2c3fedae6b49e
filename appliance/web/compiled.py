"""Templates as Jinja has compiled them, kept from one start to the next: compiling those of home took a
quarter of a start, and every other page's would be compiled while the first teacher waits.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

import jinja2
from jinja2.bccache import Bucket, BytecodeCache

_SUM = 32


#: Where Jinja's environment is set up: its settings and filters go into the code.
_SET_UP = ("app.py", "i18n.py")


def _made_by() -> bytes:
    """A name for what compiles."""
    sha = hashlib.sha256(jinja2.__version__.encode())
    for name in _SET_UP:
        sha.update((Path(__file__).parent / name).read_bytes())
    return sha.digest()


class Compiled(BytecodeCache):
    """A file a template in a folder that may be deleted at any time. A file is believed only whole (it begins
    with the SHA-256 of the rest): power may go while it is written, and broken code ends a program."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._made_by = folder, _made_by()

    def get_cache_key(self, name: str, filename: str | None = None) -> str:
        """By the template's name alone: an update lies in another folder, and leaves nothing behind here."""
        return hashlib.sha256(name.encode()).hexdigest()[:32]

    def get_source_checksum(self, source: str) -> str:
        """Changes with the template and with what compiles it."""
        return hashlib.sha256(self._made_by + source.encode()).hexdigest()

    def load_bytecode(self, bucket: Bucket) -> None:
        """See BytecodeCache."""
        with suppress(OSError):
            held = (self._folder / bucket.key).read_bytes()
            if hashlib.sha256(held[_SUM:]).digest() == held[:_SUM]:
                bucket.bytecode_from_string(held[_SUM:])

    def dump_bytecode(self, bucket: Bucket) -> None:
        """See BytecodeCache; where nothing can be written, nothing is kept."""
        code = bucket.bytecode_to_string()
        with suppress(OSError):
            self._folder.mkdir(exist_ok=True)
            fresh = self._folder / f"{bucket.key}.{os.getpid()}"
            fresh.write_bytes(hashlib.sha256(code).digest() + code)
            fresh.replace(self._folder / bucket.key)
