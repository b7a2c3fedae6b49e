"""Byte ranges of files by HTTP (BEP 19 web seed), several at a time, by threads of its own."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass

from content_sync.adapters.http import HttpFetcher
from content_sync.errors import LessonBoxError, NetworkError

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Range:
    """Bytes `first` … `first + length - 1` of a URL; `owner` and `key` are the asker's own."""

    owner: str
    key: tuple[int, int]
    url: str
    first: int
    length: int


class Ranges:
    """Ask, then collect answers; `wake` is called from a thread when there is one."""

    def __init__(self, workers: int, wake: Callable[[], None]) -> None:
        self._wake, self._most = wake, workers
        self._asked: queue.SimpleQueue[Range | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[tuple[Range, bytes | None]] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._closed = False

    def ask(self, wanted: Range) -> None:
        """Queue a range."""
        if len(self._threads) < self._most:
            thread = threading.Thread(target=self._work, name="web seed", daemon=True)
            self._threads.append(thread)
            thread.start()
        self._asked.put(wanted)

    def answers(self) -> list[tuple[Range, bytes | None]]:
        """What came since the last call; None: it could not be had."""
        found = []
        while not self._answers.empty():
            found.append(self._answers.get())
        return found

    def _work(self) -> None:
        fetcher = HttpFetcher()
        while (wanted := self._asked.get()) is not None and not self._closed:
            try:
                data: bytes | None = _fetch(fetcher, wanted)
            except LessonBoxError:
                data = None
            except Exception:  # whatever a server makes the library do, the asker gets an answer
                _log.exception("%s", wanted.url)
                data = None
            self._answers.put((wanted, data))
            self._wake()
        fetcher.close()

    def close(self) -> None:
        """End the threads; an answer that is under way is dropped."""
        self._closed = True
        for _ in self._threads:
            self._asked.put(None)


def _fetch(fetcher: HttpFetcher, wanted: Range) -> bytes:
    last = wanted.first + wanted.length - 1
    headers = {"Range": f"bytes={wanted.first}-{last}", "Accept-Encoding": "identity"}
    answer = fetcher.ask("GET", wanted.url, wanted.length + 1, headers=headers)
    stated = answer.headers.get("content-range", "").split("/")[0].strip()
    if answer.status != 206 or stated != f"bytes {wanted.first}-{last}" or len(answer.body) != wanted.length:
        raise NetworkError(f"{wanted.url} does not give the range that was asked")
    return answer.body
