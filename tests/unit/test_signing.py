"""The county's signing: what it writes is what a box accepts, at any instant (county/publish/signing.py)."""

from __future__ import annotations

import shutil
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace
from tuf.ngclient import FetcherInterface, Updater

from content_sync.adapters.files import write_durable
from content_sync.adapters.tuf import Trust
from content_sync.core.trust import check_target
from content_sync.errors import (
    ClockError,
    DiskFullError,
    EnvelopeError,
    FormatError,
    SetupError,
    SignatureError,
)
from content_sync.formats.canonical import dump
from content_sync.formats.collection import CollectionRef, Subject, TargetRef, dump_subject
from content_sync.formats.paths import collection_id, subject_id
from county.publish.signing import Repository
from tests.unit.forger import BOX, LETTER, NOW

DAY = 86_400


def subject(name: str, lessons: int = 1) -> tuple[Subject, bytes]:
    """A subject index with one collection."""
    identity = collection_id("小学", name, "统编版", "三年级", "上册")
    index = TargetRef(f"collections/{identity}.json", 812, f"{lessons:064x}")
    made = Subject(
        subject_id("小学", name),
        "小学",
        name,
        (CollectionRef(identity, "统编版", "三年级", "上册", lessons, lessons * 1000, index),),
    )
    return made, dump_subject(made)


def library(*names: str, lessons: int = 1) -> dict[str, tuple[Subject, bytes]]:
    made = [subject(name, lessons) for name in names]
    return {s.id: (s, data) for s, data in made}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    Repository.create(tmp_path / "public", tmp_path / "keys", tmp_path / "root.pem", "青山县", NOW, 365)
    return tmp_path


def open_at(place: Path) -> Repository:
    return Repository(place / "public", place / "keys", 365)


class Box:
    """A box that reads a folder as it would the county over HTTP."""

    def __init__(self, public: Path) -> None:
        self.public = public
        self.trust = Trust.from_root(self._get("1.root.json"))

    def _get(self, name: str) -> bytes:
        return (self.public / "metadata" / name).read_bytes()

    def sync(self) -> int:
        """Accept what is there, subject indexes too; the release."""
        candidate = self.trust.copy()
        while (self.public / "metadata" / f"{candidate.root_version + 1}.root.json").exists():
            candidate.update_root(self._get(f"{candidate.root_version + 1}.root.json"))
        candidate.update_timestamp(self._get("timestamp.json"))
        if candidate.needs_snapshot:
            candidate.update_snapshot(self._get(candidate.snapshot_ref().path))
        if candidate.needs_targets:
            candidate.update_targets(self._get(candidate.targets_ref().path))
        for ref in candidate.subjects.values():
            check_target(ref, (self.public / "targets" / ref.url_path).read_bytes())
        self.trust = candidate
        return candidate.release


def files(place: Path) -> dict[str, bytes]:
    return {str(p.relative_to(place)): p.read_bytes() for p in place.rglob("*") if p.is_file()}


def test_keys_are_private_and_apart(place: Path) -> None:
    assert stat.S_IMODE((place / "root.pem").stat().st_mode) == 0o600
    keys = sorted((place / "keys").glob("*.pem"))
    assert [key.name.split("-")[0] for key in keys] == ["envelopes", "targets", "timestamp"]
    assert all(stat.S_IMODE(key.stat().st_mode) == 0o600 for key in keys)
    assert stat.S_IMODE((place / "keys").stat().st_mode) == 0o700
    assert len({key.read_bytes() for key in keys} | {(place / "root.pem").read_bytes()}) == 4


def test_create_overwrites_nothing(place: Path) -> None:
    before = files(place)
    for public, root_key in ((place / "public", place / "other.pem"), (place / "new", place / "root.pem")):
        with pytest.raises(SetupError):
            Repository.create(public, place / "keys", root_key, "x", NOW, 365)
    assert files(place) == before
    with pytest.raises(SetupError):
        Repository(place / "nowhere", place / "keys", 365)


def test_publish_and_sync(place: Path) -> None:
    county = open_at(place)
    assert (county.release, county.county, county.issued) == (0, "青山县", NOW)
    assert county.publish(library("语文", "数学"), NOW + DAY) == 1
    box = Box(place / "public")
    assert box.sync() == 1
    assert (box.trust.county, box.trust.issued) == ("青山县", NOW + DAY)
    assert set(box.trust.subjects) == set(library("语文", "数学"))
    assert Trust.from_root(dump(county.root())).root_version == 1


def test_the_same_library_again_writes_nothing(place: Path) -> None:
    county = open_at(place)
    county.publish(library("语文"), NOW)
    before = files(place)
    assert county.publish(library("语文"), NOW + DAY) == 1
    assert open_at(place).publish(library("语文"), NOW + 5000 * DAY) == 1
    assert files(place) == before
    assert county.publish(library("语文", lessons=2), NOW + DAY) == 2
    assert county.publish({}, NOW + DAY) == 3
    assert Box(place / "public").sync() == 3


