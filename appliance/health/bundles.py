"""The diagnosis for the county's technician: one zip that holds what is wrong and nothing that is secret.

What goes in is chosen by name. Of everything else, the journal above all, whatever looks like a secret or is
known to be one on this box is blotted out.
"""

from __future__ import annotations

import io
import json
import platform
import re
import tomllib
import zipfile
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus, unquote

from appliance.config import BOX_SETTINGS, BoxPaths, load_settings, read_enrolment
from appliance.health.faults import fault_codes, spoken
from appliance.health.machine import Machine
from appliance.helped import Helper
from appliance.network.wanted import OPEN
from appliance.status import read_status
from content_sync.adapters.files import read_capped, write_durable
from content_sync.errors import LessonBoxError
from content_sync.formats.canonical import time_text
from content_sync.formats.enrolment import MAX_ENROLMENT
from content_sync.formats.hotspot import hotspot_password

BLOT = "***"
#: Where the doctor's unit leaves its bundle, in memory.
LEFT = Path("/run/lessonbox-doctor/diagnosis.zip")
_MOST = 16 << 20
_JOURNAL = ("journalctl", "--unit=lessonbox-*", "--lines=2000", "--output=short-iso", "--no-pager")
_LOG = ("journalctl", "--dmesg", "--boot", "--lines=1000", "--output=short-monotonic", "--no-pager")
#: Credentials in an address; what stands after a word such as password; long hex and base64, which keys,
#: claims and tokens are. Roots of files are 64 hex digits too: nobody needs them for a diagnosis.
_SECRETS = (
    (re.compile(r"://[^/\s@:]*:[^\s\"']*@"), f"://{BLOT}@"),
    (
        re.compile(
            r"(?i)((?:pass(?:word|wd|phrase)?|psk|pin|claim|secret|token|key|cookie|密码|口令)[\"'\w]*\s*[=:：]\s*)"
            r"(\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'|[^\s,;}]+)"
        ),
        rf"\1{BLOT}",
    ),
    (re.compile(r"-----BEGIN [^-]+-----.*?(?:-----END [^-]+-----|\Z)", re.DOTALL), BLOT),
    (re.compile(r"[0-9a-fA-F]{24,}"), BLOT),
    (re.compile(r"(?<![\w+/-])[A-Za-z0-9+/_-]{40,}={0,2}"), BLOT),
)


def blotted(text: str, known: Iterable[str] = ()) -> str:
    """The text without what is `known` to be secret here, and without what looks like it."""
    for secret in sorted((s for s in known if len(s) >= 4), key=len, reverse=True):
        text = text.replace(secret, BLOT)
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


def summary(status: dict[str, Any], software: str) -> str:
    """A few lines for the code on the help page: what a technician asks first. No secrets, no names."""
    codes = fault_codes(problem["code"] for problem in status["problems"]) or [spoken(0)]
    counts, space = status["lessons"], status["space"]
    free = f" free={space['free'] >> 20}M" if space.get("free") is not None else ""
    lines = [
        "LESSONBOX",
        f"box={status['box'] or 'none'} v={software} release={status['release'] or 0}",
        f"fault={' '.join(codes[:8])}",
        f"lessons={counts['present']}/{sum(counts.values())}{free}",
        f"unsent={status['outbox']['unacknowledged']} clock={status['clock']['source']}",
    ]
    return "\n".join(lines)


def write(path: Path, data: Path, checks: list[dict[str, Any]], now: int) -> None:
    """Write the bundle to `path`, durably. Raises DiskFullError, StorageError."""
    write_durable(path, make(data, checks, now))


def newest(data: Path, now: int, helper: Helper = Helper(), left: Path = LEFT) -> bytes:
    """The bundle for a page or a stick. Where there is a helper the doctor makes it, who may read journals;
    else it is made here, of what can be read."""
    try:
        if helper.there():
            helper.ask("diagnose")
            return read_capped(left, _MOST)
    except LessonBoxError:
        pass
    return make(data, [], now)


def make(data: Path, checks: list[dict[str, Any]], now: int, machine: Machine = Machine()) -> bytes:
    """The bundle. What can't be read is left out of it."""
    known = _known(BoxPaths(data))
    parts: dict[str, str] = {
        "checks.json": _json(checks),
        "machine.txt": f"{platform.platform()}\n{machine.read('proc/device-tree/model')}\n"
        f"lessonbox {version('lessonbox')}, Python {platform.python_version()}\nwritten {time_text(now)}\n",
        "settings.json": _json(_settings(data)),
        "journal.txt": machine.tool(_JOURNAL),
        "kernel.txt": machine.tool(_LOG),
        "mounts.txt": machine.read("proc/self/mounts"),
        "memory.txt": machine.read("proc/meminfo"),
    }
    try:
        status = read_status(data)
        parts["status.json"] = _json(status)
        parts["summary.txt"] = summary(status, version("lessonbox"))
    except LessonBoxError as error:
        parts["status.json"] = _json({"code": error.code, "message": error.what})
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in sorted(parts.items()):
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, blotted(text, known), zipfile.ZIP_DEFLATED)
    return held.getvalue()


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True)


def _settings(data: Path) -> dict[str, Any]:
    """What box.toml says, but for what is as it always is."""
    try:
        settings = load_settings(data)
    except LessonBoxError as error:
        return {"error": error.code}
    changed = {s.name: settings[s.name] for s in BOX_SETTINGS if settings[s.name] != s.default}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in changed.items()}


def _known(paths: BoxPaths) -> set[str]:
    """The secrets of this very box, to be blotted out wherever they turn up."""
    found: set[str] = set()
    try:
        enrolment = read_enrolment(paths)
        secrets = (enrolment.claim, enrolment.token_key, hotspot_password(enrolment))
        found = {secret for secret in secrets if secret}
    except LessonBoxError:
        pass  # then what looks like a secret is all that can be known
    for path in (paths.key, paths.pin):
        try:
            text = read_capped(path, MAX_ENROLMENT).decode("utf-8", "replace")
        except LessonBoxError:
            continue
        found |= {line for line in text.splitlines() if len(line) >= 16}
    return found | {form for secret in _set(paths.config) for form in _forms(secret)}


def _set(config: Path) -> set[str]:
    """Passwords in box.toml, whether its settings are right or not."""
    try:
        told = tomllib.loads(read_capped(config, MAX_ENROLMENT).decode("utf-8", "replace"))
    except (LessonBoxError, tomllib.TOMLDecodeError):
        return set()
    found = {str(value) for name, value in told.items() if name.endswith("password") and value != OPEN}
    for value in (told.get("proxy"), *(urls if isinstance(urls := told.get("urls"), list) else ())):
        # Up to the last @: what was not quoted as it should be is still a password.
        user, _, password = str(value).partition("://")[2].rpartition("@")[0].partition(":")
        found |= {f"{user}:{password}", password, unquote(password)} if password else set()
    return found


def _forms(secret: str) -> set[str]:
    """A secret as it is, in JSON and in addresses."""
    return {
        secret,
        json.dumps(secret, ensure_ascii=False)[1:-1],
        json.dumps(secret)[1:-1],
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
    }
