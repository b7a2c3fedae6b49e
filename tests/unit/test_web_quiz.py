"""QTI quizzes: what a class sees, and what a hostile file gets."""

from __future__ import annotations

import pytest

from appliance.web import picking
from appliance.web.quiz import MAX_QUIZ, Item, Quiz, read_quiz
from content_sync.errors import FormatError, NotFoundError
from tests import quizzes
from tests.box import quiz_files

HEAD = '<qti-assessment-item xmlns="http://www.imsglobal.org/xsd/imsqtiasi_v3p0" identifier="i">'


def one(body: str, declarations: str = "") -> Item:
    """The only item of a quiz with this body."""
    text = f"{HEAD}{declarations}<qti-item-body>{body}</qti-item-body></qti-assessment-item>"
    return read_quiz("a.xml", lambda path: text.encode()).items[0]


def right(*values: str, name: str = "R") -> str:
    inner = "".join(f"<qti-value>{value}</qti-value>" for value in values)
    return (
        f'<qti-response-declaration identifier="{name}"><qti-correct-response>{inner}</qti-correct-response>'
        "</qti-response-declaration>"
    )


def test_a_whole_quiz() -> None:
    files = {path: data for path, _, data in quiz_files()}
    quiz = read_quiz(next(iter(files)), files.__getitem__)
    assert quiz.title == "课堂练习"
    choice, several, fill = quiz.items
    assert (choice.kind, choice.answer) == ("choice", "B")
    assert [(o.letter, o.text.plain, o.right) for o in choice.options][1] == (
        "B",
        "他坐船前行，山迎面而来",
        True,
    )
    assert choice.stem.plain == "诗人看到“两岸青山相对出”，是因为（　　）。"
    assert ("blank", "") in choice.stem.pieces
    assert choice.why.plain.startswith("“出”字")
    assert (several.kind, several.answer) == ("multiple", "BC")
    assert (fill.kind, fill.answer) == ("fill", "楚江")
    assert fill.stem.plain == "天门中断（　　）开，碧水东流至此回。"


def test_order_match_and_open() -> None:
    choices = "".join(
        f'<qti-simple-choice identifier="{i}">{t}</qti-simple-choice>' for i, t in (("x", "二"), ("y", "一"))
    )
    item = one(
        '<qti-order-interaction response-identifier="R"><qti-prompt>排一排</qti-prompt>'
        f"{choices}</qti-order-interaction>",
        right("y", "x"),
    )
    assert (item.kind, item.answer, item.stem.plain) == ("order", "B → A", "排一排")

    def side(*pairs: tuple[str, str]) -> str:
        inner = "".join(
            f'<qti-simple-associable-choice identifier="{i}" match-max="1">{t}</qti-simple-associable-choice>'
            for i, t in pairs
        )
        return f"<qti-simple-match-set>{inner}</qti-simple-match-set>"

    item = one(
        '<qti-match-interaction response-identifier="R">'
        + side(("a", "李白"), ("b", "杜甫"))
        + side(("p", "望岳"), ("q", "静夜思"))
        + "</qti-match-interaction>",
        right("a q", "b p"),
    )
    assert item.kind == "match" and item.answer == "1-B  2-A"
    assert [(pair.text.plain, pair.letters) for pair in item.pairs] == [("李白", "B"), ("杜甫", "A")]
    assert one("<p>说说你的想法。</p>").kind == "open"


def test_pictures_are_paths_in_the_package_and_markup_is_text() -> None:
    text = (
        f'{HEAD}<qti-item-body><p>看图<img src="../%E5%9B%BE.png" alt=""/>&lt;script&gt;</p></qti-item-body>'
        "</qti-assessment-item>"
    )
    quiz = read_quiz("试题/items/i.xml", lambda path: text.encode())
    assert quiz.items[0].stem.pieces == [("text", "看图"), ("picture", "试题/图.png"), ("text", "<script>")]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not xml",
        "<html/>",
        '<!DOCTYPE a [<!ENTITY b "c">]><qti-assessment-item>&b;</qti-assessment-item>',
        '<!DOCTYPE a SYSTEM "file:///etc/passwd"><qti-assessment-item/>',
        "<qti-assessment-item/>",
        "<qti-assessment-test/>",
        HEAD + "<qti-item-body>" + "<p>" * 60 + "x" + "</p>" * 60 + "</qti-item-body></qti-assessment-item>",
        "<qti-assessment-item>" + " " * (1 << 20) + "</qti-assessment-item>",
        '<?xml version="1.0" encoding="no-such"?><a/>',
    ],
)
def test_hostile_or_broken(text: str) -> None:
    with pytest.raises(FormatError):
        read_quiz("a.xml", lambda path: text.encode())


