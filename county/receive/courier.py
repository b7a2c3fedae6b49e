"""Reports that a person carries in, and the acknowledgement to carry back (formats.md 5, 7)."""

from __future__ import annotations

import json
from pathlib import Path

from msgspec import Struct, field

from content_sync.adapters.files import read_capped, write_durable
from content_sync.errors import FormatError, LessonBoxError
from county.receive.door import Door
from county.receive.envelopes import Envelopes

MAX_FILE = 256 << 20


class Imported(Struct):
    """What became of the files. `refused`: (file and line, error); `written`: envelopes beside the files."""

    stored: int = 0
    repeated: int = 0
    refused: list[tuple[str, LessonBoxError]] = field(default_factory=list)
    written: list[Path] = field(default_factory=list)


def import_files(files: list[Path], door: Door, envelopes: Envelopes, now: int) -> Imported:
    """Take in each batch of each file: a file is one batch, or one batch a line. `now`: unix seconds.

    What is wrong with one does not stop the others. Raises StorageError, DiskFullError when our own disk
    refuses: what was stored until then stays stored, and importing again repeats nothing.
    """
    result = Imported()
    for file in files:
        boxes = set()
        for where, body in _batches(file, result):
            try:
                receipt = door.receive(body, "courier", now)
            except LessonBoxError as error:
                if error.retryable:
                    raise
                result.refused.append((where, error))
                continue
            boxes.add(receipt.box)
            if receipt.new:
                result.stored += 1
            else:
                result.repeated += 1
        for box in sorted(boxes):
            path = file.with_name(f"{box}.envelope.json")
            write_durable(path, envelopes.current(box, now))
            if path not in result.written:
                result.written.append(path)
    return result


def _batches(file: Path, result: Imported) -> list[tuple[str, bytes]]:
    try:
        data = read_capped(file, MAX_FILE).removeprefix(b"\xef\xbb\xbf").strip()
        if not data:
            raise FormatError("the file is empty")
    except LessonBoxError as error:
        result.refused.append((str(file), error))
        return []
    if _is_json(data):
        return [(str(file), data)]
    return [
        (f"{file}, line {number}", line) for number, line in enumerate(data.splitlines(), 1) if line.strip()
    ]


def _is_json(data: bytes) -> bool:
    """Whether the whole is one value, however many lines it takes."""
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True
