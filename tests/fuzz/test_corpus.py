"""Every input that the fuzzers gathered (run.py), and every one that they begin with, once more."""

from __future__ import annotations

import pytest

from tests.fuzz.run import read_corpus
from tests.fuzz.targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus_crashes_nothing_and_forges_nothing(name: str) -> None:
    gathered = read_corpus(name)
    assert gathered, "fuzz it: python -m tests.fuzz.run"
    for data in gathered:
        TARGETS[name].run(data)


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_right_is_accepted(name: str) -> None:
    for data in TARGETS[name].seeds:
        TARGETS[name].parse(data)
