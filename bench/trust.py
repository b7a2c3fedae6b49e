"""What a box reads of a big library's signed metadata, beside the peer 'every lesson a target in one file'.

2,000 collections in 64 subjects with 50 lessons each; a box with 20 of them. Everything is really signed, and
read through the box's own verifier. Run: python -m bench.trust
"""

from __future__ import annotations

import hashlib
import random
import tempfile
import time
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, TargetFile, Targets

from content_sync.adapters.tuf import Trust
from content_sync.core.trust import check_target
from content_sync.formats.canonical import dump
from content_sync.formats.collection import (
    Collection,
    CollectionRef,
    LessonEntry,
    Subject,
    TargetRef,
    dump_collection,
    dump_subject,
    parse_collection,
    parse_subject,
    subscribes,
    touches_subject,
)
from content_sync.formats.paths import collection_id, lesson_id, subject_id
from county.publish.signing import Repository

NOW = 1_763_712_000
YEAR = 365


def _ref(path: str, data: bytes) -> TargetRef:
    return TargetRef(path, len(data), hashlib.sha256(data).hexdigest())


def _hash(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _lesson(collection: str, no: int, edition: int) -> LessonEntry:
    title, unit = f"第{no}课 古诗三首", f"第{no // 8 + 1}单元 祖国河山"
    infohash = _hash(collection, no, edition)
    return LessonEntry(
        id=lesson_id(collection, unit, title),
        title=title,
        unit=unit,
        unit_no=no // 8 + 1,
        no=no,
        periods=2,
        kinds=("video", "courseware", "plan", "quiz"),
        added=NOW,
        infohash=infohash,
        size=31_457_280,
        files=6,
        torrent=TargetRef(f"packages/{infohash}.torrent", 1500, _hash(infohash, "t")),
        leaves=TargetRef(f"packages/{infohash}.leaves", 61_440, _hash(infohash, "l")),
    )


@dataclass
class Library:
    """A made-up library: `editions` tells how often a lesson was changed."""

    collections: int
    subjects: int
    lessons: int
    editions: dict[tuple[int, int], int] = field(default_factory=dict)
    written: dict[int, CollectionRef] = field(default_factory=dict)

    def change(self, number: int, no: int) -> None:
        """Give a lesson of a collection other content."""
        self.editions[number, no] = self.editions.get((number, no), 0) + 1
        self.written.pop(number, None)

    def subject_of(self, number: int) -> tuple[str, str]:
        """Stage and subject of a collection."""
        return "小学", f"学科{number % self.subjects}"

    def collection(self, number: int) -> Collection:
        """One collection with its lessons."""
        stage, subject = self.subject_of(number)
        place = (stage, subject, f"版本{number}", "三年级", "上册")
        identity = collection_id(*place)
        lessons = (_lesson(identity, no, self.editions.get((number, no), 0)) for no in range(self.lessons))
        return Collection(identity, *place, tuple(lessons))

    def write(self, targets: Path) -> dict[str, tuple[Subject, bytes]]:
        """Write the collection indexes that changed; the subject indexes for `Repository.publish`."""
        (targets / "collections").mkdir(parents=True, exist_ok=True)
        for number in range(self.collections):
            if number in self.written:
                continue
            made = self.collection(number)
            data = dump_collection(made)
            index = _ref(f"collections/{made.id}.json", data)
            (targets / index.url_path).write_bytes(data)
            size = sum(entry.size for entry in made.lessons)
            self.written[number] = CollectionRef(
                made.id, made.edition, made.grade, made.volume, self.lessons, size, index
            )
        refs: dict[tuple[str, str], list[CollectionRef]] = {}
        for number, ref in sorted(self.written.items()):
            refs.setdefault(self.subject_of(number), []).append(ref)
        subjects = [Subject(subject_id(*place), *place, tuple(found)) for place, found in refs.items()]
        return {subject.id: (subject, dump_subject(subject)) for subject in subjects}


class Reader:
    """A box that reads from a folder, keeps what it has, and counts what it reads."""

    def __init__(self, public: Path, patterns: Iterable[str]) -> None:
        self.public, self.patterns = public, tuple(patterns)
        self.trust = Trust.from_root((public / "metadata" / "1.root.json").read_bytes())
        self.kept: set[str] = set()
        self.read: list[bytes] = []

    def _get(self, name: str) -> bytes:
        data = (self.public / name).read_bytes()
        self.read.append(data)
        return data

    def _target(self, ref: TargetRef) -> bytes:
        known = ref.url_path in self.kept
        name = f"targets/{ref.url_path}"
        data = (self.public / name).read_bytes() if known else self._get(name)
        check_target(ref, data)
        self.kept.add(ref.url_path)
        return data

    def sync(self) -> list[bytes]:
        """Take the newest release down to the subscribed lessons' entries; the files read for it."""
        self.read = []
        trust = self.trust.copy()
        trust.update_timestamp(self._get("metadata/timestamp.json"))
        if trust.needs_snapshot:
            trust.update_snapshot(self._get(f"metadata/{trust.snapshot_ref().path}"))
        if trust.needs_targets:
            trust.update_targets(self._get(f"metadata/{trust.targets_ref().path}"))
        for identity, ref in trust.subjects.items():
            if touches_subject(self.patterns, identity):
                for collection in parse_subject(self._target(ref)).collections:
                    if subscribes(self.patterns, collection.id):
                        parse_collection(self._target(collection.index))
        self.trust = trust
        return self.read


def one_file(library: Library) -> bytes:
    """The peer: every lesson a target of one signed targets.json."""
    targets = {}
    for number in range(library.collections):
        for entry in library.collection(number).lessons:
            path = entry.torrent.path
            custom = {"custom": {"id": entry.id, "title": entry.title}}
            targets[path] = TargetFile(entry.torrent.length, {"sha256": entry.torrent.sha256}, path, custom)
    metadata = Metadata(Targets(expires=datetime(2030, 1, 1, tzinfo=UTC), targets=targets))
    metadata.sign(CryptoSigner.generate_ed25519())
    return dump(metadata.to_dict())


def _size(files: Iterable[bytes]) -> str:
    files = list(files)
    zipped = sum(len(zlib.compress(data, 6)) for data in files)
    return f"{sum(map(len, files)) / 1000:,.0f} ({zipped / 1000:,.0f})"


def main() -> None:
    """Print the table."""
    library = Library(collections=2000, subjects=64, lessons=50)
    mine = list(range(0, 2000, 100))
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        public = place / "public"
        county = Repository.create(public, place / "keys", place / "root.pem", "青山县", NOW, YEAR)

        def publish() -> float:
            subjects = library.write(public / "targets")
            began = time.perf_counter()
            county.publish(subjects, NOW)
            return time.perf_counter() - began

        def timed() -> tuple[list[bytes], float]:
            began = time.perf_counter()
            return box.sync(), time.perf_counter() - began

        signing = publish()
        box = Reader(public, [library.collection(number).id for number in mine])
        first, first_seconds = timed()

        chance = random.Random(1)
        for place_no in chance.sample(range(library.collections * library.lessons), k=1000):
            library.change(*divmod(place_no, library.lessons))
        publish()
        some, some_seconds = timed()

        strangers = {library.subject_of(number) for number in mine}
        other = next(n for n in range(library.collections) if library.subject_of(n) not in strangers)
        library.change(other, 0)
        publish()
        none, none_seconds = timed()

        county.resign(NOW + 300 * 86_400)
        renewed, renewed_seconds = timed()

    peer = one_file(library)
    began = time.perf_counter()
    Metadata[Targets].from_bytes(peer).signed_bytes  # noqa: B018 - what a verifier must compute
    peer_seconds = time.perf_counter() - began

    print(
        f"{library.collections:,} collections of {library.lessons} lessons in {library.subjects} subjects; "
        f"a box with {len(mine)} of them in {len(strangers)} subjects; signing took {signing:.2f} s\n"
    )
    print(
        "| what the box reads, KB (zlib) | Lesson Box | files | seconds | every lesson a target, one file |"
    )
    print("|---|---|---|---|---|")
    whole = _size([peer])
    for what, files, seconds in (
        ("at first", first, first_seconds),
        ("1% of all lessons changed", some, some_seconds),
        ("none of its subjects changed", none, none_seconds),
        ("only signed anew", renewed, renewed_seconds),
    ):
        print(f"| {what} | {_size(files)} | {len(files)} | {seconds:.3f} | {whole}, {peer_seconds:.1f} s |")


if __name__ == "__main__":
    main()
