"""Changing box.toml: a line at a time, checked as the programs will read it, whole or not at all."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from appliance.config import BOX_SETTINGS, check_settings
from content_sync.adapters.files import read_capped, write_durable
from content_sync.settings import Settings, Value, parse, toml_value

_MAX = 1 << 20


def settings_of(text: str) -> Settings:
    """box.toml as the programs will read it. Raises SettingError."""
    return parse(BOX_SETTINGS, text, pass_over=True)


def with_setting(text: str, name: str, value: Value) -> str:
    """box.toml with one setting changed: in its own line, which may be a comment, else in a new first one."""
    line = f"{name} = {toml_value(value)}"
    for pattern in (rf"(?m)^{name}\s*=.*$", rf"(?m)^#\s*{name}\s*=.*$"):
        if re.search(pattern, text):
            return re.sub(pattern, lambda _: line, text, count=1)
    return f"{line}\n{text}"


def change(path: Path, values: Mapping[str, Value]) -> bool:
    """Give these settings these values; whether anything changed. Raises SettingError, StorageError,
    DiskFullError: then nothing has."""
    text = before = read_capped(path, _MAX).decode("utf-8", "replace")
    for name, value in values.items():
        if settings_of(text)[name] != value:
            text = with_setting(text, name, value)
    if text == before:
        return False
    found = settings_of(text)
    check_settings(found, path.parent)
    write_durable(path, text.encode(), 0o640)
    return True
