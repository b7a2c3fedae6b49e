"""`lessonbox.conf`: what a technician tells a box on the card's FAT partition (formats.md 16).

Lines `key = value`, so that Notepad can write it. Reading never fails: a line that is wrong is left out and
named, every other one holds, so that no slip of a pen keeps a box from coming up.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
import unicodedata
from collections.abc import Callable
from urllib.parse import urlsplit

from msgspec import Struct, field

from content_sync.errors import FormatError
from content_sync.formats.enrolment import check_url
from content_sync.formats.names import nfc

#: Names on the FAT partition. The enrolment file holds the claim (section 6); both are erased after use.
CONFIG_NAME, ENROLMENT_NAME = "lessonbox.conf", "enrolment.json"
MAX_CONFIG = 64 << 10
_MOST_PROBLEMS = 20
_MOST_NAME = 100
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,58}[a-z0-9])?")
_SERVER = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9.])?")
#: Words for "there is none", of keys that can't have them as their value.
_NOTHING = ("无", "没有", "不用", "none", "off", "no", "-")
_OR_NOTHING = ("address", "netmask", "gateway", "dns", "proxy", "uplinks")
_SSH_KINDS = ("ssh-ed25519", "ssh-rsa", "ecdsa-sha2-", "sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-")


class BoxConfig(Struct, frozen=True):
    """What the file says; an empty value: not said.

    `address`: like `192.168.1.10/24`, with a mask always; for the cable, or for the Wi-Fi when `wifi_name` is
    given. `wifi_password`: empty for an open network. `hotspot`: an own Wi-Fi, `auto` where there is no LAN.
    `uplinks`: like `usb0 metered`, interfaces that only lead out. `lan_gateway`: `no` where the LAN's router
    leads nowhere.
    """

    school_code: str = ""
    school_name: str = ""
    host_name: str = ""
    wifi_name: str = ""
    wifi_password: str = ""
    wifi_country: str = ""
    address: str = ""
    gateway: str = ""
    dns: tuple[str, ...] = ()
    proxy: str = ""
    hotspot: str = ""
    hotspot_name: str = ""
    hotspot_password: str = ""
    uplinks: tuple[str, ...] = ()
    lan_gateway: str = ""
    ssh_keys: tuple[str, ...] = ()


class Problem(Struct, frozen=True):
    """A line that was left out (0: the whole file): its key as written, what is wrong in Chinese and
    English. Never holds a value: it may be a password."""

    line: int
    key: str
    chinese: str
    english: str

    def text(self, language: str = "zh", name: str = CONFIG_NAME) -> str:
        """One sentence for a page, a console or a label; `name`: the file's."""
        if language == "zh":
            place = f"第{self.line}行" if self.line else "" if self.key else "整个文件"
            return f"{' '.join(filter(None, (name, place, self.key)))}：{self.chinese}"
        place = f"line {self.line}" if self.line else "" if self.key else "the file"
        return f"{name}, {' '.join(filter(None, (place, self.key)))}: {self.english}"


class Read(Struct, frozen=True):
    """What came of reading. `cleared`: keys that stand there without a value; `legible`: the file says
    something, so that what it does not say is not wanted either."""

    config: BoxConfig = field(default_factory=BoxConfig)
    problems: tuple[Problem, ...] = ()
    cleared: tuple[str, ...] = ()
    legible: bool = True


class _Wrong(Exception):
    """A value that can't be; Chinese, English."""


def _name(text: str) -> str:
    text = nfc(text)
    if len(text) > _MOST_NAME or not text.isprintable():
        raise _Wrong(f"最多{_MOST_NAME}个字，一行", f"at most {_MOST_NAME} characters on one line")
    return text


def _host(text: str) -> str:
    text = _narrow(text).lower().removesuffix(".local")
    if not _LABEL.fullmatch(text):
        raise _Wrong("只能用小写字母、数字和减号，最多60个", "letters, digits and hyphens only, at most 60")
    return text


def _wifi_name(text: str) -> str:
    if len(text.encode()) > 32 or not text.isprintable():
        raise _Wrong("无线名称最长32字节", "a Wi-Fi name has at most 32 bytes")
    return text


def _wifi_password(text: str) -> str:
    key = re.fullmatch(r"[0-9A-Fa-f]{64}", text)
    if not key and not (8 <= len(text) <= 63 and text.isascii() and text.isprintable()):
        raise _Wrong("无线密码是8到63个英文字符", "a Wi-Fi password has 8 to 63 ASCII characters")
    return text


