"""What lists and the API show of a lesson that is here, kept ready in search.db: reading twenty lesson.json
and writing their hundred resources takes longer than finding them.

It is of one package (`present`); state.db says which one teachers see now, and for any other it is read anew.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from content_sync.adapters.sqlite import StateReader
from content_sync.formats.outline import Outline, Part
from content_sync.ports import LessonRow

#: Root -> how often it was found damaged, and how often lately.
Repairs = Mapping[str, tuple[int, int]]
_UNSAFE = re.compile(r"[^A-Za-z0-9_.~-]+")
_ROOT = re.compile(r'"root":"([0-9a-f]{64})"')
#: A text as JSON writes it.
json_text = json.encoder.encode_basestring
#: What the resources of most lessons have in common; an index keeps its own, to read it by.
COMMON = (
    '朗读.mp3图片.png字帖教案.docx"audio/mpeg""picture""image/png""image/jpeg""other""guide""导学案""interactive"'
    '"互动课件""text/html""size":.htmlindex.html","kind":"quiz","title":"课堂练习","media_type":"application/zip"'
    '"application/xml"试题练习.xml"kind":"recorded","title":"课堂实录"{"id":"r3","kind":"plan","title":"教案",'
    '"media_type":"application/pdf","size":1"url":"/content/%E6%95%99%E6%A1%88%E7%BB%83%E4%B9%A0%20.pptx"},'
    '{"id":"r2","kind":"courseware","title":"课件","media_type":"application/pdf","size":2,"root":"","url":"/content/'
    '/%E8%AF%BE%E4%BB%B6.pdf"},{"id":"r1","kind":"video","title":"微课","media_type":"video/mp4","size":3,"root":"'
    '","url":"/content//%E8%A7%86%E9%A2%91.mp4"}'
).encode()


def address(root: str, path: str, times: int = 0) -> str:
    """Address of one file on the pages' port. A browser keeps what it got for ever, so a file that had to be
    repaired so many `times` has another one than before."""
    again = f"?again={times}" if times else ""
    return f"/content/{root}/{_quoted(path.rpartition('/')[2])}{again}"


def _quoted(name: str) -> str:
    """As urllib's quote, in a tenth of its time: a list of lessons names a hundred files."""
    return _UNSAFE.sub(lambda run: "%" + run[0].encode().hex("%").upper(), name)


def resource_text(part: Part, repaired: Repairs) -> str:
    """A resource as the API shows it, in JSON: `root` and `url` are those of the file that opens, `size` is
    of all its files.
    """
    times = repaired.get(part.root, (0, 0))[0]
    return (
        f'{{"id":{json_text(part.id)},"kind":{json_text(part.kind)},"title":{json_text(part.title)},'
        f'"media_type":{json_text(part.media_type)},"size":{part.size},"root":{json_text(part.root)},'
        f'"url":{json_text(address(part.root, part.path, times))}}}'
    )


def resources_text(outline: Outline, repaired: Repairs) -> str:
    """All resources of a lesson, with commas between."""
    return ",".join([resource_text(part, repaired) for part in outline.resources])


def packed(outline: Outline) -> bytes:
    """`resources_text` of files that were never repaired, as the index holds it."""
    making = zlib.compressobj(6, zdict=COMMON)
    return making.compress(resources_text(outline, {}).encode()) + making.flush()


class Shown(NamedTuple):
    """What the index holds of a lesson for lists: the package that it is of, the syllables of a short title,
    the kinds of its resources in order, and its resources for the API, packed with `common`."""

    id: str
    present: str | None
    toned: str
    kinds: tuple[str, ...]
    resources: bytes
    common: bytes

    @property
    def text(self) -> str:
        """What `packed` was given. Raises zlib.error, UnicodeDecodeError when it is damaged."""
        return zlib.decompressobj(zdict=self.common).decompress(self.resources).decode()


def _known(rows: Iterable[LessonRow], shown: Mapping[str, Shown]) -> tuple[dict[str, Shown], list[LessonRow]]:
    """Of lessons that are here: those that the index has as teachers see them, and the others."""
    here = [row for row in rows if row.present is not None]
    known = {row.id: its for row in here if (its := shown.get(row.id)) and its.present == row.present}
    return known, [row for row in here if row.id not in known]


def held(
    reader: StateReader, rows: Iterable[LessonRow], shown: Mapping[str, Shown]
) -> dict[str, Outline | Shown]:
    """What a list of lessons shows of those that are here."""
    known, others = _known(rows, shown)
    return {**known, **(reader.outlines(others) if others else {})}


def texts(
    reader: StateReader, rows: Iterable[LessonRow], shown: Mapping[str, Shown], repaired: Repairs
) -> dict[str, str]:
    """The resources of lessons that are here as the API shows them, with commas between."""
    known, others = _known(rows, shown)
    found: dict[str, str] = {}
    for row in rows:
        if row.id in known:
            try:
                text = known[row.id].text
            except (zlib.error, UnicodeDecodeError):
                text = ""
            if text and not (repaired and any(root in repaired for root in _ROOT.findall(text))):
                found[row.id] = text
            else:
                others.append(row)
    anew = reader.outlines(others) if others else {}
    return found | {identity: resources_text(one, repaired) for identity, one in anew.items()}
