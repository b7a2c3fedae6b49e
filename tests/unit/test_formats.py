"""Every file format: what is written is read back; anything else is refused by name, whatever it is."""

from __future__ import annotations

import base64
import copy
import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from content_sync.errors import EnrolError, FormatError, LessonBoxError, LessonError, PathError, TooBigError
from content_sync.formats import dsse
from content_sync.formats.canonical import dump, load, parse_time, time_text
from content_sync.formats.collection import (
    MAX_SUBJECT,
    Collection,
    CollectionRef,
    LessonEntry,
    Subject,
    TargetRef,
    dump_collection,
    dump_subject,
    parse_collection,
    parse_subject,
    subscribes,
    touches_subject,
)
from content_sync.formats.enrolment import (
    Enrolment,
    check_url,
    claim_proof,
    dump_enrolment,
    new_box_id,
    new_claim,
    parse_enrolment,
)
from content_sync.formats.envelope import Ack, Envelope, dump_envelope, parse_envelope
from content_sync.formats.hashtree import FileId
from content_sync.formats.lesson import (
    Lesson,
    Resource,
    ResourceFile,
    check_against,
    dump_lesson,
    parse_lesson,
)
from content_sync.formats.report import Batch, UsageSession, dump_batch, parse_batch, payload_hash

NOW = 1_763_712_000
BOX = "b-0123456789abcdef"
VIDEO = ResourceFile("视频 望天门山.mp4", "main", FileId("a" * 64, 31_457_280))
SUBTITLES = ResourceFile("视频 望天门山.vtt", "subtitles", FileId("b" * 64, 2113))
PLAN = ResourceFile("教案.pdf", "main", FileId("c" * 64, 90_000))
LESSON = Lesson(
    id="61a01d7f-1234abcd-00ff00ff",
    collection="61a01d7f-1234abcd",
    stage="小学",
    subject="语文",
    edition="统编版",
    grade="三年级",
    volume="上册",
    unit="第六单元 祖国河山",
    unit_no=6,
    no=None,
    title="古诗三首",
    periods=3,
    resources=(
        Resource("r1", "video", "look", "望天门山", "video/mp4", (VIDEO, SUBTITLES), seconds=1100),
        Resource(
            "r2", "plan", "teach", "教案", "application/pdf", (PLAN,), licence="CC-BY-4.0", pages=10_000
        ),
    ),
    language="zh-Hans",
)
ENTRY = LessonEntry(
    id=LESSON.id,
    title=LESSON.title,
    unit=LESSON.unit,
    unit_no=6,
    no=17,
    periods=3,
    kinds=("video", "plan"),
    added=NOW,
    infohash="d" * 64,
    size=31_459_000,
    files=4,
    torrent=TargetRef("packages/" + "d" * 64 + ".torrent", 900, "e" * 64),
    leaves=TargetRef("packages/" + "d" * 64 + ".leaves", 61_440, "f" * 64),
)
COLLECTION = Collection("61a01d7f-1234abcd", "小学", "语文", "统编版", "三年级", "上册", (ENTRY,))
SUBJECT = Subject(
    "61a01d7f",
    "小学",
    "语文",
    (
        CollectionRef(
            COLLECTION.id, "统编版", "三年级", "上册", 27, 123, TargetRef("collections/x.json", 812, "1" * 64)
        ),
    ),
)
ENVELOPE = Envelope(BOX, 12, NOW, "S1", "青山小学", ("*",), Ack("0" * 16, 41, ((44, 47),)), True)
ENROLMENT = Enrolment(
    "青山县", ("http://10.0.0.1:8800",), BOX, "S1", "青山小学", "ab" * 16, {"signed": {"x": [1]}}
)
SESSION = UsageSession(
    id="1" * 16,
    board="2" * 16,
    lesson=LESSON.id,
    resource="r1",
    kind="video",
    start=NOW,
    uncertainty=2,
    clock="ntp",
    seconds=540,
    furthest=None,
    ended="closed",
    boot="boot",
    mono=8123,
)
BATCH = Batch(BOX, "3" * 16, 7, "4" * 64, "0.1.0", 12, (SESSION,), "5" * 64, "6" * 64)
SIGNED = dsse.Signed(dsse.REPORT_TYPE, b'{"x":1}', (("k", b"s" * 64),))


