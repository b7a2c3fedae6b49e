"""The mini-PC's image, made once for all who start it (not packed: that is a third of an hour).

LESSONBOX_IMAGE=FILE names a ready one.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.image.test_image import TOOLS, build


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    given = os.environ.get("LESSONBOX_IMAGE")
    if given:
        return Path(given).resolve()
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if os.geteuid() or missing:
        pytest.skip(f"an image is made by root, with {missing or TOOLS} (make test-image gets them)")
    return build(tmp_path_factory.mktemp("image"), "--fast")
