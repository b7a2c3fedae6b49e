"""`lessonbox web` as a process of its own, on a box made by hand."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

from tests.box import SmallBox


class WebProcess:
    """The board's program on free ports; `url` and `courseware` are its addresses."""

    def __init__(
        self, box: SmallBox, settings: str = "", listen: str = "127.0.0.1:0", **more: object
    ) -> None:
        if settings:
            box.paths.config.write_text(settings)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "appliance", "web", "--data", str(box.data), "--listen", listen],
            cwd=Path(__file__).parents[2],
            stderr=subprocess.PIPE,
            text=True,
            **more,  # type: ignore[call-overload]
        )
        said = ""
        assert self.process.stderr is not None
        while "courseware" not in said:
            line = self.process.stderr.readline()
            assert line, f"web ended: {said}"
            said += line
        self.url, self.courseware = re.findall(r"(http://\S+?)/\n", said)
        self.port = int(self.url.rpartition(":")[2])

    def stop(self) -> float:
        """End it; seconds that it took."""
        began = time.monotonic()
        self.process.terminate()
        self.process.wait(30)
        if self.process.stderr is not None:
            self.process.stderr.close()
        return time.monotonic() - began