def test_a_lost_subject_file_is_written_again(place: Path) -> None:
    county = open_at(place)
    county.publish(library("语文"), NOW)
    (lost,) = (place / "public" / "targets" / "subjects").iterdir()
    lost.unlink()
    assert county.publish(library("语文"), NOW) == 1 and lost.exists()
    lost.write_bytes(b"damaged")
    assert county.publish(library("语文"), NOW) == 1
    assert Box(place / "public").sync() == 1


def test_what_is_not_an_index_is_refused(place: Path) -> None:
    county = open_at(place)
    made, data = subject("语文")
    before = files(place)
    for wrong in (
        {"0" * 8: (made, data)},
        {made.id: (made, data + b" x")},
        {made.id: (made, subject("数学")[1])},
    ):
        with pytest.raises(FormatError):
            county.publish(wrong, NOW)
    assert {name for name in files(place) if name != "keys/lock"} == set(before)


def test_clock_guard(place: Path) -> None:
    county = open_at(place)
    for now in (0, NOW - DAY, NOW + 401 * DAY):
        with pytest.raises(ClockError):
            county.publish(library("语文"), now)
    assert county.release == 0
    y2099 = 4_070_908_800
    assert county.publish(library("语文"), y2099, allow_date=True) == 1
    box = Box(place / "public")
    box.sync()
    with pytest.raises(ClockError):
        county.publish(library("数学"), NOW + DAY)
    assert county.publish(library("数学"), NOW + DAY, allow_date=True) == 2
    assert box.sync() == 2 and box.trust.issued == NOW + DAY
    assert county.publish(library("语文"), NOW + 2 * DAY) == 3


def test_resign_renews_only_what_runs_out(place: Path) -> None:
    county = open_at(place)
    assert county.resign(NOW) is False
    county.publish(library("语文"), NOW)
    box = Box(place / "public")
    box.sync()
    assert county.resign(NOW + 240 * DAY) is False
    names = set(files(place))
    assert county.resign(NOW + 245 * DAY) is True
    assert set(files(place)) == names and county.release == 1
    candidate = box.trust.copy()
    assert candidate.update_timestamp((place / "public/metadata/timestamp.json").read_bytes())
    assert candidate.complete and candidate.expires == NOW + (245 + 365) * DAY
    with pytest.raises(ClockError):
        county.resign(NOW + 2500 * DAY)
    assert county.resign(NOW + 2500 * DAY, allow_date=True) is True
    assert county.release == 2 and box.sync() == 2
    assert set(box.trust.subjects) == set(library("语文"))


class TestEnvelopes:
    def test_only_their_key_is_needed(self, place: Path) -> None:
        open_at(place).publish(library("语文"), NOW)
        for key in (place / "keys").glob("*.pem"):
            if not key.name.startswith("envelopes-"):
                key.unlink()
        (place / "root.pem").unlink()
        county = open_at(place)
        box = Box(place / "public")
        box.sync()
        data = county.sign_envelope(replace(LETTER, version=2))
        assert box.trust.verify_envelope(data, BOX, 1).version == 2
        with pytest.raises(EnvelopeError):
            box.trust.verify_envelope(data, BOX, 2)
        with pytest.raises(SetupError, match="not in"):
            county.publish(library("数学"), NOW)
        assert box.sync() == 1

    def test_before_the_first_release_and_after_a_rotation(self, place: Path) -> None:
        serving = open_at(place)  # stays open, as in `county serve`
        first = serving.sign_envelope(LETTER)
        county = open_at(place)
        county.publish(library("语文"), NOW)
        box = Box(place / "public")
        box.sync()
        assert box.trust.verify_envelope(first, BOX, 0)
        county.rotate_root(place / "root.pem", NOW, new_online=True)
        box.sync()
        assert box.trust.verify_envelope(serving.sign_envelope(LETTER), BOX, 0)
        with pytest.raises(SignatureError):
            box.trust.verify_envelope(first, BOX, 0)

    def test_what_a_box_would_refuse_is_not_signed(self, place: Path) -> None:
        county = open_at(place)
        for bad in (
            replace(LETTER, version=0),
            replace(LETTER, box="x"),
            replace(LETTER, school_name="校" * 30_000),
        ):
            with pytest.raises(FormatError):
                county.sign_envelope(bad)


