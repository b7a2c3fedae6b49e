"""QTI quizzes: what a class sees, and what a hostile file gets."""

from __future__ import annotations

import pytest

from appliance.web.quiz import Item, read_quiz
from content_sync.errors import FormatError, NotFoundError
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
    assert [(text.plain, letters) for text, letters in item.pairs] == [("李白", "B"), ("杜甫", "A")]
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
    test = '<qti-assessment-test><qti-assessment-item-ref href="../../../etc/passwd"/></qti-assessment-test>'
    asked: list[str] = []

    def read(path: str) -> bytes:
        asked.append(path)
        if path == "q/a.xml":
            return test.encode()
        raise NotFoundError(path)

    with pytest.raises(NotFoundError):
        read_quiz("q/a.xml", read)
    assert asked == ["q/a.xml", "../../etc/passwd"]
