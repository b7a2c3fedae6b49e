"""A box that holds 2,000 lessons and has nothing to do: memory (PSS) and CPU of sync, and the bytes a day of
polling the county and of announces.

The lessons are real (`county publish`), of two small files each: what idling costs goes
by their number. Memory and CPU are those of some minutes after everything is settled. Bytes are what a
forwarder between box and county carries, both ways, with an estimate of TCP/IP headers; the day's are those
of one poll times the polls of a day, and the announces of the minutes scaled to a day.
"""

from __future__ import annotations

import selectors
import socket
import statistics
import threading
import time
from contextlib import closing, suppress
from pathlib import Path

import psutil

from appliance.config import BOX_SETTINGS
from bench.measures import Row
from content_sync.adapters.sqlite import StateReader
from tests.e2e.programs import Box, County, set_settings, wait_until

_DAY = 86_400
#: What a TCP connection costs beside its bytes: handshake and end, and acknowledgements (about 40 B each).
_CONNECTION, _SEGMENT = 7 * 40, 1448
#: And an announce, all in all.
_ANNOUNCE = 1_200


class Counter:
    """Forwards to the county and counts the bytes of both ways, and an estimate of their TCP/IP headers."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.bytes = self.connections = self.requests = 0
        self.announces = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self.bytes += _CONNECTION
            threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        with suppress(OSError):
            self._pass_on(client)

    def _pass_on(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._target) as server, selectors.DefaultSelector() as ready:
            ready.register(client, selectors.EVENT_READ, server)
            ready.register(server, selectors.EVENT_READ, client)
            while True:
                for key, _ in ready.select():
                    source: socket.socket = key.fileobj  # type: ignore[assignment]
                    data = source.recv(1 << 16)
                    if not data:
                        return
                    segments = -(-len(data) // _SEGMENT)
                    self.bytes += len(data) + 80 * segments
                    if source is client:
                        self.requests += data.count(b"HTTP/1.1\r\n")
                        self.announces += data.count(b"GET /announce")
                    key.data.sendall(data)

    def close(self) -> None:
        """Listen no more."""
        self._listener.close()


def measure(work: Path, quick: bool) -> list[Row]:
    """2,000 lessons, two minutes (quick: 200, 40 s). Filling the box takes some minutes more."""
    lessons, seconds = (200, 40.0) if quick else (2_000, 120.0)
    _make_tree(work / "tree", lessons)
    county = County(work / "county")
    county.place.run(["county", "publish", "--data", str(county.data), str(work / "tree")], timeout=1800)
    box = Box(work / "school", county.enrol(work / "school.json"))
    # From the county's folder, as from a disc: over the line it would take much longer.
    box.place.run(["appliance", "import", "--data", str(box.data), str(county.data)], timeout=1800)
    return idle(county, box, lessons, seconds)


def idle(county: County, box: Box, lessons: int, seconds: float) -> list[Row]:
    """What a box costs that has all these lessons of the county; both are ended."""
    counter = Counter(("127.0.0.1", county.port))
    try:
        county.serve()
        # As a box is delivered: what the tests set to be quick is the default again.
        text = (box.data / "box.toml").read_text("utf-8")
        kept = [line for line in text.splitlines() if not line.startswith(("refresh_", "scan_", "report_"))]
        (box.data / "box.toml").write_text("\n".join(kept) + "\n", "utf-8")
        set_settings(box.data / "box.toml", urls=[f"http://127.0.0.1:{counter.port}"])
        box.start("sync")
        process = psutil.Process(box.programs["sync"].pid)
        wait_until(lambda: _still(process), "sync is settled", 300)
        with closing(StateReader(box.data / "state.db")) as state:
            assert sum(row.complete for row in state.lessons()) == lessons, "the box is not full"
        poll = _poll(box, counter)
        before, counted, announced = process.cpu_times(), counter.bytes, counter.announces
        began = time.monotonic()
        pss = []
        while time.monotonic() - began < seconds:
            time.sleep(5)
            pss.append(process.memory_full_info().pss)
        after, elapsed = process.cpu_times(), time.monotonic() - began
        cpu = (after.user + after.system - before.user - before.system) / elapsed
        whole_day = (counter.bytes - counted) / elapsed * _DAY
        announces = (counter.announces - announced) * _ANNOUNCE / elapsed * _DAY
    finally:
        box.close()
        county.close()
        counter.close()
    every = next(int(str(s.default)) for s in BOX_SETTINGS if s.name == "refresh_seconds")
    day = poll * _DAY / every + announces
    what = f"{lessons:,} lessons held, idle for {elapsed:.0f} s"
    return [
        Row(f"{what}: memory of sync (PSS)", "-", "≤ 100 MB", f"{statistics.median(pss) / 1e6:.0f} MB"),
        Row(f"{what}: CPU of sync", "-", "≤ 0.5% of a core", f"{100 * cpu:.2f}%"),
        Row(
            f"{what}: bytes a day",
            "-",
            "≤ 1 MB a day",
            f"{day / 1e6:.2f} MB: a poll {poll:.0f} bytes every {every} s, announces"
            f" {announces / 1e3:.0f} kB; these {elapsed:.0f} s x a day: {whole_day / 1e6:.2f} MB",
        ),
    ]


def _poll(box: Box, counter: Counter) -> float:
    """What one look at the county costs: three, the median."""
    costs = []
    for _ in range(3):
        before, requests = counter.bytes, counter.requests
        (box.data / "incoming" / "refresh").touch()
        wait_until(lambda: not (box.data / "incoming" / "refresh").exists(), "the word is taken", 30)
        wait_until(lambda: counter.requests > requests, "the county is asked", 30)  # noqa: B023
        last = -1
        while counter.bytes != last:
            last = counter.bytes
            time.sleep(1.5)
        costs.append(counter.bytes - before)
    return statistics.median(costs)


def _still(process: psutil.Process) -> bool:
    """Whether it did next to nothing for five seconds."""
    before = process.cpu_times()
    time.sleep(5)
    after = process.cpu_times()
    return after.user + after.system - before.user - before.system < 0.3


def _make_tree(tree: Path, lessons: int) -> None:
    """Lessons of two files in volumes of 50. No two files are of one size, as in life: files of one size are
    compared with each other's packages."""
    for number in range(lessons):
        volume, place = divmod(number, 50)
        grade = "一二三四五六"[volume // 2 % 6] + "年级" + ("上册", "下册")[volume % 2]
        subject = ("语文", "数学", "英语", "科学")[volume // 12 % 4]
        title = f"第{number}课" + "文" * (number // 50 % 40)  # so that lesson.json has many sizes too
        folder = tree / "小学" / subject / "统编版" / grade / "第一单元" / f"{place + 1:02d} {title}"
        folder.mkdir(parents=True)
        for kind, least in (("视频", 1_000), ("教案", 1_000 + lessons)):
            size = least + number
            (folder / f"{kind}.bin").write_bytes((f"{kind} {number} ".encode() * size)[:size])
