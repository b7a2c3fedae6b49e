"""What avahi-daemon, where it runs, calls this machine: asked over D-Bus by systemd's busctl."""

from __future__ import annotations

import json
import os
import subprocess

_ASK = (
    "busctl",
    "--system",
    "--auto-start=no",
    "--timeout=3",
    "--json=short",
    "call",
    "org.freedesktop.Avahi",
    "/",
    "org.freedesktop.Avahi.Server",
    "GetHostNameFqdn",
)


def avahi_host_name() -> str | None:
    """Avahi's own host name, such as `lesson.local`; None when avahi does not run here."""
    environment = {**os.environ, "LC_ALL": "C"}
    environment.pop("NOTIFY_SOCKET", None)  # what it has to say of itself is nothing of ours
    try:
        done = subprocess.run(_ASK, capture_output=True, timeout=10, env=environment, check=True)
        name = json.loads(done.stdout)["data"][0]
    except (OSError, subprocess.SubprocessError, ValueError, LookupError, TypeError):
        return None
    return name if isinstance(name, str) and name.endswith(".local") else None