def test_an_item_outside_the_resource_is_not_read() -> None:
    test = (
        '<qti-assessment-test><qti-assessment-item-ref href="../../../etc/passwd"/>'
        '<qti-assessment-item-ref href="i.xml"/></qti-assessment-test>'
    )
    asked: list[str] = []

    def read(path: str) -> bytes:
        asked.append(path)
        if path == "q/a.xml":
            return test.encode()
        if path == "q/i.xml":
            return quizzes.KINDS["choice"].encode()
        raise NotFoundError(path)

    assert [item.kind for item in read_quiz("q/a.xml", read).items] == ["broken", "choice"]
    assert asked == ["q/a.xml", "../../etc/passwd", "q/i.xml"]


def whole(files: dict[str, bytes], main: str = "assessment.xml") -> Quiz:
    return read_quiz(main, files.__getitem__)


@pytest.mark.parametrize("version", [2, 3])
def test_every_kind_reads_alike_in_both_versions(version: int) -> None:
    items = whole(quizzes.files(version)).items
    assert [(item.kind, item.answer) for item in items] == [
        ("choice", "B"),
        ("multiple", "BC"),
        ("judge", "错"),
        ("fill", "楚江，回"),
        ("order", "B → A → D → C"),
        ("match", "1-B  2-C  3-A"),
        ("choice", "A"),
        ("open", "一只小船"),
    ]
    assert items[0].why.plain.startswith("“出”字写出了山的动")
    assert items[2].stem.pieces[1] == ("mark", "杜甫")
    assert items[3].gaps == {"A": "楚江", "B": "回"}
    formula = items[6].stem.pieces
    assert formula[:3] == [("frac", "1\n2"), ("text", " + "), ("frac", "1\n4")]
    assert ("picture", "pie.png") in formula and ("blank", "") in formula
    assert items[6].stem.plain.startswith("1/2 + 1/4＝（　　）")
    assert ("sup", "3") in items[6].options[1].text.pieces
    assert ("ruby", "孤\ngū") in items[7].stem.pieces


@pytest.mark.parametrize("with_test", [True, False])
def test_a_content_package_is_read_by_its_manifest(with_test: bool) -> None:
    files = quizzes.files(2) | {"imsmanifest.xml": quizzes.manifest(2, with_test)}
    if not with_test:
        del files["assessment.xml"]
    quiz = whole(files, "imsmanifest.xml")
    assert len(quiz.items) == len(quizzes.KINDS) and quiz.items[5].kind == "match"
    with pytest.raises(FormatError):
        whole({"imsmanifest.xml": b"<manifest/>"}, "imsmanifest.xml")


def test_inline_choices_are_gaps_and_the_unknown_is_an_open_question() -> None:
    item = one(
        '<p>天门中断<qti-inline-choice-interaction response-identifier="R">'
        '<qti-inline-choice identifier="x">楚江</qti-inline-choice>'
        '<qti-inline-choice identifier="y">长江</qti-inline-choice>'
        "</qti-inline-choice-interaction>开</p>",
        right("x"),
    )
    assert (item.kind, item.answer, item.stem.plain) == ("fill", "楚江", "天门中断（　　）〔楚江／长江〕开")
    item = one(
        '<qti-associate-interaction response-identifier="R"><qti-prompt>配对</qti-prompt>'
        '<qti-simple-associable-choice identifier="a">春</qti-simple-associable-choice>'
        '<qti-simple-associable-choice identifier="b">花</qti-simple-associable-choice>'
        "</qti-associate-interaction>",
        right("a b"),
    )
    assert (item.kind, item.answer, item.stem.plain) == ("open", "春 - 花", "配对 春 花")
    both = quizzes.choices("choice", "一", "甲", "乙") + quizzes.choices("choice", "二", "丙", "丁")
    assert one(both).kind == "open" and "丁" in one(both).stem.plain, "nothing asked is left out"


def test_a_mapping_stands_for_a_missing_solution() -> None:
    declared = (
        '<qti-response-declaration identifier="R"><qti-mapping>'
        '<qti-map-entry map-key="河" mapped-value="0.5"/>'
        '<qti-map-entry map-key="江" mapped-value="2"/><qti-map-entry map-key="海" mapped-value="-1e999"/>'
        "</qti-mapping></qti-response-declaration>"
    )
    item = one('<p>长<qti-text-entry-interaction response-identifier="R"/></p>', declared)
    assert item.answer == "江"


@pytest.mark.parametrize(
    "body",
    [
        "<p>" + "长" * 20_001 + "</p>",
        "<p>" + "<br/>字" * 1_001 + "</p>",
        "<p><math>" + "<mrow>" * 60 + "<mn>1</mn>" + "</mrow>" * 60 + "</math></p>",
        "<p><sup>" + "<u>" * 60 + "1" + "</u>" * 60 + "</sup></p>",
        quizzes.choices("choice", "多", *("字" for _ in range(41))),
    ],
)
def test_absurd_questions_are_refused(body: str) -> None:
    with pytest.raises(FormatError):
        one(body)