def _hotspot_password(text: str) -> str:
    if text.lower() in ("open", "不设密码"):
        return "open"
    if not (8 <= len(text) <= 63 and text.isascii() and text.isprintable()):
        raise _Wrong("热点密码是8到63个英文字符", "8 to 63 ASCII characters")
    return text


def _country(text: str) -> str:
    text = _narrow(text).upper()
    if not re.fullmatch(r"[A-Z]{2}", text):
        raise _Wrong("两个字母，例如 CN", "two letters, like CN")
    return text


def _address(text: str) -> str:
    try:
        found = ipaddress.ip_interface(_narrow(text).replace(" ", ""))
    except ValueError:
        raise _Wrong("不是 192.168.1.10/24 这样的地址", "not an address like 192.168.1.10/24") from None
    whole = found.network
    if found.ip.is_multicast or found.ip.is_unspecified or found.ip.is_loopback:
        raise _Wrong("这个地址不能给一台设备用", "no device can have this address")
    if whole.num_addresses > 2 and found.version == 4 and found.ip in (whole[0], whole[-1]):
        raise _Wrong("这是网段本身或广播地址", "that is the network's or the broadcast address")
    return str(found)


def _ip(text: str) -> str:
    try:
        return str(ipaddress.ip_address(_narrow(text)))
    except ValueError:
        raise _Wrong("不是 192.168.1.1 这样的地址", "not an address like 192.168.1.1") from None


def _ips(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_ip(one) for one in re.split(r"[\s,;、，；]+", text) if one))[:3]


def _mask(text: str) -> str:
    try:
        return str(ipaddress.IPv4Network(f"0.0.0.0/{_narrow(text).lstrip('/')}").prefixlen)
    except ValueError:
        raise _Wrong("不是 255.255.255.0 这样的掩码", "not a mask like 255.255.255.0") from None


def _proxy(text: str) -> str:
    text = _narrow(text)
    try:
        url = check_url(text if "://" in text else f"http://{text}")
        parts = urlsplit(url)
        host = parts.hostname or ""
        # A lone word is a server's name only with a port: `yes` is none.
        if ":" in host:
            ipaddress.IPv6Address(host)
        elif not _SERVER.fullmatch(host) or not ("." in host or parts.port):
            raise ValueError
    except (FormatError, ValueError):
        raise _Wrong("不是 http://地址:端口", "not like http://HOST:PORT") from None
    return url


def _hotspot(text: str) -> str:
    known = {"auto": "auto", "自动": "auto"}
    known |= dict.fromkeys(("on", "yes", "true", "1", "开", "是"), "on")
    known |= dict.fromkeys(("off", "no", "false", "0", "关", "否"), "off")
    if _narrow(text).lower() not in known:
        raise _Wrong("填 auto、on 或 off", "auto, on or off")
    return known[_narrow(text).lower()]


def _uplinks(text: str) -> tuple[str, ...]:
    kinds = {"metered": "metered", "流量": "metered", "free": "free", "不限": "free"}
    kinds |= {"receive": "receive", "只收": "receive"}
    found = []
    for one in re.split(r"[,;、，；]+", _narrow(text)):
        name, _, kind = " ".join(one.split()).partition(" ")
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}", name) or kind.lower() not in kinds:
            raise _Wrong(
                "不是 usb0 metered 这样（或 free、receive）", "not like `usb0 metered` (free, receive)"
            )
        found.append(f"{name} {kinds[kind.lower()]}")
    return tuple(dict.fromkeys(found))


def _lan_gateway(text: str) -> str:
    known = dict.fromkeys(("yes", "on", "true", "1", "能", "是", "有"), "yes")
    known |= dict.fromkeys(("no", "off", "false", "0", "不能", "否", "无", "没有"), "no")
    if _narrow(text).lower() not in known:
        raise _Wrong("填 能 或 不能", "yes or no")
    return known[_narrow(text).lower()]


def _ssh(text: str) -> str:
    kind, _, rest = text.partition(" ")
    blob = rest.strip().partition(" ")[0]
    try:
        inside = base64.b64decode(blob, validate=True)
    except (binascii.Error, ValueError):
        inside = b""
    if (
        not kind.startswith(_SSH_KINDS)
        or inside[4 : 4 + len(kind)] != kind.encode()
        or not text.isprintable()
    ):
        raise _Wrong("不是 SSH 公钥（ssh-ed25519 AAAA…）", "not an SSH public key (ssh-ed25519 AAAA…)")
    return text


