"""Looking for garbage: rarely while loading, as usual afterwards, and never again in what was loaded."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
import gc
usual = gc.get_threshold()
from content_sync import loading
loading.begin()
assert gc.isenabled() and gc.get_threshold()[0] > 100_000 and gc.get_threshold()[1:] == usual[1:]
loop = []
loop.append(loop)
many = len(gc.get_objects())
del loop
loading.end()
assert gc.get_threshold() == usual
assert gc.get_freeze_count() > 1000 and len(gc.get_objects()) < many / 10
"""


def test_loading() -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True)
    assert not done.returncode, done.stderr
