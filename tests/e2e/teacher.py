"""A board that never rests, for test_kill: opens lessons, reports use, compares each byte it gets.

`python -m tests.e2e.teacher URL SOURCE_TREE SEED`, until its stdin ends; then one line of JSON on stdout.
"""

from __future__ import annotations

import http.client
import json
import random
import secrets
import sys
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from content_sync.formats.hashtree import identify

_DOWN = (OSError, http.client.HTTPException)


class Teacher:
    """One board after another, each opening one resource, while the programs die and come back."""

    def __init__(self, url: str, tree: Path, seed: int) -> None:
        self._host = urlsplit(url).netloc
        self._chance = random.Random(seed)
        self._sources = {root_of(path): path for path in tree.rglob("*") if path.is_file()}
        self.visits: list[
            list[str]
        ] = []  # board, lesson, resource of each visit whose opening and closing got 2xx
        self.wrong: list[str] = []
        self.ranges = self.whole = self.failed = self.bytes = 0

    def ask(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, bytes, bool]:
        """Status, body, whether the body is whole (a killed server cuts it). Raises _DOWN."""
        connection = http.client.HTTPConnection(self._host, timeout=10)
        try:
            connection.request(method, path, body, {name: value for name, value in headers.items() if value})
            answer = connection.getresponse()
            try:
                return answer.status, answer.read(), True
            except http.client.IncompleteRead as cut:
                return answer.status, cut.partial, False
        finally:
            connection.close()

    def lessons(self) -> list[dict[str, Any]]:
        """The lessons that are present; none while the box does not answer."""
        status, body, whole = self.ask("GET", "/api/v1/lessons?state=present")
        found: list[dict[str, Any]] = json.loads(body)["lessons"] if status == 200 and whole else []
        return [lesson for lesson in found if lesson["resources"]]

    def look(self, resource: dict[str, Any]) -> None:
        """Ask for a random range, or the whole file, and compare what came, however little."""
        data = self._sources[resource["root"]].read_bytes()
        start = self._chance.randrange(len(data))
        end = min(len(data), start + self._chance.choice((1, 1000, 100_000, 1_000_000)))
        span: str = f"bytes={start}-{end - 1}"
        if self._chance.random() < 0.1:
            start, end, span = 0, len(data), ""
        status, body, whole = self.ask("GET", resource["url"], Range=span)
        if status not in (200, 206):
            self.wrong.append(f"status {status} for {resource['url']}: {body[:200]!r}")
        elif body != data[start : start + len(body)] or (whole and len(body) != end - start):
            self.wrong.append(f"bytes {start}-{end} of {resource['url']}: {len(body)} came, whole: {whole}")
        self.ranges += 1
        self.whole += whole
        self.bytes += len(body)

    def report(self, board: str, event: dict[str, Any], stop: threading.Event) -> bool:
        """Say one event until it is answered with 2xx."""
        body = json.dumps({"events": [event]}).encode()
        while True:
            try:
                status, _, _ = self.ask("POST", "/api/v1/events", body, Cookie=f"board={board}")
                if 200 <= status < 300:
                    return True
            except _DOWN:
                self.failed += 1
            if stop.wait(0.1):
                return False

    def visit(self, lesson: dict[str, Any], stop: threading.Event) -> None:
        """Open one resource on a new board, look at it, close it."""
        resource = self._chance.choice(lesson["resources"])
        board, visit = secrets.token_hex(8), secrets.token_hex(8)
        event = {"lesson": lesson["id"], "resource": resource["id"], "visit": visit, "position": None}
        begun = time.monotonic()
        for kind in ("open", "ping", "close"):
            at = int((time.monotonic() - begun) * 1000)
            if not self.report(board, event | {"type": kind, "at": at}, stop):
                return
            if kind != "close":
                try:
                    self.look(resource)
                except _DOWN:
                    self.failed += 1
        self.visits.append([board, lesson["id"], resource["id"]])

    def work(self, stop: threading.Event) -> None:
        """Until told to stop."""
        while not stop.is_set():
            try:
                lessons = self.lessons()
            except _DOWN:
                self.failed += 1
                lessons = []
            if lessons:
                self.visit(self._chance.choice(lessons), stop)
            stop.wait(0.05)


def root_of(path: Path) -> str:
    """A file's root, in hex."""
    with path.open("rb") as stream:
        return identify(stream)[0].root


def main() -> int:
    """Work until stdin ends, then tell."""
    teacher, stop = Teacher(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])), threading.Event()
    thread = threading.Thread(target=teacher.work, args=(stop,))
    thread.start()
    sys.stdin.read()
    stop.set()
    thread.join()
    told = ("visits", "wrong", "ranges", "whole", "failed", "bytes")
    print(json.dumps({name: getattr(teacher, name) for name in told}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
