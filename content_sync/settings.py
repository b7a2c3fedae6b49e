"""One table of settings per program: it feeds validation, `--help` and docs/settings.md.

Values come from a TOML file (flat keys); what is absent has its default. Unknown keys are errors, so that a
misspelt setting never goes unnoticed; where an older program may come back to a newer one's file, they are
passed over, and somebody has to tell.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from content_sync.errors import SettingError, UsageError

Value = str | int | bool | tuple[str, ...]


class Setting(Struct, frozen=True):
    """One setting. `default` also gives the type: str, int, bool or a tuple of str. `unit` is for people."""

    name: str
    default: Value
    help: str
    unit: str = ""
    least: int | None = None
    most: int | None = None
    choices: tuple[str, ...] = ()

    def check(self, value: object) -> Value:
        """The value in this setting's type. Raises SettingError."""
        kind = type(self.default)
        if isinstance(self.default, tuple):
            if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
                raise SettingError(f"{self.name} must be a list of texts")
            if self.choices and not set(value) <= set(self.choices):
                raise SettingError(f"{self.name} may hold {', '.join(self.choices)}")
            return tuple(value)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise SettingError(f"{self.name} must be {_KINDS[kind]}, not {value!r}")
        if isinstance(value, int) and not self._in_range(value):
            raise SettingError(f"{self.name} must be {self.least} to {self.most} {self.unit}".rstrip())
        if self.choices and value not in self.choices:
            raise SettingError(f"{self.name} must be one of {', '.join(self.choices)}")
        assert isinstance(value, str | int | bool)
        return value

    def _in_range(self, value: int) -> bool:
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)


_KINDS: dict[type, str] = {str: "a text", int: "a whole number", bool: "true or false"}


class Settings(Mapping[str, Value]):
    """Checked values of a table: `settings["name"]`, or `.text`, `.number`, `.flag`, `.texts` by type.
    `unknown`: names that the table lacks; none where they are errors."""

    def __init__(
        self, table: Iterable[Setting], values: Mapping[str, object], pass_over: bool = False
    ) -> None:
        by_name = {setting.name: setting for setting in table}
        self.unknown = tuple(sorted(set(values) - set(by_name)))
        if self.unknown and not pass_over:
            raise SettingError(f"no such setting: {', '.join(self.unknown)}")
        self._values = {
            name: setting.check(values[name]) if name in values else setting.default
            for name, setting in by_name.items()
        }

    def __getitem__(self, name: str) -> Value:
        return self._values[name]

    def __iter__(self) -> Any:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def text(self, name: str) -> str:
        """A text setting."""
        value = self._values[name]
        assert isinstance(value, str)
        return value

    def number(self, name: str) -> int:
        """A whole-number setting, in its stated unit."""
        value = self._values[name]
        assert isinstance(value, int) and not isinstance(value, bool)
        return value

    def flag(self, name: str) -> bool:
        """A true-or-false setting."""
        value = self._values[name]
        assert isinstance(value, bool)
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """A list setting."""
        value = self._values[name]
        assert isinstance(value, tuple)
        return value


def parse(table: Iterable[Setting], toml: str, pass_over: bool = False) -> Settings:
    """Settings from TOML text; unknown ones are errors, or passed over. Raises SettingError."""
    try:
        values = tomllib.loads(toml)
    except tomllib.TOMLDecodeError as error:
        raise SettingError(f"not TOML: {error}") from None
    return Settings(table, values, pass_over)


def parse_listen(text: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT` (IPv6 in brackets). Raises UsageError."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise UsageError(f"--listen must be HOST:PORT, not {text!r}")
    return host.strip("[]") or "0.0.0.0", int(port)


def toml_value(value: Value) -> str:
    """A value as TOML text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, tuple):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def help_text(table: Iterable[Setting], file: str) -> str:
    """The table as the end of `--help` shows it (`\\b`: click keeps the lines as they are)."""
    lines = [f"\b\nSettings in {file}, with their defaults:"]
    for setting in table:
        unit = f" {setting.unit}" if setting.unit else ""
        lines.append(f"  {setting.name} = {toml_value(setting.default)}{unit}: {setting.help}")
    return "\n".join(lines)


def markdown(table: Iterable[Setting]) -> str:
    """The table as docs/settings.md shows it."""
    rows = ["| setting | default | unit | range | meaning |", "|---|---|---|---|---|"]
    for setting in table:
        if setting.choices:
            span = ", ".join(setting.choices)
        elif setting.least is not None or setting.most is not None:
            span = f"{setting.least} to {setting.most}"
        else:
            span = ""
        default = toml_value(setting.default)
        rows.append(f"| `{setting.name}` | `{default}` | {setting.unit} | {span} | {setting.help} |")
    return "\n".join(rows) + "\n"
