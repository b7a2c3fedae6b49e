"""Problems as people see them: noted once, cleared when they are over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import Struct

from content_sync.engine.words import sentence
from content_sync.errors import FormatError, LessonBoxError, TrustError
from content_sync.ports import Clock, State


class Refusal(Struct):
    """What was refused inside a `Problems.refusal` block, if anything."""

    error: LessonBoxError | None = None


class Problems:
    """Writes problems to state.db; `subject` is a path, an address or a lesson."""

    def __init__(self, state: State, clock: Clock) -> None:
        self._state, self._clock = state, clock

    def note(self, subject: str, error: LessonBoxError) -> None:
        """It needs a person."""
        self._state.problem(error.code, subject, sentence(error), int(self._clock.wall()))

    def solved(self, subject: str, code: str | None = None) -> None:
        """It is over."""
        self._state.solved(subject, code)

    @contextmanager
    def refusal(self, subject: str) -> Iterator[Refusal]:
        """What is untrue or damaged inside the block becomes a problem and goes no further; other errors
        pass."""
        found = Refusal()
        try:
            yield found
        except (TrustError, FormatError) as error:
            found.error = error
            self.note(subject, error)
