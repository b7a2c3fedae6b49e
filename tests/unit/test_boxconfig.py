"""`lessonbox.conf` (formats.md 16): whoever wrote it, the box reads what it can and never stumbles."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from content_sync.errors import FormatError
from content_sync.formats.boxconfig import (
    MAX_CONFIG,
    BoxConfig,
    Problem,
    dump_boxconfig,
    key_of,
    parse_boxconfig,
)

_BLOB = base64.b64encode(b"\0\0\0\x0bssh-ed25519" + bytes(36)).decode()
KEY = f"ssh-ed25519 {_BLOB} li@office"
WHOLE = BoxConfig(
    school_code="001",
    school_name="清河镇中心小学",
    host_name="lesson-3",
    wifi_name="校园 网",
    wifi_password='"a b#=;c"',
    wifi_country="CN",
    address="192.168.1.10/24",
    gateway="192.168.1.1",
    dns=("192.168.1.1", "223.5.5.5"),
    proxy="http://192.168.1.2:8080",
    hotspot="off",
    ssh_keys=(KEY,),
)


def keys_of(problems: tuple[Problem, ...]) -> list[str]:
    return [problem.key for problem in problems]


@pytest.mark.parametrize("config", [WHOLE, BoxConfig(), replace(WHOLE, wifi_password="", gateway="")])
def test_written_and_read_back(config: BoxConfig) -> None:
    data = dump_boxconfig(config)
    assert data.startswith(b"\xef\xbb\xbf") and data.count(b"\r\n") == data.count(b"\n")
    read = parse_boxconfig(data)
    assert read.config == config and not read.problems


@pytest.mark.parametrize(
    "coding", ["utf-8", "utf-8-sig", "gb18030", "gbk", "utf-16", "utf-16-le", "utf-16-be"]
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_notepad(coding: str, end: str) -> None:
    lines = [
        "学校名称 = 清河镇中心小学",
        "; 说明",
        "",
        "[box]",
        "wifi_name=校园网",
        "wifi_password = 12345678",
    ]
    read = parse_boxconfig(end.join(lines).encode(coding))
    assert not read.problems
    assert (read.config.school_name, read.config.wifi_name) == ("清河镇中心小学", "校园网")


def test_typed_with_a_chinese_keyboard() -> None:
    text = "ＩＰ地址：１９２．１６８。１．１０\n子网掩码＝255.255.255.0\n默认网关=192.168.1.1\n"
    text += "Wi-Fi 名称：“校园网”\n热点＝自动"
    read = parse_boxconfig(text.encode("gbk"))
    assert not read.problems
    assert read.config == BoxConfig(
        address="192.168.1.10/24", gateway="192.168.1.1", wifi_name="校园网", hotspot="auto"
    )


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("host_name = my box", "host_name"),
        ("address = 192.168.1.300/24", "address"),
        ("address = 192.168.1.10", "address"),
        ("address = 192.168.1.0/24", "address"),
        ("address = 192.168.1.255/24", "address"),
        ("address = 127.0.0.1/8", "address"),
        ("netmask = 255.255.255.0", "netmask"),
        ("gateway = 10.0.0.1", "gateway"),
        ("dns = router", "dns"),
        ("proxy = http://a b", "proxy"),
        ("hotspot = perhaps", "hotspot"),
        ("wifi_name = " + "网" * 11, "wifi_name"),
        ("wifi_password = 12345678", "wifi_password"),
        ("wifi_country = China", "wifi_country"),
        ("ssh_key = ssh-ed25519 AAAA", "ssh_key"),
        ("ssh_key = rm -rf /", "ssh_key"),
        ("pasword = x", "pasword"),
        ("just words", ""),
    ],
)
def test_a_wrong_line_is_left_out_alone(line: str, key: str) -> None:
    read = parse_boxconfig(f"school_code = 7\n{line}\nschool_name = 七小\n".encode())
    assert read.config == BoxConfig(school_code="7", school_name="七小")
    assert keys_of(read.problems) == [key] and read.problems[0].line == 2
    assert read.problems[0].text("zh").startswith(f"lessonbox.conf 第2行 {key}".rstrip())
    assert read.problems[0].text("en").startswith(f"lessonbox.conf, line 2 {key}".rstrip())


def test_values_that_hang_together() -> None:
    read = parse_boxconfig(b"address = 10.1.1.5/24\ngateway = 10.1.2.1\n")
    assert read.config == BoxConfig(address="10.1.1.5/24") and keys_of(read.problems) == ["gateway"]
    read = parse_boxconfig(b"wifi_name = school\nwifi_password = short\n")
    assert read.config == BoxConfig() and keys_of(read.problems) == ["wifi_password", "wifi_name"]
    read = parse_boxconfig(b"dns = 1.1.1.1\ndns = 2.2.2.2\n")
    assert read.config.dns == ("1.1.1.1",) and keys_of(read.problems) == ["dns"]
    assert parse_boxconfig(f"ssh_key={KEY}\nssh_key={KEY} 2\n".encode()).config.ssh_keys == (KEY, KEY + " 2")


def test_a_problem_never_tells_a_password() -> None:
    read = parse_boxconfig(
        "wifi_name = a\nwifi_password = 密码secret\nwifi_password = secret\nsecret!\n".encode()
    )
    assert len(read.problems) == 4
    assert not any("secret" in one.text(language) for one in read.problems for language in ("zh", "en"))


def test_nonsense() -> None:
    assert parse_boxconfig(b"\xff" * 100).config == BoxConfig()
    big = parse_boxconfig(b"x" * (MAX_CONFIG + 1))
    assert big.config == BoxConfig() and big.problems[0].line == 0 and "太大" in big.problems[0].text()
    many = parse_boxconfig(b"nonsense\n" * 1000)
    assert len(many.problems) == 20


@given(st.binary(max_size=400))
def test_reading_never_raises(data: bytes) -> None:
    parse_boxconfig(data)


@given(st.text(max_size=300))
def test_reading_text_never_raises(text: str) -> None:
    for key in ("address", "gateway", "proxy", "ssh_key", "dns", "netmask", "host_name", "wifi_name"):
        parse_boxconfig(f"{key} = {text}\n".encode("utf-8", "surrogatepass"))


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), min_size=8, max_size=63))
def test_any_password_comes_back(password: str) -> None:
    config = BoxConfig(wifi_name="school", wifi_password=password)
    assert parse_boxconfig(dump_boxconfig(config)).config == config


def test_what_cannot_be_read_back_is_not_written() -> None:
    with pytest.raises(FormatError):
        dump_boxconfig(BoxConfig(school_name="two\nlines"))
    with pytest.raises(FormatError):
        dump_boxconfig(BoxConfig(gateway="10.0.0.1"))


def test_keys_by_other_names() -> None:
    assert key_of(" Wi-Fi SSID ") == "wifi_name" and key_of("学校代码") == "school_code"
    assert key_of("SSH公钥") == "ssh_key" and key_of("") is None and key_of("备注") is None


@pytest.mark.parametrize("word", ["", "无", "none", "OFF", "没有", "-"])
def test_a_word_for_none_clears(word: str) -> None:
    read = parse_boxconfig(f"代理 = {word}\nuplinks = {word}\n".encode())
    assert read.config == BoxConfig() and not read.problems and read.cleared == ("proxy", "uplinks")
    assert parse_boxconfig(f"proxy = {word}\nproxy = 10.0.0.1:80\n".encode()).cleared == ()


@pytest.mark.parametrize(
    "proxy", ["http://无", "yes", "校园代理:8080", "http://:80", "[x]:1", "a..b c", "http://-"]
)
def test_a_proxy_that_can_be_none_is_refused(proxy: str) -> None:
    read = parse_boxconfig(f"proxy = {proxy}\n".encode())
    assert read.config == BoxConfig() and keys_of(read.problems) == ["proxy"]


@pytest.mark.parametrize(
    "proxy", ["proxy:3128", "proxy.school", "10.0.0.1", "[fd00::1]:80", "http://u:p@a.b:1"]
)
def test_a_proxy_of_any_common_form(proxy: str) -> None:
    read = parse_boxconfig(f"proxy = {proxy}\n".encode())
    assert read.config.proxy.startswith("http://") and not read.problems
