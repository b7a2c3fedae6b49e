"""Where signed files can be had: the county by HTTP, a drop by content. What they give is not verified
yet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from content_sync.core.trust import MAX_ROOT, MAX_TIMESTAMP, metadata_kind
from content_sync.errors import FormatError, NetworkError, NotFoundError
from content_sync.formats import dsse
from content_sync.formats.collection import TargetRef
from content_sync.formats.envelope import MAX_ENVELOPE, parse_envelope
from content_sync.ports import Fetcher

MAX_NAMED = 16 << 20
_MAX_SIGNED = max(MAX_ROOT, MAX_TIMESTAMP, MAX_ENVELOPE)


class Offer(Protocol):
    """One place. Each item comes with the subject under which a problem with it is shown.

    Raises NetworkError when the place can't be reached, TooBigError.
    """

    def roots(self, version: int) -> Iterator[tuple[str, bytes]]:
        """Candidates for root `version`."""

    def timestamps(self, above: int) -> Iterator[tuple[str, bytes]]:
        """Candidates for a timestamp, the newest first; those at or below version `above` may be left out."""

    def envelopes(self, box: str, above: int) -> Iterator[tuple[str, bytes]]:
        """Candidates for an envelope of this box that is not of version `above`."""

    def named(self, folder: str, ref: TargetRef) -> tuple[str, bytes] | None:
        """A file of `metadata` or `targets` by its name and hash."""

    def part(self, ref: TargetRef, first: int, count: int) -> bytes | None:
        """Bytes of a target from byte `first` on; None where it is not, or where a whole file costs
        nothing."""


class HttpOffer:
    """A county address. After a network error it is `down`, and not asked again until it is set up."""

    def __init__(self, fetcher: Fetcher, url: str) -> None:
        self._fetcher, self.url, self.down = fetcher, url, False

    def _get(self, path: str, cap: int) -> Iterator[tuple[str, bytes]]:
        data = self._unless_down(lambda: self._fetcher.get(f"{self.url}/{path}", cap))
        if data is not None:
            yield self.url, data

    def _unless_down(self, fetch: Callable[[], bytes]) -> bytes | None:
        if self.down:
            return None
        try:
            return fetch()
        except NotFoundError:
            return None
        except NetworkError:
            self.down = True
            raise

    def roots(self, version: int) -> Iterator[tuple[str, bytes]]:
        """By its number."""
        return self._get(f"metadata/{version}.root.json", MAX_ROOT)

    def timestamps(self, above: int) -> Iterator[tuple[str, bytes]]:
        """The one there is."""
        return self._get("metadata/timestamp.json", MAX_TIMESTAMP)

    def envelopes(self, box: str, above: int) -> Iterator[tuple[str, bytes]]:
        """This box's, unless it is the one here."""
        for subject, data in self._get(f"metadata/envelopes/{box}.json", MAX_ENVELOPE):
            if metadata_kind(data) != ("envelope", above):
                yield subject, data

    def named(self, folder: str, ref: TargetRef) -> tuple[str, bytes] | None:
        """By its path."""
        path = ref.path if folder == "metadata" else ref.url_path
        return next(self._get(f"{folder}/{path}", ref.length), None)

    def part(self, ref: TargetRef, first: int, count: int) -> bytes | None:
        """A byte range."""
        url = f"{self.url}/targets/{ref.url_path}"
        return self._unless_down(lambda: self._fetcher.part(url, first, count))


class Small(Protocol):
    """Where small files lie (ports.Drops)."""

    def small(self, path: str, cap: int) -> bytes | None:
        """All bytes of a file of at most `cap` bytes, or None."""


class Named(Protocol):
    """Who knows them by hash (ports.State)."""

    def drop_named(self, sha256: str) -> list[str]:
        """Paths of files that had this SHA-256."""


class DropOffer:
    """What lies in drop folders, known by what it holds. `learn` each file that was read."""

    def __init__(self, drops: Small, state: Named) -> None:
        self._drops, self._state = drops, state
        self._kinds: dict[str, tuple[str, int]] = {}
        self._fresh: set[str] = set()

    def learn(self, path: str, size: int) -> None:
        """Look whether a new or changed file is signed metadata."""
        self._kinds.pop(path, None)
        data = self._drops.small(path, _MAX_SIGNED) if size <= _MAX_SIGNED else None
        kind = metadata_kind(data) if data and data[:1] == b"{" else None
        if kind is not None:
            self._kinds[path] = kind
            self._fresh.add(path)

    def forget(self, path: str) -> None:
        """A file is gone."""
        self._kinds.pop(path, None)
        self._fresh.discard(path)

    def settled(self) -> None:
        """Everything that is here was tried: an old timestamp is worth a word only when it is new in the
        drop."""
        self._fresh.clear()

    def _of(self, role: str) -> list[tuple[int, str]]:
        return sorted(
            ((version, path) for path, (kind, version) in self._kinds.items() if kind == role), reverse=True
        )

    def _worth(self, role: str, above: int) -> list[tuple[int, str]]:
        found = self._of(role)
        newest = found[0][0] if found else 0
        return [
            (version, path)
            for version, path in found
            if version > above or (newest < above and path in self._fresh)
        ]

    def _read(self, path: str) -> Iterator[tuple[str, bytes]]:
        data = self._drops.small(path, _MAX_SIGNED)
        if data is not None:
            yield path, data

    def roots(self, version: int) -> Iterator[tuple[str, bytes]]:
        """Every file that says it is this root."""
        for found, path in self._of("root"):
            if found == version:
                yield from self._read(path)

    def timestamps(self, above: int) -> Iterator[tuple[str, bytes]]:
        """Newer ones, and older ones that have just come."""
        for _, path in self._worth("timestamp", above):
            yield from self._read(path)

    def envelopes(self, box: str, above: int) -> Iterator[tuple[str, bytes]]:
        """Newer ones of this box; a county's whole folder holds those of all boxes."""
        for _, path in self._worth("envelope", above):
            for subject, data in self._read(path):
                if _box_of(data) == box:
                    yield subject, data

    def named(self, folder: str, ref: TargetRef) -> tuple[str, bytes] | None:
        """Any file that had this SHA-256 when it was read."""
        for path in self._state.drop_named(ref.sha256):
            data = self._drops.small(path, min(ref.length, MAX_NAMED))
            if data is not None and len(data) == ref.length:
                return path, data
        return None

    def part(self, ref: TargetRef, first: int, count: int) -> bytes | None:
        """Nothing: whole files are free."""
        return None


def _box_of(data: bytes) -> str | None:
    try:
        return parse_envelope(dsse.parse_signed(data, dsse.ENVELOPE_TYPE, MAX_ENVELOPE).payload).box
    except FormatError:
        return None
