"""Zip archives in a drop, as receivers, Chinese Windows and the malicious leave them."""

from __future__ import annotations

import io
import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from content_sync.adapters import archives
from content_sync.adapters.drops import Folders
from content_sync.formats.hashtree import BLOCK
from content_sync.ports import DropStat

VIDEO = random.Random(1).randbytes(3 * BLOCK + 77)
TEXT = ("望天门山 天门中断楚江开 " * 9000).encode()


def packed(method: int = zipfile.ZIP_DEFLATED, **files: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return made.getvalue()


class Drop:
    """A folder with one archive."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "包.zip"
        self.folders = Folders([folder])

    def members(self, data: bytes) -> tuple[dict[str, DropStat], str]:
        self.path.write_bytes(data)
        (stat,) = list(self.folders.scan())
        members, left_out = self.folders.members(stat)
        return {member.path.partition("//")[2]: member for member in members}, left_out

    def read(self, member: DropStat) -> bytes:
        return b"".join(self.folders.portions(member.path))


@pytest.fixture
def drop(tmp_path: Path) -> Drop:
    return Drop(tmp_path)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_are_read_like_files(drop: Drop, method: int) -> None:
    members, left_out = drop.members(packed(method, **{"a/视频.mp4": VIDEO, "a/课文.txt": TEXT, "空": b""}))
    assert list(members) == ["a/视频.mp4", "a/课文.txt"] and not left_out
    video, text = members.values()
    assert (drop.read(video), drop.read(text)) == (VIDEO, TEXT)
    assert b"".join(drop.folders.portions(video.path, 2)) == VIDEO[2 * BLOCK :]
    for index, count in ((3, 1), (0, 2), (2, 9), (1, 1)):
        assert drop.folders.block(video.path, index, count) == VIDEO[index * BLOCK : (index + count) * BLOCK]
    assert drop.folders.small(text.path, len(TEXT)) == TEXT
    assert drop.folders.small(text.path, len(TEXT) - 1) is None
    assert (text.size, video.size) == (len(TEXT), len(VIDEO))
    drop.path.unlink()
    drop.folders.close()
    assert drop.folders.block(text.path, 0) is None and drop.read(video) == b""


def test_a_large_packed_member_is_read_on_where_it_stopped(
    drop: Drop, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = random.Random(2).randbytes(300 * BLOCK + 5)
    (member,) = drop.members(packed(大=data))[0].values()
    began: list[int] = []
    begin = archives.Cursor._begin
    monkeypatch.setattr(archives.Cursor, "_begin", lambda self: (began.append(1), begin(self))[1])
    got, at = b"", 0
    while at < 301:  # as a step reads a part, and the next one goes on
        for count, portion in enumerate(drop.folders.portions(member.path, at), 1):
            if count == 3:
                break
            got += portion
        at += 2 * archives.PORTION
    assert got == data and len(began) == 1
    for _ in range(50):  # asked for in an order that it can't be read in: a few times, not for ever
        drop.folders.block(member.path, 299)
        drop.folders.block(member.path, 0)
    assert len(began) < 12


def test_names_in_gbk(drop: Drop) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("AAAAAAAA/BBBBBBBB.mp4", VIDEO)
        archive.writestr("CCCCCCCC", TEXT)
        archive.writestr("CCCCCCCC2", TEXT)
    data = made.getvalue()
    for ascii, chinese in (
        ("AAAAAAAA", "三年级语"),
        ("BBBBBBBB", "望天门山"),
        ("CCCCCCCC2", "课文课文/"),
        ("CCCCCCCC", "课文课文"),
    ):
        data = data.replace(ascii.encode(), chinese.encode("gbk"))
    members, _ = drop.members(data)
    assert list(members) == ["三年级语/望天门山.mp4", "课文课文"]
    assert drop.read(members["三年级语/望天门山.mp4"]) == VIDEO


def test_cut_off_before_its_list_of_members(drop: Drop) -> None:
    whole = packed(zipfile.ZIP_STORED, one=VIDEO)[: -22 - 49] + packed(
        zipfile.ZIP_DEFLATED, two=TEXT, three=VIDEO
    )
    cut = whole[: whole.rindex(b"PK\x01\x02", 0, whole.rindex(b"PK\x01\x02")) - BLOCK]
    members, left_out = drop.members(cut)
    assert list(members) == ["one", "two", "three"] and "end of the archive" in left_out
    assert drop.read(members["one"]) == VIDEO and drop.read(members["two"]) == TEXT
    rest = drop.read(members["three"])
    assert BLOCK <= len(rest) < len(VIDEO) and VIDEO.startswith(rest) and len(rest) % BLOCK == 0


def test_written_to_a_pipe_and_cut_off(drop: Drop) -> None:
    """Sizes stand behind each member then."""

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def tell(self) -> int:
            raise OSError

    made = Pipe()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", TEXT)
        archive.writestr("b", VIDEO)
        archive.writestr("c", TEXT[::-1])
    data = made.getvalue()
    members, left_out = drop.members(data[: data.index(b"PK\x01\x02") + 10])
    assert [(name, drop.read(member)) for name, member in members.items()] == [
        ("a", TEXT),
        ("b", VIDEO),
        ("c", TEXT[::-1]),
    ]
    assert left_out


def test_what_is_locked_damaged_or_unknown_is_named_and_the_rest_read(drop: Drop) -> None:
    data = bytearray(packed(good=TEXT, locked=VIDEO, odd=VIDEO, spoilt=VIDEO))
    for name, offset, value in ((b"locked", 8, 1), (b"odd", 10, 97)):
        at = data.rindex(name) - 46
        data[at + offset] |= value
    local = data.index(b"spoilt")
    data[local + 20 : local + 200] = bytes(180)
    members, left_out = drop.members(bytes(data))
    assert list(members) == ["good", "spoilt"]
    assert left_out == "1 members are locked with a password, 1 members are packed in a way that is not known"
    assert drop.read(members["good"]) == TEXT
    assert drop.read(members["spoilt"]) != VIDEO


def test_bombs_are_left_out(drop: Drop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "ALWAYS", 1 << 20)
    members, left_out = drop.members(packed(bomb=bytes(60 << 20), good=VIDEO))
    assert list(members) == ["good"] and "absurd" in left_out
    monkeypatch.setattr(archives, "MAX_MEMBERS", 3)
    members, left_out = drop.members(packed(**{f"f{n}": b"x" for n in range(9)}))
    assert len(members) == 3 and "6 members are too many" in left_out
    # one stream under many names (overlapping members)
    one = packed(kernel=VIDEO)
    at = one.index(b"PK\x01\x02")
    entry, end = one[at : one.index(b"PK\x05\x06")], bytearray(one[one.index(b"PK\x05\x06") :])
    struct.pack_into("<HHI", end, 8, 3, 3, 3 * len(entry))
    members, left_out = drop.members(one[:at] + entry * 3 + bytes(end))
    assert len(members) == 1 and "2 members unpack to absurd sizes" in left_out


def test_a_member_gives_no_more_than_it_said(drop: Drop) -> None:
    data = bytearray(packed(x=bytes(40 * BLOCK)))
    struct.pack_into("<I", data, data.rindex(b"PK\x01\x02") + 24, 100)
    (member,) = drop.members(bytes(data))[0].values()
    assert drop.read(member) == bytes(100)


def test_an_archive_in_an_archive_is_a_file(drop: Drop) -> None:
    inner = packed(zipfile.ZIP_STORED, video=VIDEO)
    (member,) = drop.members(packed(**{"inner.zip": inner}))[0].values()
    assert drop.read(member) == inner and drop.folders.members(member) == ([], "")


def test_beyond_four_gibibytes_by_zip64(drop: Drop) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive, archive.open("big", "w", force_zip64=True) as member:
        member.write(VIDEO)
    (found,) = drop.members(made.getvalue())[0].values()
    assert drop.read(found) == VIDEO


def test_what_is_no_archive_has_no_members(drop: Drop) -> None:
    for data in (b"PK\x03\x04", b"PK\x05\x06" + bytes(18), VIDEO, b"PK\x03\x04" + VIDEO):
        assert drop.members(data)[0] == {}


MUTATIONS: st.SearchStrategy[Callable[[bytearray], None]] = st.tuples(
    st.integers(0, 1 << 20), st.binary(min_size=1, max_size=8)
).map(
    lambda pair: (
        lambda data: data.__setitem__(slice(pair[0] % len(data), pair[0] % len(data) + len(pair[1])), pair[1])
    )
)


@given(st.lists(MUTATIONS, max_size=6), st.integers(0, 1 << 20))
def test_no_archive_breaks_the_reader(
    tmp_path_factory: pytest.TempPathFactory, changes: list[Callable[[bytearray], None]], cut: int
) -> None:
    data = bytearray(packed(a=TEXT[:5000], b=VIDEO[:5000]) + packed(zipfile.ZIP_STORED, c=VIDEO[:300]))
    for change in changes:
        change(data)
    drop = Drop(tmp_path_factory.mktemp("fuzz"))
    members, _ = drop.members(bytes(data[: max(1, cut % (len(data) + 1))]))
    for member in members.values():
        assert len(drop.read(member)) <= member.size <= archives.ALWAYS
        drop.folders.block(member.path, 0)
    drop.path.unlink()
    drop.folders.close()
