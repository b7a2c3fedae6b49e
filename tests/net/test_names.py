"""Found without multicast DNS: real `lessonbox lan` in namespaces, asked as Windows asks (LLMNR, NetBIOS by
Samba's own nmblookup, SSDP), by boards on the same switch and in another VLAN."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.setup import blank
from tests.e2e.programs import wait_until
from tests.net.lan import SchoolLan

pytestmark = [pytest.mark.root, pytest.mark.needs("ip", "nmblookup")]

#: Asks as RFC 4795 has it, built here anew: id, one question, name, type, class. Prints what comes back.
_LLMNR = """
import json, socket, struct, sys
name, kind, where = sys.argv[1], int(sys.argv[2]), sys.argv[3]
asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
asking.settimeout(float(sys.argv[4]))
query = struct.pack('>HHHHHH', 4711, 0, 1, 0, 0, 0) + bytes([len(name)]) + name.encode() + b'\\0'
query += struct.pack('>HH', kind, 1)
asking.sendto(query, (where, 5355))
try:
    answer, sender = asking.recvfrom(512)
except TimeoutError:
    print('null')
    sys.exit()
head = struct.unpack('>HHHHHH', answer[:12])
assert head[:3] == (4711, 0x8000, 1) and answer[12:len(query)] == query[12:], answer
found = answer[len(query):]
print(json.dumps([sender[0], head[3], socket.inet_ntoa(found[-4:]) if head[3] else '']))
"""
_SSDP = """
import json, socket, sys
asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
asking.settimeout(float(sys.argv[3]))
lines = ['M-SEARCH * HTTP/1.1', f'HOST: {sys.argv[1]}:1900', 'MAN: "ssdp:discover"', 'MX: 1']
lines += [f'ST: {sys.argv[2]}', '', '']
asking.sendto('\\r\\n'.join(lines).encode(), (sys.argv[1], 1900))
found = []
try:
    while True:
        said = asking.recv(1500).decode()
        assert said.startswith('HTTP/1.1 200 OK\\r\\n') and said.endswith('\\r\\n\\r\\n')
        parts = (line.partition(':') for line in said.split('\\r\\n')[1:-2])
        found.append({k.upper(): v.strip() for k, _, v in parts})
        asking.settimeout(0.5)
except TimeoutError:
    print(json.dumps(found))
"""
EVERYONE = "224.0.0.252"


@pytest.fixture(scope="module")
def school() -> Iterator[SchoolLan]:
    """Two boxes and a board on one switch, a board behind the router."""
    lan = SchoolLan({"one": 1, "two": 1, "board": 1, "far": 2})
    try:
        yield lan
    finally:
        lan.close()


@pytest.fixture(scope="module")
def names(school: SchoolLan, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The boxes' names, both having begun at one moment."""
    folders = {name: tmp_path_factory.mktemp("box") / name for name in ("one", "two")}
    for name, data in folders.items():
        blank(data)
        school.start(name, sys.executable, "-m", "appliance", "lan", "--data", str(data))

    def told() -> dict[str, str]:
        found = {}
        for name, data in folders.items():
            path: Path = data / "lan.json"
            found[name] = json.loads(path.read_text())["name"] if path.exists() else ""
        return found

    wait_until(lambda: sorted(told().values()) == ["lesson", "lesson-2"], f"both have a name: {told()}")
    return told()


def llmnr(
    school: SchoolLan, board: str, name: str, where: str = EVERYONE, kind: int = 1, wait: float = 30
) -> object:
    return json.loads(school.python(board, _LLMNR, name, str(kind), where, str(wait)))


def ssdp(school: SchoolLan, board: str, where: str, wanted: str, wait: float = 30) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(school.python(board, _SSDP, where, wanted, str(wait)))
    return found


def test_two_boxes_take_two_names_and_each_answers_for_its_own(
    school: SchoolLan, names: dict[str, str]
) -> None:
    for box, name in names.items():
        own = school.addresses[box]
        assert llmnr(school, "board", name) == [own, 1, own]
        assert llmnr(school, "board", name.upper(), kind=28) == [own, 0, ""]  # there is such a name, by IPv4
        said = school.run("board", "nmblookup", "-B", "10.79.1.255", name)
        assert f"{own} {name}<00>" in said
        assert f"{own} {name}<20>" in school.run("board", "nmblookup", "-B", "10.79.1.255", f"{name}#20")
    assert llmnr(school, "board", "lesson-3", wait=1) is None
    assert llmnr(school, "board", "other", wait=1) is None


def test_windows_finds_both_devices(school: SchoolLan, names: dict[str, str]) -> None:
    found = ssdp(school, "board", "239.255.255.250", "upnp:rootdevice")
    homes = {f"http://{school.addresses[box]}/upnp.xml" for box in names}
    assert {one["LOCATION"] for one in found} == homes
    assert all(one["USN"].endswith("::upnp:rootdevice") for one in found)
    everything = ssdp(school, "board", "239.255.255.250", "ssdp:all")
    assert len(everything) == 3 * len(names)
    assert ssdp(school, "board", "239.255.255.250", "urn:other", wait=1) == []


def test_a_board_in_another_vlan_is_answered_where_it_asks_the_box_itself(
    school: SchoolLan, names: dict[str, str]
) -> None:
    box = next(box for box, name in names.items() if name == "lesson")
    own = school.addresses[box]
    assert llmnr(school, "far", "lesson", wait=1) is None  # the router passes on nothing that is sent to all
    assert llmnr(school, "far", "lesson", own) == [own, 1, own]
    assert f"{own} lesson<00>" in school.run("far", "nmblookup", "-U", own, "lesson")
    assert "LESSON          <00>" in school.run("far", "nmblookup", "-A", own)
    (one,) = ssdp(school, "far", own, "upnp:rootdevice")
    assert one["LOCATION"] == f"http://{own}/upnp.xml"


def test_a_third_machine_that_has_the_name_keeps_it(
    school: SchoolLan, names: dict[str, str], tmp_path: Path
) -> None:
    """A new box on the switch takes the next name; what it hears is no reason for the others to change."""
    blank(tmp_path / "third")
    school.start("board", sys.executable, "-m", "appliance", "lan", "--data", str(tmp_path / "third"))
    told = tmp_path / "third" / "lan.json"
    wait_until(lambda: told.exists() and json.loads(told.read_text())["name"] == "lesson-3", "the next name")
    for box, name in names.items():
        assert llmnr(school, "board", name) == [school.addresses[box], 1, school.addresses[box]]