def parse_dsse(data: bytes) -> dsse.Signed:
    return dsse.parse_signed(data, dsse.REPORT_TYPE, 1 << 20)


#: value, writer, reader
FORMATS: dict[str, tuple[Any, Callable[[Any], bytes], Callable[[bytes], Any]]] = {
    "lesson": (LESSON, dump_lesson, parse_lesson),
    "subject": (SUBJECT, dump_subject, parse_subject),
    "collection": (COLLECTION, dump_collection, parse_collection),
    "envelope": (ENVELOPE, dump_envelope, parse_envelope),
    "enrolment": (ENROLMENT, dump_enrolment, parse_enrolment),
    "report": (BATCH, dump_batch, parse_batch),
    "dsse": (SIGNED, dsse.dump_signed, parse_dsse),
}
each = pytest.mark.parametrize("name", FORMATS)
steady = settings(max_examples=150, derandomize=True, database=None, deadline=None)


@each
def test_round_trip(name: str) -> None:
    value, write, read = FORMATS[name]
    data = write(value)
    assert read(data) == value
    assert write(read(data)) == data
    assert data == dump(json.loads(data))


@pytest.mark.parametrize(
    "value",
    [
        replace(ENVELOPE, ack=None, enrolled=False, collections=()),
        replace(ENROLMENT, claim=None, urls=("http://a", "https://[::1]:8/x")),
        replace(BATCH, public_key=None, proof=None, sessions=()),
        replace(COLLECTION, lessons=()),
        replace(SUBJECT, collections=()),
    ],
)
def test_round_trip_of_the_optional(value: Any) -> None:
    for example, write, read in FORMATS.values():
        if type(example) is type(value):
            assert read(write(value)) == value


@each
def test_unknown_keys_are_ignored(name: str) -> None:
    value, write, read = FORMATS[name]
    back = read(dump({**json.loads(write(value)), "later": [{"x": "y"}]}))
    if isinstance(back, Batch):  # it keeps the names of such lists, for the county's warning
        assert back.unknown == ("later",)
        back = replace(back, unknown=())
    assert back == value


