"""How much may be asked from afar at once: enough to fill the line, little enough that a kill, a newcomer or
a slower rate finds not much under way."""

from __future__ import annotations

from content_sync.adapters.ranges import Answer
from content_sync.formats.hashtree import BLOCK

#: Requests at once, and bytes of one: MOST, or what a faster line brings in `_SHARE` seconds (a request costs
#: some 900 bytes beside its blocks).
CONNECTIONS, MOST, _MOST_FAST, _SHARE = 16, 128 << 10, 1 << 20, 0.1
#: Bytes under way before anything is known of the line, and the least afterwards.
_FIRST, _LEAST = 512 << 10, 128 << 10
#: Seconds of the line's rate that are asked for on top of two round trips.
_AHEAD = 0.1
#: Seconds of a limit that may be saved up.
_BURST = 0.25
#: Bytes a second of a limit for each request at once; one more is under way, for the time that asking takes.
_EACH = 64_000
_MEMORY = 5  # seconds whose best counts as the line's rate
_CALM = 10.0


class Line:
    """The road to the county. Bytes a second; `limit` None: no limit, 0: nothing at all."""

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self.under_way = self.requests = 0
        self._most = CONNECTIONS
        self._seconds: list[float] = []
        self._total, self._total_at = 0, 0.0
        self._round_trip: float | None = None
        self._grown, self._growing = _FIRST, True  # at the start: doubled with each round trip
        self._calm_at = 0.0
        self._allowed, self._allowed_at = 0.0, 0.0  # bytes that may be asked for under the limit
        self.wave = 0.0  # seconds that a request takes, smoothed

    @property
    def rate(self) -> float:
        """The best second of the last few."""
        return max(self._seconds, default=0.0)

    def measure(self, now: float, total: int) -> None:
        """`total` bytes came from afar since the start."""
        if now - self._total_at < 1.0:
            return
        if self._total_at:
            self._seconds = [
                *self._seconds[1 - _MEMORY :],
                (total - self._total) / (now - self._total_at),
            ]
        self._total, self._total_at = total, now
        if self._most < CONNECTIONS and now >= self._calm_at:
            self._most, self._calm_at = self._most + 1, now + _CALM

    def _ahead(self) -> int:
        """Bytes that may be under way."""
        most = self._grown if self._growing else _LEAST
        if self._round_trip is not None:
            most = max(most, int(self.rate * (2 * self._round_trip + _AHEAD)) + _LEAST)
        return most

    @property
    def pace(self) -> int:
        """Bytes a second that one answer should come with, so that it makes no queue on the line; 0: as it
        likes."""
        return self.limit // self._shares(self.limit) if self.limit else 0

    def _shares(self, limit: int) -> int:
        return min(self._most, max(1, limit // _EACH))

    def room(self, now: float) -> int:
        """Bytes that one more request may ask for now: whole blocks, 0: none."""
        if self.limit == 0 or self.requests >= self._most:
            return 0
        if self.limit is not None:
            more = self.limit * (now - self._allowed_at)
            self._allowed = min(self._allowed + more, self.limit * _BURST)
            self._allowed_at = now
            if self._allowed < 0 or self.requests > self._shares(self.limit):
                return 0
            return max(BLOCK, min(MOST, self.pace) // BLOCK * BLOCK)
        ahead = self._ahead()
        if self.under_way and self.under_way + BLOCK > ahead:
            return 0
        most = min(_MOST_FAST, max(MOST, int(self.rate * _SHARE)))
        return max(BLOCK, min(most, ahead // 4) // BLOCK * BLOCK)

    def asked(self, size: int, now: float) -> None:
        """A request went out."""
        self.requests += 1
        self.under_way += size
        self._allowed -= size if self.limit else self._allowed

    def ended(self, answer: Answer, now: float) -> None:
        """A request ended, in whatever way."""
        self.requests -= 1
        self.under_way -= answer.wanted.length
        if answer.error == "busy":  # the county has no thread for so many
            self._most, self._calm_at = max(1, self._most // 2), now + _CALM
        if answer.first is not None:
            best = self._round_trip
            # It creeps up slowly, so that another line is learnt too.
            self._round_trip = answer.first if best is None else min(answer.first, best * 1.01)
        if not answer.error and self._round_trip is not None:
            # A request that takes longer than a new connection needs to speed up waits for others: the line
            # is full.
            self._growing = self._growing and answer.seconds < 6 * self._round_trip + 0.5
            self._grown = min(self._grown + answer.came, CONNECTIONS * MOST)
        if not answer.error:
            self.wave = answer.seconds if not self.wave else 0.8 * self.wave + 0.2 * answer.seconds
