"""The received shelf: copies files that no release names out of drop folders, when a person asks for it, and
never mixes them with what the county signed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from msgspec import Struct

from content_sync.engine.problems import Problems
from content_sync.errors import DiskFullError, DropError, LessonBoxError, NotFoundError
from content_sync.formats.hashtree import Hasher
from content_sync.formats.received import ReceivedItem, ReceivedRequest, shown_name
from content_sync.ports import Clock, Drops, DropStat, ReceivedStore, State, Store

#: Bytes copied in a step.
_AT_ONCE = 16 << 20


class Asked(Struct):
    """A request; `done` once it was carried out or refused (then a problem says why)."""

    request: ReceivedRequest
    done: bool = False


class _Copy(Struct):
    asked: Asked
    stat: DropStat
    portions: Iterator[bytes]
    hasher: Hasher
    at: int = 0


class Shelving:
    """Carries out requests one after the other, in slices."""

    def __init__(
        self,
        received: ReceivedStore,
        drops: Drops,
        state: State,
        store: Store,
        clock: Clock,
        problems: Problems,
        reserve: int,
    ) -> None:
        self._received, self._drops, self._state, self._store = received, drops, state, store
        self._clock, self._problems, self._reserve = clock, problems, reserve
        self._asked: deque[Asked] = deque()
        self._copy: _Copy | None = None

    def begin(self) -> None:
        """Show what is on the disk; what a copy that was cut off left goes."""
        self._received.drop()
        self._state.set_received(self._received.items())

    def ask(self, request: ReceivedRequest) -> Asked:
        """Do it in the next steps."""
        asked = Asked(request)
        self._asked.append(asked)
        return asked

    @property
    def pending(self) -> bool:
        """Whether `step` has something to do."""
        return self._copy is not None or bool(self._asked)

    def step(self) -> None:
        """A slice."""
        if self._copy is None and not self._asked:
            return
        asked = self._copy.asked if self._copy is not None else self._asked.popleft()
        try:
            if asked.request.remove:
                self._remove(asked.request.remove)
                asked.done = True
            else:
                self._accept(asked)
            if asked.done and asked.request.accept:
                self._problems.solved(asked.request.accept)
        except LessonBoxError as error:
            self._copy, asked.done = None, True
            self._problems.note(asked.request.accept or "received", error)
            self._received.drop()

    def _remove(self, root: str) -> None:
        kept = [item for item in self._state.received() if item.file.root != root]
        self._state.set_received(kept)  # first: what is shown is there
        self._received.drop(root)

    def _accept(self, asked: Asked) -> None:
        path = asked.request.accept
        if self._copy is None:
            stat = self._state.foreign_drop(path)
            if stat is None:
                raise NotFoundError(f"{path} is no file in a drop folder that no release names")
            if self._store.free() - stat.size <= self._reserve:
                raise DiskFullError(f"no space to keep {path}")
            self._copy = _Copy(asked, stat, self._drops.portions(path), Hasher())
        copy, most = self._copy, _AT_ONCE
        for data in copy.portions:
            self._received.append(data, copy.at)
            copy.hasher.update(data)
            copy.at += len(data)
            most -= len(data)
            if copy.at > copy.stat.size:
                break
            if most <= 0:
                return
        if copy.at != copy.stat.size:
            raise DropError(f"{path} changed while it was copied")
        file, _ = copy.hasher.finish()
        item = ReceivedItem(file, shown_name(path), path, int(self._clock.wall()))
        self._received.keep(item)
        others = [other for other in self._state.received() if other.file.root != file.root]
        self._state.set_received([*others, item])
        self._copy, asked.done = None, True