@each
def test_another_major_is_refused(name: str) -> None:
    value, write, read = FORMATS[name]
    obj = json.loads(write(value))
    if "format" in obj:
        obj["format"] = obj["format"].replace("/1", "/2")
        with pytest.raises(EnrolError if name == "enrolment" else FormatError):
            read(dump(obj))


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The place of every value inside."""
    items: Any = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    return [place for key, inner in items for place in ((*at, key), *places(inner, (*at, key)))]


JUNK: list[Any] = [
    None, True, 0, -1, 1 << 60, (1 << 53) - 1, "", "zz", "\0", "../x", "x" * 300, "\ud800",
    "2026-13-01T00:00:00Z", [], ["x"], [[]], [[1, 2, 3]], {}, {"": {}}, [{}], 1.5,
]  # fmt: skip


@each
def test_every_value_replaced_by_junk(name: str) -> None:
    """Each value of each format, replaced by each kind of junk: read, or refused by name."""
    value, write, read = FORMATS[name]
    obj = json.loads(write(value))
    for place in places(obj):
        for junk in JUNK:
            broken = copy.deepcopy(obj)
            holder = broken
            for key in place[:-1]:
                holder = holder[key]
            holder[place[-1]] = junk
            read_or_refuse(name, json.dumps(broken).encode())
        broken = copy.deepcopy(obj)
        holder = broken
        for key in place[:-1]:
            holder = holder[key]
        del holder[place[-1]]
        read_or_refuse(name, json.dumps(broken).encode())


def read_or_refuse(name: str, data: bytes) -> None:
    """A named error, or a value that can be written and read again."""
    _, write, read = FORMATS[name]
    try:
        value = read(data)
    except LessonBoxError:
        return
    assert read(write(value)) == value


@each
@steady
@given(st.binary(max_size=200))
def test_noise(name: str, noise: bytes) -> None:
    read_or_refuse(name, noise)


@each
@steady
@given(st.integers(0, 1 << 32))
def test_damaged_bytes(name: str, seed: int) -> None:
    value, write, _ = FORMATS[name]
    chance = random.Random(seed)
    data = bytearray(write(value))
    for _ in range(chance.randint(1, 5)):
        at = chance.randrange(len(data))
        match chance.randrange(3):
            case 0:
                data[at] = chance.randrange(256)
            case 1:
                del data[at : at + chance.randint(1, 20)]
            case _:
                data[at:at] = chance.choice(
                    [b"[", b"{", b'"', b"1e9", b"-", b"null", b"\\ud800", b"\xff", b"9" * 20]
                )
    read_or_refuse(name, bytes(data))


@each
@pytest.mark.parametrize("depth", [100, 900, 990, 1000, 100_000])
def test_deep_nesting(name: str, depth: int) -> None:
    _, _, read = FORMATS[name]
    for data in (
        b"[" * depth + b"]" * depth,
        b'{"a":' * depth + b"1" + b"}" * depth,
        b'{"sessions":' + b"[" * depth + b"]" * depth + b',"x":"\\ud83d\\ude00"}',
    ):
        with pytest.raises(LessonBoxError):
            read(data)


class TestCanonical:
    def test_bytes(self) -> None:
        assert dump({"b": [1, None, True], "a": "课\n\"'"}) == '{"a":"课\\n\\"\'","b":[1,null,true]}'.encode()

    @pytest.mark.parametrize(
        "text",
        [
            b"", b"[]", b"1", b"null", b'"x"', b"{", b'{"a":1.0}', b'{"a":1e3}', b'{"a":NaN}',
            b'{"a":Infinity}', b'{"a":1,"a":1}', b'{"x":{"a":1,"a":2}}', b"\xef\xbb\xbf{}",
            b'{"a":"\xff"}', b'{"a":"\\ud800"}',
            b'{"a":9007199254740992}', b'{"a":-9007199254740992}', b'{"a":' + b"9" * 5000 + b"}", b"{}x",
            b'{"\\udc00":1}', b"{'a':1}", '{"a":1}'.encode("utf-16"),
        ],
    )  # fmt: skip
    def test_refused(self, text: bytes) -> None:
        with pytest.raises(FormatError):
            load(text, 10_000)

    def test_taken(self) -> None:
        assert load(b' {"a": 9007199254740991, "b": -9007199254740991} ', 100)["a"] == (1 << 53) - 1
        assert load(b'{"a":"\\ud83d\\ude00"}', 100) == {"a": "😀"}

    def test_cap(self) -> None:
        assert load(b"{}", 2) == {}
        with pytest.raises(TooBigError):
            load(b"{} ", 2)

    @steady
    @given(
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers(-(1 << 53) + 1, (1 << 53) - 1)
            | st.text('ab"\\\n课😀\0\x7f'),
            lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab课"), inner, max_size=4),
            max_leaves=20,
        )
    )
    def test_round_trip(self, value: Any) -> None:
        data = dump({"value": value})
        assert load(data, 1 << 20) == {"value": value}
        assert dump(load(data, 1 << 20)) == data

    def test_time(self) -> None:
        assert time_text(NOW) == "2025-11-21T08:00:00Z" and parse_time("2025-11-21T08:00:00Z") == NOW
        assert (
            time_text(0) == "1970-01-01T00:00:00Z" and parse_time(time_text(4_070_908_800)) == 4_070_908_800
        )

    @pytest.mark.parametrize(
        "text",
        [
            None, 7, "", "2025-11-21", "2025-11-21T08:00:00", "2025-11-21t08:00:00z",
            "2025-11-21T08:00:00+00:00", "2025-1-1T8:0:0Z", "2025-02-30T08:00:00Z", "2025-11-21T08:00:00.5Z",
            "２025-11-21T08:00:00Z",
            "0000-01-01T00:00:00Z", "2025-11-21T08:00:00Z\n",
        ],
    )  # fmt: skip
    def test_no_time(self, text: object) -> None:
        with pytest.raises(FormatError):
            parse_time(text)


def lesson_with(**changes: Any) -> bytes:
    return dump({**json.loads(dump_lesson(LESSON)), **changes})


def resource_with(**changes: Any) -> bytes:
    obj = json.loads(dump_lesson(LESSON))
    obj["resources"][0].update(changes)
    return dump(obj)


class TestLesson:
    @pytest.mark.parametrize(
        "data",
        [
            lesson_with(periods=0),
            lesson_with(title=None),
            resource_with(files=[]),
            resource_with(files=[{"path": "a", "role": "page", "root": "a" * 64, "size": 1}]),
            resource_with(files=[{"path": "a", "role": "main", "root": "0" * 64, "size": 0}]),
            resource_with(id="r2"),
            resource_with(id=""),
            resource_with(id="../x"),
            resource_with(id="r" * 65),
            resource_with(kind=7),
        ],
    )
    def test_refused(self, data: bytes) -> None:
        with pytest.raises(LessonError):
            parse_lesson(data)

    @pytest.mark.parametrize(
        "path", ["../x", "/x", "a\\b", "lesson.json", "LESSON.JSON", "教案.pdf", "nul", "x" * 300]
    )
    def test_paths(self, path: str) -> None:
        with pytest.raises(PathError):
            parse_lesson(resource_with(files=[{"path": path, "role": "main", "root": "a" * 64, "size": 1}]))

    def test_what_is_new_is_shown_as_other(self) -> None:
        lesson = parse_lesson(resource_with(kind="hologram", step="dream"))
        assert (lesson.resources[0].kind, lesson.resources[0].step) == ("other", "read")

    def test_against_its_package(self) -> None:
        files = {entry.path: entry.file for entry in (VIDEO, SUBTITLES, PLAN)}
        check_against(LESSON, {**files, "lesson.json": FileId("9" * 64, 700)})
        short = {path: file for path, file in files.items() if path != PLAN.path}
        for wrong in (
            short,
            {**files, "more.txt": PLAN.file},
            {**files, PLAN.path: FileId(PLAN.file.root, PLAN.file.length + 1)},
        ):
            with pytest.raises(LessonError):
                check_against(LESSON, wrong)


class TestIndexes:
    def test_two_of_one_id(self) -> None:
        with pytest.raises(FormatError, match="share an id"):
            parse_collection(dump_collection(replace(COLLECTION, lessons=(ENTRY, ENTRY))))
        with pytest.raises(FormatError, match="share an id"):
            parse_subject(dump_subject(replace(SUBJECT, collections=SUBJECT.collections * 2)))

    def test_a_collection_of_another_subject(self) -> None:
        with pytest.raises(FormatError, match="another subject"):
            parse_subject(dump_subject(replace(SUBJECT, id="ffffffff")))

    def test_targets_out_of_the_folder_or_too_long(self) -> None:
        for ref in (
            TargetRef("../x", 1, "1" * 64),
            TargetRef("x", 1 << 60, "1" * 64),
            TargetRef("x", 0, "1" * 64),
        ):
            with pytest.raises(FormatError):
                parse_collection(dump_collection(replace(COLLECTION, lessons=(replace(ENTRY, torrent=ref),))))

    def test_caps(self) -> None:
        with pytest.raises(TooBigError):
            parse_subject(b" " * (MAX_SUBJECT + 1))

    def test_url_path(self) -> None:
        assert TargetRef("a/b.json", 1, "1" * 64).url_path == f"a/{'1' * 64}.b.json"
        assert TargetRef("b.json", 1, "1" * 64).url_path == f"{'1' * 64}.b.json"

    def test_patterns(self) -> None:
        one, other = "61a01d7f-1234abcd", "ffffffff-1234abcd"
        assert subscribes(("*",), one) and subscribes((one,), one) and subscribes(("61a01d7f-*",), one)
        assert not subscribes((), one) and not subscribes((one,), other)
        assert not subscribes(("61a01d7f-*",), other) and not subscribes(("61a0*",), one)
        assert touches_subject((one,), "61a01d7f") and touches_subject(("61a01d7f-*",), "61a01d7f")
        assert touches_subject(("*",), "61a01d7f") and not touches_subject((other,), "61a01d7f")


class TestEnvelope:
    def test_acknowledgement(self) -> None:
        ack = Ack("0" * 16, 41, ((44, 47),))
        assert [n for n in range(38, 50) if ack.covers("0" * 16, n)] == [38, 39, 40, 41, 44, 45, 46, 47]
        assert not ack.covers("1" * 16, 1)

    @pytest.mark.parametrize("also", [[[3, 2]], [[0, 2]], [[1]], [[True, 2]], ["12"], [[1, 2]] * 1001])
    def test_damaged_ranges(self, also: Any) -> None:
        obj = json.loads(dump_envelope(ENVELOPE))
        obj["ack"]["also"] = also
        with pytest.raises(FormatError):
            parse_envelope(dump(obj))


class TestEnrolment:
    def test_addresses(self) -> None:
        assert check_url("http://10.0.0.1:8800/") == "http://10.0.0.1:8800"
        for bad in (
            None, "", "10.0.0.1", "ftp://x", "http://", "http://x:0", "http://x:99999", "http://x:y", "http://x?q",
            "http://x#f", "http://[::1", "http://x\n", "http://x /", "http://a\tb", "file:///etc",
        ):  # fmt: skip
            with pytest.raises(FormatError):
                check_url(bad)

    def test_what_is_no_enrolment_file(self) -> None:
        for data in (b"", b"PK\x03\x04", dump_envelope(ENVELOPE), b" " * (300 << 10)):
            with pytest.raises(EnrolError):
                parse_enrolment(data)

    def test_claims(self) -> None:
        assert len(bytes.fromhex(new_claim())) == 16 and new_claim() != new_claim()
        assert parse_enrolment(dump_enrolment(replace(ENROLMENT, box=new_box_id(), claim=new_claim())))
        # a vector: both sides and later versions must agree
        assert claim_proof("00" * 16, BOX, "11" * 32) == (
            "26415400d438c49e60face7253323474212963df740c44078a705e8a887f6489"
        )
        assert claim_proof("00" * 16, BOX, "12" * 32) != claim_proof("00" * 16, BOX, "11" * 32)


class TestReport:
    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("seq", 0), ("seq", 1 << 53), ("stream", "x"), ("prev", ""), ("box", "b-1"), ("software", ""),
            ("sessions", [{}]), ("sessions", None), ("enrol", {"public_key": "5" * 64}), ("release", -1),
        ],
    )  # fmt: skip
    def test_refused(self, key: str, value: Any) -> None:
        with pytest.raises(FormatError):
            parse_batch(dump({**json.loads(dump_batch(BATCH)), key: value}))

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("seconds", -1), ("seconds", 8 * 86_400), ("clock", "sundial"), ("ended", "never"), ("id", "x"),
            ("lesson", "x" * 201), ("furthest", -1), ("start", 1 << 41), ("mono", None),
        ],
    )  # fmt: skip
    def test_refused_sessions(self, key: str, value: Any) -> None:
        obj = json.loads(dump_batch(BATCH))
        obj["sessions"][0][key] = value
        with pytest.raises(FormatError):
            parse_batch(dump(obj))

    def test_too_many(self) -> None:
        with pytest.raises(FormatError):
            parse_batch(dump_batch(replace(BATCH, sessions=(SESSION,) * 5001)))

    def test_chain(self) -> None:
        assert payload_hash(b"abc").startswith("ba7816bf")


class TestDsse:
    def test_what_is_signed(self) -> None:
        assert dsse.pae("http://example.com/HelloWorld", b"hello world") == (
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        )
        assert SIGNED.signed_bytes() == dsse.pae(dsse.REPORT_TYPE, b'{"x":1}')

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("payloadType", dsse.ENVELOPE_TYPE), ("payload", "%%%"), ("payload", "课"), ("payload", "YQ"),
            ("signatures", []), ("signatures", [{"keyid": "k", "sig": "x"}]), ("signatures", ["k"]),
            ("signatures", [{"keyid": "k", "sig": base64.b64encode(b"s").decode()}] * 17),
        ],
    )  # fmt: skip
    def test_refused(self, key: str, value: Any) -> None:
        with pytest.raises(FormatError):
            parse_dsse(dump({**json.loads(dsse.dump_signed(SIGNED)), key: value}))