def _narrow(text: str) -> str:
    """As typed with an English keyboard: full-width letters, digits and dots made plain."""
    return unicodedata.normalize("NFKC", text).replace("。", ".").strip()


_KEYS: dict[str, tuple[str, Callable[[str], str | tuple[str, ...]]]] = {
    "school_code": ("学校代码", _name),
    "school_name": ("学校名称", _name),
    "host_name": ("主机名", _host),
    "wifi_name": ("无线名称", _wifi_name),
    "wifi_password": ("无线密码", _wifi_password),
    "wifi_country": ("无线国家", _country),
    "address": ("地址", _address),
    "netmask": ("子网掩码", _mask),
    "gateway": ("网关", _ip),
    "dns": ("域名服务器", _ips),
    "proxy": ("代理", _proxy),
    "hotspot": ("热点", _hotspot),
    "hotspot_name": ("热点名称", _wifi_name),
    "hotspot_password": ("热点密码", _hotspot_password),
    "uplinks": ("上行", _uplinks),
    "lan_gateway": ("局域网能上网", _lan_gateway),
    "ssh_key": ("ssh公钥", _ssh),
}
_OTHER_NAMES = {
    "学校": "school_name",
    "学校全称": "school_name",
    "单位名称": "school_name",
    "学校标识码": "school_code",
    "学校编码": "school_code",
    "学校编号": "school_code",
    "wifissid": "wifi_name",
    "ssid": "wifi_name",
    "wifi": "wifi_name",
    "wifi名称": "wifi_name",
    "wifi密码": "wifi_password",
    "ip": "address",
    "ip地址": "address",
    "掩码": "netmask",
    "默认网关": "gateway",
}


def key_of(text: str) -> str | None:
    """The key that a person means by this word, English or Chinese; None: none."""
    word = re.sub(r"\(.*?\)|[\s_*:-]", "", unicodedata.normalize("NFKC", text).lower())
    for key, (chinese, _) in _KEYS.items():
        if word in (key.replace("_", ""), chinese):
            return key
    return _OTHER_NAMES.get(word)


def read_values(lines: list[tuple[int, str, str]]) -> Read:
    """Of (line, key as written, value): a file's lines, or the cells of a row in a county's list."""
    values: dict[str, str | tuple[str, ...]] = {}
    where: dict[str, tuple[int, str]] = {}
    keys: list[str] = []
    problems: list[Problem] = []
    empty: list[str] = []
    for line, written, text in lines:
        shown = "".join(c for c in written if c.isprintable())[:40]
        key = key_of(written)
        if key in _OR_NOTHING and _narrow(text).lower() in _NOTHING:
            text = ""
        if key is None:
            problems.append(Problem(line, shown, "没有这个项目", "there is no such key"))
        elif key in where and key != "ssh_key":
            problems.append(Problem(line, shown, "写了两次，用第一次的", "given twice; the first holds"))
        elif text:
            where[key] = line, shown
            try:
                value = _KEYS[key][1](text)
            except _Wrong as wrong:
                problems.append(Problem(line, shown, *wrong.args))
                continue
            if key == "ssh_key":
                keys += [str(value)]
            else:
                values[key] = value
        else:
            empty.append(key)
    problems += _together(values, where)
    values |= {"ssh_keys": tuple(dict.fromkeys(keys))}
    values.pop("netmask", None)
    cleared = tuple(key for key in dict.fromkeys(empty) if key not in where)
    return Read(BoxConfig(**values), tuple(problems[:_MOST_PROBLEMS]), cleared)  # type: ignore[arg-type]


def _together(values: dict[str, str | tuple[str, ...]], where: dict[str, tuple[int, str]]) -> list[Problem]:
    """What holds only with another value. Changes `values`."""
    found = []

    def drop(key: str, chinese: str, english: str) -> None:
        values.pop(key, None)
        found.append(Problem(*where[key], chinese, english))

    address, mask = str(values.get("address", "")), values.get("netmask")
    if mask is not None and not address:
        drop("netmask", "没有地址", "there is no address")
    elif address.endswith(("/32", "/128")):
        if mask is None:
            drop("address", "没有子网掩码，例如 192.168.1.10/24", "without its mask, like 192.168.1.10/24")
        else:
            try:
                values["address"] = _address(f"{address.partition('/')[0]}/{mask}")
            except _Wrong as wrong:
                drop("address", *wrong.args)
    if "gateway" in values:
        if "address" not in values:
            drop("gateway", "没有可用的地址", "there is no address that holds")
        elif ipaddress.ip_address(str(values["gateway"])) not in _network(str(values["address"])):
            drop("gateway", "不在地址的网段里", "not in the address's network")
    if "wifi_password" in values and "wifi_name" not in values:
        drop("wifi_password", "没有无线名称", "there is no Wi-Fi name")
    if "wifi_password" in where and "wifi_password" not in values and "wifi_name" in values:
        # An open network of the same name would be another one than was meant.
        drop("wifi_name", "密码不对，所以不用", "not used, since its password can't be right")
    return found


