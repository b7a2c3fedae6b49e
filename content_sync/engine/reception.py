"""How well a carousel is heard: parcels of each cycle, what was damaged, how many passes are still needed."""

from __future__ import annotations

import json
import math
from typing import Any

from content_sync.formats.parcel import MAX_PARCELS, Head
from content_sync.ports import Clock, Stash

#: Cycles whose parcels are remembered one by one.
_CYCLES = 4
_MOST_PASSES = 99
_OVERHEAD = 150


class Reception:
    """Counted in the stash's facts. Cycles are told apart by carousel and number."""

    def __init__(self, stash: Stash, clock: Clock) -> None:
        self._stash, self._clock = stash, clock
        kept: dict[str, Any] = json.loads(stash.fact("reception") or "{}")
        self.decoded, self.spoilt = kept.get("decoded", 0), kept.get("spoilt", 0)
        self.forgotten = kept.get("forgotten", 0)
        self._parcels, self._damaged = kept.get("parcels", 0), kept.get("damaged", 0)
        self._last, self.release = kept.get("last", 0), kept.get("release", 0)
        #: name -> [parcels of the cycle, heard (bits), heard whole (bits)]; the latest last
        self._cycles: dict[str, list[int]] = {
            name: [of, int(heard, 16), int(whole, 16)] for name, of, heard, whole in kept.get("cycles", [])
        }

    def read(self, head: Head | None, records: int | None, damaged: int) -> None:
        """A parcel was read: so many records, so many bytes that belong to none. `records` None: it was one
        of several in a file."""
        if head is None and not records:
            return
        self._last = int(self._clock.wall())
        # The head stands twice in a whole parcel.
        whole = head is not None and not damaged and (records is None or records == head.records + 2)
        if head is None:
            self._parcels += 1
            self._damaged += 1
            return
        self.release = head.release
        name = f"{head.carousel.hex()} {head.cycle}"
        of, heard, good = self._cycles.pop(name, [head.parcels, 0, 0])
        bit = 1 << min(head.number, MAX_PARCELS)
        if not heard & bit:
            self._parcels += 1
            self._damaged += not whole
        elif whole and not good & bit:
            self._damaged = max(0, self._damaged - 1)
        self._cycles[name] = [of, heard | bit, good | bit if whole else good]
        while len(self._cycles) > _CYCLES:
            del self._cycles[next(iter(self._cycles))]

    def save(self) -> None:
        """Write the counts; the stash makes them durable."""
        kept = {
            "decoded": self.decoded,
            "spoilt": self.spoilt,
            "forgotten": self.forgotten,
            "parcels": self._parcels,
            "damaged": self._damaged,
            "last": self._last,
            "release": self.release,
            "cycles": [[name, of, f"{h:x}", f"{g:x}"] for name, (of, h, g) in self._cycles.items()],
        }
        self._stash.set_fact("reception", json.dumps(kept))

    def status(
        self, missing: int, held: int, lacks: int, wanted: int, waits: bool, overhead: int = _OVERHEAD
    ) -> dict[str, object]:
        """For state.db. `missing`: chunks begun and not whole; `held`: bytes that wait; `lacks` and `wanted`:
        blocks of the packages that are not whole; `waits`: their description has not come."""
        if not self._parcels:
            return {}
        name, (of, heard, _) = list(self._cycles.items())[-1] if self._cycles else ("", [0, 0, 0])
        return {
            "parcels": self._parcels,
            "damaged": self._damaged,
            "chunks": {"decoded": self.decoded, "missing": missing, "spoilt": self.spoilt},
            "cycle": int(name.split(" ")[1]) if name else None,
            "heard": heard.bit_count(),
            "of": of,
            "passes": round(sum(h.bit_count() / n for n, h, _ in self._cycles.values() if n), 2),
            "passes_needed": self._needed(lacks, wanted, waits, overhead),
            "waiting_bytes": held,
            "forgotten": self.forgotten,
            "release": self.release,
            "last": self._last,
        }

    def _needed(self, lacks: int, wanted: int, waits: bool, overhead: int) -> int | None:
        """Further passes until nothing lacks, if they are heard as the last one was; None when it can't be
        told."""
        if not lacks and not waits:
            return 0
        if not self._cycles or waits:
            return None
        of, heard, _ = list(self._cycles.values())[-1]
        passed = heard.bit_length()  # the parcels that have been sent by now
        share = heard.bit_count() / max(passed, 1)
        gain = share * (lacks + wanted * overhead / 1000)
        return min(_MOST_PASSES, max(1, math.ceil(lacks / max(gain, 1e-9))))
