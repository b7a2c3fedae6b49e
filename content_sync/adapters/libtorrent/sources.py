"""Which of a package's HTTP sources to ask: who fails rests, who lies is banned for a while, and the last
one is never banned."""

from __future__ import annotations

from collections.abc import Sequence

from content_sync.adapters.ranges import Answer

#: Seconds that a source rests after it could not be reached, and that one is banned that gave wrong bytes.
REST, BAN = 10.0, 600.0
#: Seconds without any answer after which HTTP counts as blocked.
DOWN = 20.0


class Sources:
    """The county's addresses, the first that answers being the one that is asked."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._urls = tuple(urls)
        self._until: dict[str, float] = {}
        self._gone: dict[tuple[str, str], float] = {}
        self._good_at: float | None = None
        self.wrong: dict[str, int] = {}  # blocks that did not fit their hash, by source

    def pick(self, infohash: str, now: float) -> str | None:
        """The address to ask for a package now; None: all rest."""
        for url in self._urls:
            if self._until.get(url, 0.0) <= now and self._gone.get((url, infohash), 0.0) <= now:
                return url
        return None

    def took(self, answer: Answer, now: float, others: bool) -> None:
        """A request ended. `others`: whether there is another road, such as peers."""
        url, infohash = answer.wanted.source, answer.wanted.owner
        if answer.came and answer.error != "wrong":
            self._good_at = now
            self.wrong.pop(url, None)
        if answer.error == "wrong":
            self.wrong[url] = self.wrong.get(url, 0) + 1
            last = not others and all(
                self._until.get(other, 0.0) > now for other in self._urls if other != url
            )
            self._until[url] = now + (REST if last else BAN)
        elif answer.error == "gone":
            self._gone[url, infohash] = now + REST
        elif answer.error == "lost" and not answer.came and self._silent(now, answer.seconds):
            self._until[url] = now + REST
        elif answer.error == "busy":
            self._until[url] = now + 1.0

    def _silent(self, now: float, seconds: float) -> bool:
        """Whether nothing came for so long: one lost connection of many is no reason to rest."""
        return self._good_at is None or now - self._good_at >= seconds

    def down(self, now: float) -> bool:
        """Whether no source has given anything for long, though it was asked. Counted from the first call."""
        if not self._urls:
            return True
        if self._good_at is None:
            self._good_at = now
        return now - self._good_at > DOWN and any(until > now - REST for until in self._until.values())