class TestRotation:
    def test_every_key(self, place: Path) -> None:
        county = open_at(place)
        county.publish(library("语文"), NOW)
        box = Box(place / "public")
        box.sync()
        old_keys = set((place / "keys").glob("*.pem"))
        assert county.rotate_root(place / "root.pem", NOW, place / "root2.pem", new_online=True) == 2
        assert box.sync() == 2
        for key in old_keys:
            key.unlink()
        assert open_at(place).publish(library("数学"), NOW) == 3
        with pytest.raises(SignatureError, match="not this county's"):
            county.rotate_root(place / "root.pem", NOW)
        assert county.rotate_root(place / "root2.pem", NOW) == 3
        assert box.sync() == 3 and box.trust.root_version == 3
        late = Box(place / "public")
        assert late.sync() == 3

    def test_before_the_first_release(self, place: Path) -> None:
        county = open_at(place)
        county.rotate_root(place / "root.pem", NOW, new_online=True)
        assert county.publish(library("语文"), NOW) == 1
        assert Box(place / "public").sync() == 1

    def test_never_over_another_key(self, place: Path) -> None:
        county = open_at(place)
        (place / "root2.pem").write_bytes(b"somebody's")
        with pytest.raises(SetupError):
            county.rotate_root(place / "root.pem", NOW, place / "root2.pem")
        assert (place / "root2.pem").read_bytes() == b"somebody's"


def _publish(county: Repository, place: Path) -> None:
    county.publish(library("语文", "数学", lessons=2), NOW + DAY)


def _resign(county: Repository, place: Path) -> None:
    county.resign(NOW + 2500 * DAY, allow_date=True)


def _rotate(county: Repository, place: Path) -> None:
    county.rotate_root(place / "root.pem", NOW + DAY, place / "root2.pem", new_online=True)


def _same_again(county: Repository) -> None:
    county.publish(library("语文"), NOW + 2 * DAY)


def _resign_soon(county: Repository) -> None:
    county.resign(NOW + 2 * DAY)


@pytest.mark.parametrize("work", [_publish, _resign, _rotate])
def test_a_crash_at_any_write_leaves_a_whole_release(
    place: Path, work: Callable[[Repository, Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fail the Nth write for N = 0, 1, 2 … until a run has no fault; a new process then finishes the work."""
    open_at(place).publish(library("语文"), NOW)
    for nth in range(100):
        trial = place.with_name(f"{place.name}-{nth}")
        shutil.copytree(place, trial)
        box = Box(trial / "public")
        box.sync()
        writes = 0

        def failing(path: Path, data: bytes, mode: int = 0o644, nth: int = nth) -> None:
            nonlocal writes
            writes += 1
            if writes > nth:
                raise DiskFullError("no space left")
            write_durable(path, data, mode)

        monkeypatch.setattr("county.publish.signing.write_durable", failing)
        try:
            work(open_at(trial), trial)
        except DiskFullError:
            done = False
        else:
            done = True
        monkeypatch.undo()
        if done:
            assert nth >= 3 and box.sync() == 2
            break

        mid_rotation = (trial / "public/metadata/2.root.json").exists()
        if mid_rotation:
            with pytest.raises(SignatureError):
                box.sync()
        assert box.trust.release == 1
        if not mid_rotation:
            assert box.sync() == 1

        for finish in (_same_again, _resign_soon):
            after = shutil.copytree(trial, trial.with_name(f"{trial.name}-{finish.__name__}"))
            box = Box(after / "public")
            county = open_at(after)
            assert county.release == 1
            finish(county)
            assert box.sync() == (2 if mid_rotation else 1)
            assert box.trust.verify_envelope(county.sign_envelope(LETTER), BOX, 0)
            release = county.publish(library("语文", "数学", lessons=3), NOW + 2 * DAY)
            assert box.sync() == release == (3 if mid_rotation else 2)
    else:
        pytest.fail("never ran through")


def test_two_processes_publish_one_after_the_other(place: Path) -> None:
    one, two = open_at(place), open_at(place)
    assert one.publish(library("语文"), NOW) == 1
    assert two.publish(library("数学"), NOW) == 2
    assert one.publish(library("语文"), NOW) == 3
    assert one.release == 3 and Box(place / "public").sync() == 3


class _Files(FetcherInterface):
    def __init__(self, public: Path) -> None:
        self.public = public

    def _fetch(self, url: str) -> object:  # type: ignore[override]
        from tuf.api.exceptions import DownloadHTTPError

        path = self.public / url.removeprefix("file:///")
        if not path.is_file():
            raise DownloadHTTPError("not there", 404)
        return iter([path.read_bytes()])


def test_the_standard_client_accepts_it(place: Path) -> None:
    """The layout is TUF's own: python-tuf's client reads it (while nothing has expired)."""
    now = int(datetime.now(UTC).timestamp())
    county = open_at(place)
    county.publish(library("语文"), now, allow_date=True)
    county.rotate_root(place / "root.pem", now, place / "root2.pem", new_online=True)
    client = place / "client"
    client.mkdir()
    updater = Updater(
        str(client),
        "file:///metadata/",
        target_dir=str(client),
        target_base_url="file:///targets/",
        fetcher=_Files(place / "public"),
        bootstrap=(place / "public/metadata/1.root.json").read_bytes(),
    )
    updater.refresh()
    (identity,) = library("语文")
    info = updater.get_targetinfo(f"subjects/{identity}.json")
    assert info is not None and info.custom == {"stage": "小学", "subject": "语文"}
    assert Path(updater.download_target(info)).read_bytes() == library("语文")[identity][1]
