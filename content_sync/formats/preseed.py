"""What Raspberry Pi Imager's own customisation leaves on the FAT partition (formats.md 16).

Imager 2 writes `rpi-preseed.toml` for an image whose os_list entry says `"init_format": "rpi-preseed"`;
`custom.toml` is the older form of the same table. Only what a box has is taken: name, Wi-Fi, SSH keys. An
account, its password, keyboard and time zone are of no use to it and pass without a word.
"""

from __future__ import annotations

import tomllib
from typing import Any

from msgspec.structs import replace

from content_sync.formats.boxconfig import BoxConfig, Problem, Read, read_values

#: In this order; the first that is there counts.
PRESEED_NAMES = ("rpi-preseed.toml", "custom.toml")
#: What Imager 1 leaves with a local image, whatever it is: a box runs no script from its card.
OTHER_SYSTEMS_SCRIPT = "firstrun.sh"


def parse_preseed(data: bytes) -> Read:
    """The settings in it. Raises nothing: what is wrong is left out and named."""
    try:
        tables = tomllib.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return Read(problems=(Problem(0, "", "读不出来，不是 TOML", "not TOML that can be read"),))
    lines: list[tuple[int, str, str]] = []
    problems: list[Problem] = []

    def take(table: str, name: str, key: str) -> None:
        value = _table(tables, table).get(name)
        if isinstance(value, str) and value and value.isprintable():
            lines.append((0, key, value))
        elif value:
            problems.append(Problem(0, f"{table}.{name}", "不是一行文字", "not text of one line"))

    take("system", "hostname", "host_name")
    take("wlan", "ssid", "wifi_name")
    take("wlan", "password", "wifi_password")
    take("wlan", "country", "wifi_country")
    if _table(tables, "wlan").get("ssid_hex"):
        problems.append(
            Problem(0, "wlan.ssid_hex", "无线名称不是 UTF-8 文字", "a Wi-Fi name that is not UTF-8")
        )
    ssh = _table(tables, "ssh")
    if ssh.get("enabled") is True:
        keys = ssh.get("authorized_keys")
        found = [key for key in keys if isinstance(key, str)] if isinstance(keys, list) else []
        lines += [(0, "ssh_key", key) for key in found]
        if not found:
            problems.append(
                Problem(
                    0,
                    "ssh",
                    "课箱只认 SSH 公钥，没有密码登录",
                    "only by a public key; a box has no passwords",
                )
            )
    made = read_values(lines)
    return Read(made.config, (*problems, *made.problems))


def _table(tables: dict[str, Any], name: str) -> dict[str, Any]:
    found = tables.get(name)
    return found if isinstance(found, dict) else {}


def filled(own: BoxConfig, other: BoxConfig) -> BoxConfig:
    """`own`, and what it does not say from `other`; name, password and country of a Wi-Fi only together."""
    names = [name for name in own.__struct_fields__ if not getattr(own, name)]
    if own.wifi_name:
        names = [name for name in names if not name.startswith("wifi_")]
    return replace(own, **{name: getattr(other, name) for name in names})
