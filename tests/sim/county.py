"""The county of the simulation: releases as a content manager makes them, and the real door for reports."""

from __future__ import annotations

import random
import zlib
from pathlib import Path

from content_sync.formats.hashtree import BLOCK
from content_sync.formats.report import UsageSession, parse_batch
from county.library import BoxRow
from county.receive.database import Reader, Writer, create
from county.receive.door import Door
from county.receive.envelopes import Envelopes
from tests.unit.small_county import NOW, SmallCounty

CLAIM = "c" * 32


class SimCounty(SmallCounty):
    """A SmallCounty whose boxes are enrolled and whose envelopes are made when they are asked for."""

    def open(self, boxes: list[str], chance: random.Random) -> None:
        """Enrol boxes and publish the first release."""
        self.chance, self.now = chance, NOW
        rows = {box: BoxRow(box, box, f"{box} 小学", CLAIM, ("*",), NOW) for box in boxes}
        path = self.folder / "reports.db"
        create(path)
        self.writer, self.reader = Writer(path), Reader(path)
        self.door = Door(self.writer, rows.get)
        self.envelopes = Envelopes(self.writer, self.reader, rows.get, self.repository.sign_envelope)
        for number in range(8):
            self.noise(f"第{number}课", *self._sizes())
        self.publish(self.now)
        #: Every state of the library that was ever released: title -> the bytes of its files.
        self.released = [dict(self.lessons)]

    def _sizes(self) -> list[int]:
        return [self.chance.randrange(1, 4 * BLOCK) for _ in range(self.chance.choice((1, 1, 2)))]

    def change(self, week: int) -> None:
        """A week's release: a lesson comes, one changes, one moves under another title, at times one goes."""
        self.noise(f"第{7 + week}课", *self._sizes())
        changed = self.chance.choice(sorted(self.lessons))
        self.noise(changed, *self._sizes(), seed=week)
        moved = self.chance.choice(sorted(self.lessons))
        self.lessons[f"{moved}（新）"] = self.lessons.pop(moved)
        if len(self.lessons) > 9:
            del self.lessons[self.chance.choice(sorted(self.lessons))]
        self.publish(self.now)
        self.released.append(dict(self.lessons))

    def page(self, url: str) -> bytes | None:
        """What the county answers; an envelope is made anew when there is something to say."""
        found = super().page(url)
        if found is None and "/metadata/envelopes/" in url:
            return self.envelopes.current(Path(url).stem, self.now)
        return found

    def carried(self, box: str) -> dict[str, bytes]:
        """All that a stick or a carousel brings to a box, by names that say nothing."""
        files = [path.read_bytes() for path in sorted(self.public.rglob("*")) if path.is_file()]
        files += [data for lesson in self.lessons.values() for data in lesson.values()]
        files += [data for root, data in self.content.items() if data.startswith(b"{")]
        files.append(self.envelopes.current(box, self.now))
        return {f"rx/{number:05d}.dat": data for number, data in enumerate(files)}

    def sessions(self, box: str) -> list[UsageSession]:
        """What a box told, as it stands in its batches."""
        rows = self.reader.all("SELECT payload FROM batch WHERE box = ?", (box,))
        return [session for row in rows for session in parse_batch(zlib.decompress(row[0])).sessions]

    def count(self, box: str) -> int:
        """Sessions of a box in the county's figures."""
        return int(self.reader.all("SELECT count(*) FROM session WHERE box = ?", (box,))[0][0])
