"""A system update in QEMU: tried, confirmed, or gone back from, on the amd64 image (`make test-update`)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.image import boot
from tests.image.trial import BAD, bad, good

pytestmark = pytest.mark.slow
WITHIN = 300.0


@pytest.fixture(scope="module")
def box(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A card of 8 GB with a box and its lessons on it; the key for SSH lies beside it."""
    card, _ = boot.lessons_card(image, tmp_path_factory.mktemp("update"))
    return card


def test_a_good_one_is_confirmed(box: Path, tmp_path: Path) -> None:
    print(good(box, tmp_path))


@pytest.mark.parametrize("name", BAD)
def test_a_bad_one_is_gone_back_from(box: Path, name: str, tmp_path: Path) -> None:
    figures = bad(box, tmp_path, *BAD[name])
    print(name, figures)
    assert figures["back"] - figures["tried"] < WITHIN
