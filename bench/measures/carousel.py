"""The least overhead with which one pass of a 2 GB carousel brings everything, and what coding costs.

The layout is the real one: the county's own planner lays out a library of 2 GB (leaf lists and torrents of
that size, no bytes behind them) and every record, header and leaf list is counted. Which parcels are lost is
drawn by seed, exactly the share that is named. A chunk counts as whole when as many of its symbols came as it
has blocks, or in 1 of 400 draws one more (findings: never more in 4,050 decodes). A smaller carousel
is then made, damaged, heard and decoded in earnest, and its bytes compared with what the plan counts.

Run alone: python -m bench.measures.carousel [--quick]
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from bench.measures import Row
from content_sync.adapters.fec import RaptorQ
from content_sync.core import carousel as rules
from content_sync.formats import torrent
from content_sync.formats.collection import LessonEntry, TargetRef
from content_sync.formats.hashtree import BLOCK, FileId, block_count, root_of
from content_sync.formats.parcel import PART, dump_record, part_symbols
from county.distribute.carousel import Asked, _Builder, _Chunk
from tests.unit.small_county import NOW, SmallCounty

CONTENT, LESSONS = 2_000_000_000, 66
BURST = 30
#: Bytes of a record beside what it carries.
HEAD, BLOCK_HEAD, REPAIR_HEAD = 67, 75, 73
_STEP, _REACH = 0.0025, 64


class PaperCounty(SmallCounty):
    """A county whose files are sizes: leaf lists are drawn, roots follow from them."""

    def draw(self, lessons: int, size: int) -> None:
        """Lessons of a video and its small companions, `size` bytes each."""
        for number in range(lessons):
            sizes = {
                "视频.mp4": size - 1_500_000,
                "课件.pdf": 1_200_000,
                "教案.pdf": 290_000,
                "试题.xml": 10_000,
            }
            self.lessons[f"课 {number}"] = sizes  # type: ignore[assignment]

    def _package(self, title: str, files: dict[str, bytes]) -> LessonEntry:
        identity = hashlib.sha256(title.encode()).hexdigest()[:16]
        chance = random.Random(title)
        listed = []
        for path, size in [*files.items(), ("lesson.json", 1500)]:
            leaves = chance.randbytes(32 * block_count(int(size)))  # type: ignore[call-overload]
            listed.append((path, FileId(root_of(leaves), int(size)), leaves))  # type: ignore[call-overload]
        package = torrent.build(identity, listed)
        by_path = {path: leaves for path, _, leaves in listed}
        return LessonEntry(
            identity, title, "第一单元", 1, None, 1, ("video",), NOW, package.infohash, package.size,
            len(package.files), self._target(f"packages/{package.infohash}.torrent", package.data),
            self._target(
                f"packages/{package.infohash}.leaves", b"".join(by_path[e.path] for e in package.files)
            ),
        )  # fmt: skip


def services_of(county: SmallCounty) -> Any:
    """What the county's builder asks for."""
    library = SimpleNamespace(
        boxes=list, package=lambda infohash: SimpleNamespace(made=NOW), issued=lambda number: NOW
    )
    return SimpleNamespace(
        paths=SimpleNamespace(data=county.folder, public=county.public, objects=county.folder / "objects"),
        settings=SimpleNamespace(text=lambda name: "清河县"),
        library=lambda: library,
        envelopes=None,
    )


@dataclass
class Plan:
    """A cycle: for each parcel the items whose symbols it carries; how many symbols each item needs."""

    parcels: list[list[int]]
    needs: list[int]
    symbols: list[int]
    bytes: int


