"""What /proc/self/mountinfo says, beyond splitting its lines (proc_pid_mountinfo(5))."""

from __future__ import annotations

import re


def mount_point(field: str) -> str:
    """A mount point as it is called: space, tab, line end and the backslash stand there in octal."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), field)