def test_a_huge_quiz_is_refused() -> None:
    big = quizzes.KINDS["choice"].encode() + b" " * 900_000
    refs = "".join(f'<qti-assessment-item-ref href="{n}.xml"/>' for n in range(200))
    asked: list[str] = []

    def read(path: str) -> bytes:
        asked.append(path)
        return f"<qti-assessment-test>{refs}</qti-assessment-test>".encode() if path == "a.xml" else big

    quiz = read_quiz("a.xml", read)
    assert [item.kind for item in quiz.items].count("choice") == MAX_QUIZ // len(big)
    with pytest.raises(FormatError):
        read_quiz(
            "a.xml", lambda path: b"<qti-assessment-test>" + b'<qti-assessment-item-ref href="b"/>' * 201
        )


def kind(name: str) -> Item:
    return whole(quizzes.files(3, (name,))).items[0]


def tap(item: Item, pick: str, name: str) -> str:
    return next(t for t in picking.taps(item, pick, False) if t.name == name).pick


def test_taps_choose_and_take_back() -> None:
    several = kind("multiple")
    assert tap(several, "", "C") == "C" and tap(several, "C", "B") == "BC" and tap(several, "BC", "C") == "B"
    assert [t.look for t in picking.taps(several, "AB", True)] == ["wrong", "yes", "yes", "no"]
    order = kind("order")
    assert tap(order, "", "B") == "B" and tap(order, "B", "A") == "BA" and tap(order, "BAD", "A") == "BD"
    assert [(t.name, t.badge) for t in picking.taps(order, "", True)] == [
        ("B", "1"),
        ("A", "2"),
        ("D", "3"),
        ("C", "4"),
    ]
    choice = picking.taps(kind("choice"), "", False)[0]
    assert (choice.pick, choice.shows) == ("A", True)


def test_a_match_is_joined_from_either_side() -> None:
    item = kind("match")

    def taps(pick: str) -> dict[str, str]:
        left, right_side = picking.sides(item, pick, False)
        return {t.name: t.pick for t in (*left, *right_side)}

    assert taps("")["1"] == "1" and taps("1")["B"] == "1B" and taps("1")["1"] == ""
    assert taps("1B")["C"] == "1B.C" and taps("1B.C")["2"] == "1B.2C"
    assert taps("1B.2C.1")["B"] == "2C", "the same again takes it away"
    assert taps("1B.1")["A"] == "1A", "one thing at the left has one partner"
    assert picking.lines(item, "1B", False) == [(0.1667, 0.5, True)]
    assert (0.1667, 0.1667, False) in picking.lines(item, "1A", True)
    assert sum(good for _, _, good in picking.lines(item, "1A", True)) == 3


def test_what_was_picked_is_judged_where_it_can_be() -> None:
    for name, wrong, solved in (("choice", "A", None), ("multiple", "B", "BC"), ("order", "ABCD", None)):
        item = kind(name)
        solved = solved or (item.order or item.answer)
        assert picking.solved(item, solved) is True and picking.solved(item, wrong) is False
        assert picking.solved(item, "") is False, "looked up"
    match = kind("match")
    right_one = ".".join(f"{n}{pair.letters}" for n, pair in enumerate(match.pairs, 1))
    assert picking.solved(match, right_one) is True and picking.solved(match, "1A") is False
    assert picking.solved(kind("fill"), "0") is None


GAP = '<qti-text-entry-interaction response-identifier="R{}"/>'


@pytest.mark.parametrize(
    ("body", "plain"),
    [
        ("<p>孤帆一片（　　　）来。</p><p>" + GAP.format(1) + "</p>", "孤帆一片（　　）来。"),
        (
            "<p>（　　）中断（　）开。（填）</p>" + f"<div>{GAP.format(1)}</div><div>{GAP.format(2)}</div>",
            "（　　）中断（　　）开。（填）",
        ),
        ("<p>一（　　）二</p><p>三" + GAP.format(1) + "</p>", "一（　　）二 三（　　）"),
        ("<p>一（　　）二（　　）</p><p>" + GAP.format(1) + "</p>", "一（　　）二（　　） （　　）"),
        ("<p>天门中断" + GAP.format(1) + "开</p>", "天门中断（　　）开"),
    ],
)  # fmt: skip
def test_a_gap_below_its_brackets_is_in_them(body: str, plain: str) -> None:
    """Only where it is sure that each pair of brackets has its gap below."""
    item = one(body, right("甲", name="R1") + right("乙", name="R2"))
    assert item.kind == "fill" and item.stem.plain == plain
    assert [value for name, value in item.stem.pieces if name == "gap"] == list(item.gaps)


@pytest.mark.parametrize("name", list(quizzes.KINDS))
@pytest.mark.parametrize("text", ["", "Z", "9A", "1", "A.B.C", "<script>", "..", "1A" * 200, "0.99.x", "１"])
def test_any_address_makes_a_question(name: str, text: str) -> None:
    item = kind(name)
    pick = picking.clean(item, text)
    assert picking.clean(item, pick) == pick
    for shown in (False, True):
        picking.taps(item, pick, shown)
        picking.gaps(item, text)
        if item.kind == "match":
            left, right_side = picking.sides(item, pick, shown)
            assert len(left) == len(right_side) == 3
            picking.lines(item, pick, shown)