class Planner:
    """Plans of one library at any overhead."""

    def __init__(self, county: SmallCounty) -> None:
        self._county = county
        self._builder = _Builder(services_of(county), RaptorQ(), Asked(county.folder, 0.1), NOW)
        self._control, _ = self._builder._release()
        self._order, _ = self._builder._order()
        self.content = sum(self._builder._entries[name].size for name in self._order)
        self._bare: Plan | None = None
        self._descriptions = list(self._builder._describing(self._order))
        self._room = (Asked(county.folder, 0).parcel_bytes - 240) // (BLOCK + 120)

    def plan(self, overhead: float) -> Plan:
        """As `county carousel --overhead` lays it out."""
        self._builder._asked = Asked(self._county.folder, overhead)
        stretches = self._builder._plan(self._order, [], 1)
        total = sum(stretch.parcels for stretch in stretches)
        made = Plan([[] for _ in range(total)], [], [], 2 * HEAD * total)
        for stretch in stretches:
            laid = rules.lay(stretch.symbols, stretch.room)
            for item, places in zip(stretch.items, laid, strict=True):
                number = len(made.needs)
                if isinstance(item, _Chunk):
                    made.needs.append(item.count)
                    made.bytes += item.count * BLOCK_HEAD + item.repair * (REPAIR_HEAD + BLOCK)
                else:
                    size = sum(self._packed(ref) for ref in item.targets)
                    count = part_symbols(size, item.part)
                    made.needs.append(count)
                    made.bytes += min(PART, size - item.part * PART) + (item.symbols - count) * BLOCK
                    made.bytes += item.symbols * (REPAIR_HEAD + len(item.path))
                made.symbols.append(item.symbols)
                for place in places:
                    made.parcels[stretch.first + place].append(number)
        made.bytes += self.content
        # A control pack comes several times over, some of its symbols twice: four times its size is enough.
        control = self._builder._control_symbols(self._control, total)
        count = max(symbol.count for symbols in control for symbol in symbols)
        made.needs.append(1 if count == 1 else 4 * count)
        made.symbols.append(sum(map(len, control)))
        for parcel, symbols in enumerate(control):
            made.bytes += sum(len(dump_record(symbol)) for symbol in symbols)
            made.parcels[parcel].extend([len(made.needs) - 1] * len(symbols))
        return made

    @staticmethod
    def _packed(ref: TargetRef) -> int:
        return ref.length + block_count(ref.length) * (REPAIR_HEAD + len(f"targets/{ref.url_path}"))

    def other_code(self, overhead: float, chunk: int, repair: int) -> Plan:
        """The same library and layout with chunks of another size; `repair` for each."""
        first = self._bare = self._bare or self.plan(0.0)
        counts: list[int] = []
        for name in self._order:
            blocks = sum(block_count(f.file.length) for f in self._builder._torrent(name).files)
            counts += [count for _, count in rules.split(blocks, chunk)] if repair else [1] * blocks
        repairs = [-(-count * repair // chunk) for count in counts]
        symbols = [count + more for count, more in zip(counts, repairs, strict=True)]
        extra = 0
        if repair:  # what describes the lessons is lost and coded like ours
            bare = first.needs[-1 - len(self._descriptions) : -1]
            sent = [rules.metadata_symbols(count, overhead) for count in bare]
            counts, symbols = counts + bare, symbols + sent
            extra = (sum(sent) - sum(first.symbols[-1 - len(bare) : -1])) * (REPAIR_HEAD + BLOCK)
        laid = rules.lay(symbols, self._room)
        total = 1 + max(places[-1] for places in laid)
        made = Plan([[] for _ in range(total)], counts, symbols, 0)
        for number, places in enumerate(laid):
            for place in places:
                made.parcels[place].append(number)
        made.bytes = first.bytes + sum(repairs) * (REPAIR_HEAD + BLOCK) + extra
        return made


def lost(parcels: int, share: float, burst: int, chance: random.Random) -> set[int]:
    """Exactly this share of the parcels, one by one or in runs of `burst`."""
    target = round(share * parcels)
    if burst == 1:
        return set(chance.sample(range(parcels), target))
    gone: set[int] = set()
    while len(gone) < target:
        start = chance.randrange(parcels - burst + 1)
        gone.update(range(start, start + min(burst, target)))
    while len(gone) > target:  # the last run is cut
        gone.discard(max(gone))
    return gone


def complete(plan: Plan, share: float, burst: int, seed: int) -> bool:
    """Whether everything can be had from one pass."""
    chance = random.Random(seed)
    missing = [0] * len(plan.needs)
    for number in lost(len(plan.parcels), share, burst, chance):
        for item in plan.parcels[number]:
            missing[item] += 1
    for item, gap in enumerate(missing):
        if not gap:
            continue
        spare = plan.symbols[item] - plan.needs[item] - gap
        if spare < 0 or (spare == 0 and chance.random() < 1 / 400):
            return False
    return True


def survives(plan: Plan, share: float, burst: int, seeds: int) -> bool:
    """Whether 95 of 100 seeds are complete."""
    allowed = seeds - -(-95 * seeds // 100)
    failed = 0
    for seed in range(seeds):
        failed += not complete(plan, share, burst, seed)
        if failed > allowed:
            return False
    return True


def least(make: Any, share: float, burst: int, seeds: int) -> tuple[float, Plan] | None:
    """The least overhead, in steps of a quarter of a hundredth, with which `make(overhead)` survives."""
    low = math.floor((1 / (1 - share) - 1) / _STEP)
    high = low + _REACH
    if not survives(make(high * _STEP), share, burst, seeds):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        if survives(make(middle * _STEP), share, burst, seeds):
            high = middle
        else:
            low = middle
    return high * _STEP, make(high * _STEP)


def reed_solomon(planner: Planner) -> Any:
    """Chunks as large as a code over bytes allows: 256 symbols with repair, each needed symbol counted."""

    def make(overhead: float) -> Plan:
        chunk = int(256 / (1 + overhead))
        return planner.other_code(overhead, chunk, 256 - chunk)

    return make


def passes_without_code(planner: Planner, share: float, burst: int, seeds: int) -> str:
    """How many whole passes of the bare blocks it takes for 95 of 100 seeds."""
    plan = planner.other_code(0.0, 1, 0)
    owner = plan.parcels
    needed = []
    for seed in range(seeds):
        chance = random.Random(seed)
        left = set(range(len(owner)))
        for number in range(1, 9):
            left &= lost(len(owner), share, burst, chance)
            if not left:
                needed.append(number)
                break
        else:
            needed.append(9)
    needed.sort()
    return str(needed[-(-95 * seeds // 100) - 1])


# In earnest


def _child(verb: str, folder: Path, *words: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.measures.carousel", "--child", verb, str(folder), *words]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=root)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _memory(key: str) -> float:
    """MB of this process, as the kernel counts them."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(key))


def _usage(begun: float) -> dict[str, float]:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {"cpu": used.ru_utime + used.ru_stime - begun, "rss": _memory("VmHWM")}


def _library(folder: Path, lessons: int, size: int) -> SmallCounty:
    county = SmallCounty(folder / "county")
    for number in range(lessons):
        county.noise(f"课 {number}", size, 300_000, 40_000)
    county.publish()
    return county


def make_child(folder: Path, lessons: str, size: str) -> dict[str, Any]:
    """Make a library and its parcels; what making the parcels cost."""
    from tests.unit.parcels_of import parcels_of

    county = _library(folder, int(lessons), int(size))
    (folder / "root.json").write_bytes(county.root)
    begun = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    clock = time.perf_counter()
    parcels_of(county, folder / "out", 0.15, keep=False)
    seconds = time.perf_counter() - clock
    used = {"cpu": _usage(begun)["cpu"]}  # the library's bytes are held here: memory would say nothing
    planned = Planner(county).plan(0.15).bytes
    content = sum(map(len, county.content.values()))
    return {**used, "seconds": seconds, "content": content, "planned": planned}


def hear_child(folder: Path) -> dict[str, Any]:
    """A box with real files hears them; what it cost."""
    from appliance.wiring import make_trust
    from content_sync.adapters.clock import SystemClock
    from content_sync.adapters.drops import Folders
    from content_sync.adapters.objects import FileShelf, FileStore
    from content_sync.adapters.sqlite_writer import State
    from content_sync.adapters.stash import FileStash
    from content_sync.engine.parts import Options, Parts
    from content_sync.engine.sync import Engine
    from content_sync.testing.fakes import FakeFetcher

    box = folder / "box"
    fetcher = FakeFetcher(lambda url: None)
    fetcher.up = False
    state, stash = State(box / "state.db"), FileStash(box / "parcels.db")
    engine = Engine(
        Parts(
            state=state, store=FileStore(box / "objects", box / "partial"), shelf=FileShelf(box / "trust"),
            clock=SystemClock(), drops=Folders([folder / "out"]), fetcher=fetcher, swarm=None,
            make_trust=make_trust((folder / "root.json").read_bytes()), jitter=lambda: 0.5, stash=stash,
            fec=RaptorQ(),
        ),
        Options("b-0123456789abcdef", ("http://county.test",)),
    )  # fmt: skip
    begun = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    clock = time.perf_counter()
    engine.start()
    now = 0.0
    while not engine.settled(now, 5):
        now = max(now + 0.01, min(engine.step(now), now + 1))
    seconds = time.perf_counter() - clock
    found: dict[str, Any] = {**_usage(begun), "seconds": seconds, "complete": engine.complete}
    found["decoded"] = (state.status("reception") or {}).get("chunks", {}).get("decoded", 0)
    stash.close()
    return found


def _in_earnest(work: Path, quick: bool) -> list[Row]:
    lessons, size = (3, 8_000_000) if quick else (12, 20_000_000)
    (work / "box").mkdir()
    made = _child("make", work, str(lessons), str(size))
    parcels = sorted((work / "out").iterdir())
    written = sum(path.stat().st_size for path in parcels)
    chance = random.Random(1)
    for path in chance.sample(parcels, len(parcels) // 10):
        path.unlink()
    heard = _child("hear", work)
    content = made["content"]
    assert heard["complete"], "one pass with a tenth lost, overhead 0.15"
    for path in (work / "box" / "objects").glob("??/*"):
        assert path.read_bytes() == (work / "county" / "objects" / path.parent.name / path.name).read_bytes()
    megabytes = content / 1e6
    return [
        Row(
            "one pass in earnest, 10% of the parcels lost, overhead 0.15",
            "-",
            "complete, every byte compared",
            f"{len(parcels)} parcels, {written / content:.3f} times the content"
            f" (planned {made['planned'] / content:.3f}), {heard['decoded']} chunks decoded, complete",
        ),
        Row(
            "making parcels, real files",
            "-",
            "-",
            f"{megabytes / made['cpu']:.0f} MB per CPU second",
        ),
        Row(
            "hearing them, real files, SHA-256 twice, decode, fsync",
            "-",
            "RSS ≤ 120 MB",
            f"{megabytes / heard['cpu']:.0f} MB per CPU second, RSS {heard['rss']:.0f} MB",
        ),
    ]


def _speeds(quick: bool) -> list[Row]:
    """The codes alone, interleaved."""
    try:
        import zfec
    except ImportError:
        zfec = None
    chance = random.Random(3)
    blocks = [chance.randbytes(BLOCK) for _ in range(rules.CHUNK)]
    size, k = rules.CHUNK * BLOCK / 1e6, 216
    times: dict[str, list[float]] = {
        name: [] for name in ("rq encode", "rq decode", "rs encode", "rs decode")
    }

    def timed(name: str, call: Any) -> Any:
        begun = time.process_time()
        result = call()
        times[name].append(time.process_time() - begun)
        return result

    for _ in range(2 if quick else 5):
        repair = timed("rq encode", lambda: RaptorQ().repair(blocks, 0, 40))
        symbols = dict(enumerate(blocks[40:], 40)) | {256 + at: data for at, data in enumerate(repair)}
        symbols[0] = blocks[0]
        assert timed("rq decode", lambda symbols=symbols: RaptorQ().decode(256, symbols)) == blocks
        if zfec is not None:
            coded = timed("rs encode", lambda: zfec.Encoder(k, 256).encode(blocks[:k]))
            got = [*coded[40:k], *coded[k:]]
            numbers = [*range(40, k), *range(k, 256)]
            assert (
                timed("rs decode", lambda g=got, n=numbers: zfec.Decoder(k, 256).decode(g, n)) == blocks[:k]
            )

    def rate(name: str, scale: float = 1.0) -> str:
        found = sorted(times[name])
        return f"{scale * size / found[len(found) // 2]:.0f}" if found else "not installed"

    scale = k / rules.CHUNK
    return [
        Row(
            "the code alone, 16% repair, MB per CPU second, encode / decode of 40 lost",
            f"zfec {rate('rs encode', scale)} / {rate('rs decode', scale)}",
            "-",
            f"RaptorQ {rate('rq encode')} / {rate('rq decode')}",
        )
    ]


def measure(work: Path, quick: bool) -> list[Row]:
    """The issue's row, and what coding costs."""
    (work / "paper").mkdir()
    county = PaperCounty(work / "paper" / "county")
    size = CONTENT // LESSONS
    county.draw(LESSONS // (10 if quick else 1), size)
    county.publish()
    planner = Planner(county)
    seeds = 20 if quick else 100
    plan = lru_cache(maxsize=32)(planner.plan)
    coded = lru_cache(maxsize=32)(reed_solomon(planner))
    rows = []
    for share in (0.05, 0.1, 0.2):
        for burst in (1, BURST):
            floor = 1 / (1 - share)
            ours = least(plan, share, burst, seeds)
            peer = least(coded, share, burst, seeds)
            bare = passes_without_code(planner, share, burst, seeds)
            theirs = f"{peer[1].bytes / planner.content:.3f}" if peer else "not found"
            mine = "not found"
            if ours:
                mine = (
                    f"**{ours[1].bytes / planner.content:.3f}** of the content on the air"
                    f" (--overhead {ours[0]:.3f}), {len(ours[1].parcels)} parcels"
                )
            pattern = "at random" if burst == 1 else f"in bursts of {burst}"
            rows.append(
                Row(
                    f"carousel of {planner.content / 1e9:.1f} GB, {share:.0%} lost {pattern}",
                    f"zfec {theirs}; no code {bare} passes",
                    f"complete in 95 of 100 seeds; 1/(1-loss) is {floor:.3f}",
                    mine,
                )
            )
            print(rows[-1], file=sys.stderr, flush=True)
    earnest = work / "earnest"
    earnest.mkdir()
    return [*rows, *_in_earnest(earnest, quick), *_speeds(quick)]


def main(words: Sequence[str]) -> None:
    """Print the rows as a table."""
    if words[:1] == ["--child"]:
        verb, folder, *rest = words[1:]
        run: Any = {"make": make_child, "hear": hear_child}[verb]
        print(json.dumps(run(Path(folder), *rest)))
        return
    with tempfile.TemporaryDirectory(prefix="carousel-", dir=os.environ.get("TMPDIR")) as folder:
        print("| what | peer | goal | measured |\n|---|---|---|---|")
        for row in measure(Path(folder), "--quick" in words):
            print(f"| {row.what} | {row.peer} | {row.goal} | {row.measured} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