def _network(address: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    return ipaddress.ip_interface(address).network


def parse_boxconfig(data: bytes) -> Read:
    """Read the file's bytes, whoever wrote them. Raises nothing."""
    if len(data) > MAX_CONFIG:
        return Read(problems=(Problem(0, "", "太大，没有读", "too large, not read"),), legible=False)
    text = _decoded(data)
    if text is None:
        return Read(problems=(Problem(0, "", "不是文本文件", "not a text file"),), legible=False)
    lines, problems = [], []
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), 1):
        line = line.strip().lstrip("\ufeff")
        if not line or line[0] in "#;＃；[【":
            continue
        parts = re.split(r"\s*[=＝]\s*", line, maxsplit=1)
        if len(parts) < 2:
            parts = re.split(r"\s*[:：]\s*", line, maxsplit=1)
        if len(parts) < 2:
            problems.append(Problem(number, "", "不是“项目 = 内容”", "not `key = value`"))
            continue
        lines.append((number, parts[0], _unquoted(parts[1])))
    made = read_values(lines)
    return Read(
        made.config,
        (*problems, *made.problems)[:_MOST_PROBLEMS],
        made.cleared,
        bool(text.strip("\ufeff \r\n")),
    )


def _decoded(data: bytes) -> str | None:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        codings: tuple[str, ...] = ("utf-16",)
    elif b"\0" in data:
        codings = ("utf-16-be",) if data[::2].count(0) > data[1::2].count(0) else ("utf-16-le",)
    else:
        codings = ("utf-8-sig", "gb18030")
    for coding in codings:
        try:
            text = data.decode(coding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    return None


def _unquoted(text: str) -> str:
    for begin, end in ('""', "“”", "''"):
        if len(text) >= 2 and text[0] == begin and text[-1] == end:
            return text[1:-1]
    return text


_HEAD = """# 课箱的设置。用记事本就能改：每行“项目 = 内容”，行首的 # 去掉才算数。填错的行不算，课箱照样能用。
# Settings of the Lesson Box. Each line is `key = value`; a line that begins with # does not count.
# A wrong line is left out; the box comes up all the same.
"""
_SAMPLES = {
    "school_code": "001",
    "school_name": "清河镇中心小学",
    "host_name": "lesson",
    "wifi_name": "school-wifi",
    "wifi_password": "password",
    "wifi_country": "CN",
    "address": "192.168.1.10/24",
    "gateway": "192.168.1.1",
    "dns": "192.168.1.1",
    "proxy": "http://192.168.1.2:8080",
    "hotspot": "auto",
    "hotspot_name": "lesson",
    "hotspot_password": "password",
    "uplinks": "usb0 metered",
    "lan_gateway": "no",
    "ssh_key": "ssh-ed25519 AAAA…",
}


def dump_boxconfig(config: BoxConfig) -> bytes:
    """The file for these values, with what else could be said as comments: UTF-8 with BOM and CRLF, as
    Notepad of every Windows reads it. Raises FormatError for a value that would not be read back."""
    lines = [_HEAD]
    for key, sample in _SAMPLES.items():
        value = getattr(config, "ssh_keys" if key == "ssh_key" else key)
        given = (
            [", ".join(value)]
            if key in ("dns", "uplinks") and value
            else [value]
            if isinstance(value, str)
            else value
        )
        texts = [text for text in given if text]
        lines.append(f"# {_KEYS[key][0]}")
        lines += [f"{key} = {_quoted(text)}" for text in texts] or [f"# {key} = {sample}"]
    data = b"\xef\xbb\xbf" + ("\n".join(lines) + "\n").replace("\n", "\r\n").encode()
    back = parse_boxconfig(data)
    wrong = [name for name in config.__struct_fields__ if getattr(back.config, name) != getattr(config, name)]
    if wrong or back.problems:
        raise FormatError(f"{', '.join(wrong)} can't stand in {CONFIG_NAME}")
    return data


def _quoted(text: str) -> str:
    plain = text == text.strip() and text == _unquoted(text)
    return text if plain else f'"{text}"'
