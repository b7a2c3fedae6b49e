"""A county made by hand: packages in memory, signed by the real repository, answered to a FakeFetcher."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, field
from pathlib import Path

from content_sync.formats import lesson as lessons
from content_sync.formats import torrent
from content_sync.formats.canonical import load
from content_sync.formats.collection import (
    Collection,
    CollectionRef,
    LessonEntry,
    Subject,
    TargetRef,
    dump_collection,
    dump_subject,
)
from content_sync.formats.hashtree import FileId, Hasher
from content_sync.formats.lesson import Lesson, Resource, ResourceFile
from content_sync.formats.paths import collection_id, lesson_id, subject_id
from county.publish.signing import Repository

NOW = 1_760_000_000
URL = "http://county.test"
PLACE = ("小学", "语文", "统编版", "三年级", "上册")
COLLECTION = collection_id(*PLACE)


def identify(data: bytes) -> tuple[FileId, bytes]:
    """Identity and leaf list."""
    hasher = Hasher()
    hasher.update(data)
    return hasher.finish()


@dataclass
class SmallCounty:
    """Title -> files (path -> bytes); `publish` signs them all."""

    folder: Path
    lessons: dict[str, dict[str, bytes]] = field(default_factory=dict)
    content: dict[str, bytes] = field(default_factory=dict)  # root -> bytes, of everything ever published

    def __post_init__(self) -> None:
        self.public = self.folder / "public"
        self.repository = Repository.create(
            self.public, self.folder / "keys", self.folder / "root.pem", "清河县", NOW, 365
        )
        self.root = (self.public / "metadata" / "1.root.json").read_bytes()

    def noise(self, title: str, *sizes: int, seed: int = 0) -> None:
        """A lesson of files of these sizes."""
        chance = random.Random(f"{title}{seed}")
        self.lessons[title] = {f"资料 {i}.bin": chance.randbytes(size) for i, size in enumerate(sizes)}

    def publish(self, now: int = NOW) -> int:
        """Sign a release; its number."""
        entries = tuple(self._package(title, files) for title, files in self.lessons.items())
        index = dump_collection(Collection(COLLECTION, *PLACE, lessons=entries))
        ref = self._target(f"collections/{COLLECTION}.json", index)
        size = sum(entry.size for entry in entries)
        subject = Subject(
            subject_id(*PLACE[:2]),
            *PLACE[:2],
            (CollectionRef(COLLECTION, *PLACE[2:], len(entries), size, ref),),
        )
        return self.repository.publish({subject.id: (subject, dump_subject(subject))}, now, True)

    def _target(self, path: str, data: bytes) -> TargetRef:
        ref = TargetRef(path, len(data), hashlib.sha256(data).hexdigest())
        place = self.public / "targets" / ref.url_path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        return ref

    def _package(self, title: str, files: dict[str, bytes]) -> LessonEntry:
        identity = lesson_id(COLLECTION, "第一单元", title)
        made = {path: identify(data) for path, data in files.items()}
        resources = tuple(
            Resource(
                f"r{number}",
                "other",
                "read",
                path,
                "application/octet-stream",
                (ResourceFile(path, "main", file),),
            )
            for number, (path, (file, _)) in enumerate(made.items())
        )
        described = lessons.dump_lesson(
            Lesson(identity, COLLECTION, *PLACE, "第一单元", 1, None, title, 1, resources)
        )
        made[lessons.NAME] = identify(described)
        self.content |= {made[path][0].root: data for path, data in files.items()}
        self.content[made[lessons.NAME][0].root] = described
        package = torrent.build(identity, [(path, file, leaves) for path, (file, leaves) in made.items()])
        leaves = b"".join(made[entry.path][1] for entry in package.files)
        return LessonEntry(
            identity,
            title,
            "第一单元",
            1,
            None,
            1,
            ("other",),
            NOW,
            package.infohash,
            package.size,
            len(package.files),
            self._target(f"packages/{package.infohash}.torrent", package.data),
            self._target(f"packages/{package.infohash}.leaves", leaves),
        )

    def page(self, url: str) -> bytes | None:
        """What the county answers."""
        path = self.public / url.removeprefix(URL + "/")
        return path.read_bytes() if path.is_file() else None

    @property
    def root_version(self) -> int:
        """Version of the first root, read from its bytes."""
        return int(load(self.root, 1 << 20)["signed"]["version"])
