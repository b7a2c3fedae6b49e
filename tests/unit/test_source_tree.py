"""What a source tree means (formats.md 11): names, kinds, order, lesson.toml, every oddity named."""

from __future__ import annotations

import unicodedata

import pytest

from content_sync.formats.paths import collection_id, lesson_id
from county.publish.names import (
    grade_volume,
    kind_and_title,
    lesson_number,
    media_type,
    natural,
    number,
    unit_number,
    visible,
)
from county.publish.scan import Plan, PlannedLesson, plan
from county.publish.tree import Node

PLACE = ("小学", "语文", "统编版", "三年级上册", "第六单元 祖国河山", "17 古诗三首")


def file(name: str, size: int = 1, odd: str | None = None, text: bytes | None = None) -> Node:
    return Node(name, "/src/" + name, size=size, odd=odd, text=text)


def folder(name: str, *children: Node, odd: str | None = None) -> Node:
    return Node(name, "/src/" + name, True, odd=odd, children=children)


def tree(*children: Node, place: tuple[str, ...] = PLACE) -> Node:
    node = folder(place[-1], *children)
    for name in reversed(place[:-1]):
        node = folder(name, node)
    return folder("src", node)


def toml(text: str) -> Node:
    return file("lesson.toml", len(text), text=text.encode())


def one(*children: Node, place: tuple[str, ...] = PLACE) -> PlannedLesson:
    made = plan([tree(*children, place=place)])
    assert len(made.lessons) == 1, made.problems
    return made.lessons[0]


def whats(made: Plan) -> list[tuple[str, str]]:
    return [(problem.code, problem.path.rpartition("/")[2]) for problem in made.problems]


@pytest.mark.parametrize(
    ("text", "value"),
    [("17", 17), ("十", 10), ("十七", 17), ("二十", 20), ("二十一", 21), ("一百零八"[:2], 100)],
)
def test_numbers(text: str, value: int) -> None:
    assert number(text) == value


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("17 古诗三首", (17, "古诗三首")),
        ("17.古诗三首", (17, "古诗三首")),
        ("17、古诗三首", (17, "古诗三首")),
        ("17. 古诗三首", (17, "古诗三首")),
        ("第17课 古诗三首", (17, "古诗三首")),
        ("第十七课 古诗三首", (17, "古诗三首")),
        ("第17课", (17, "第17课")),
        ("古诗三首", (None, "古诗三首")),
        ("3的倍数", (None, "3的倍数")),
        ("2.5 的认识", (None, "2.5 的认识")),
        ("3 2.5的认识", (3, "2.5的认识")),
        ("17", (None, "17")),
    ],
)
def test_lesson_numbers(name: str, expected: tuple[int | None, str]) -> None:
    assert lesson_number(name) == expected


def test_units_and_volumes() -> None:
    assert unit_number("第六单元 祖国河山") == 6 and unit_number("第12单元") == 12
    assert unit_number("祖国河山 第六单元") is None
    assert grade_volume("三年级上册") == ("三年级", "上册")
    assert grade_volume("三年级 下册") == ("三年级", "下册")
    assert grade_volume("九年级全一册") == ("九年级", "全一册")
    assert grade_volume("3年级上册") == grade_volume("３年级上册") == ("三年级", "上册")
    assert grade_volume("三年级") is None and grade_volume("上册") is None
    assert grade_volume("全一册") == ("不分年级", "全一册")


@pytest.mark.parametrize(
    ("name", "kind", "title"),
    [
        ("视频 望天门山", "video", "望天门山"),
        ("微课-望天门山", "video", "望天门山"),
        ("课堂实录", "recorded", ""),
        ("实录 一", "recorded", "一"),
        ("互动课件 笔顺", "interactive", "笔顺"),
        ("课件", "courseware", ""),
        ("PPT 古诗", "courseware", "古诗"),
        ("PPTX说明", None, "PPTX说明"),
        ("导学案 一", "guide", "一"),
        ("学案", "guide", ""),
        ("测试一", "quiz", "一"),
        ("录音", "audio", ""),
        ("别的", None, "别的"),
    ],
)
def test_kinds_by_their_words(name: str, kind: str | None, title: str) -> None:
    assert kind_and_title(name) == (kind, title)


def test_media_types_by_ending() -> None:
    assert media_type("A.MP4") == "video/mp4" and media_type("a.unknown") == "application/octet-stream"
    assert media_type("noending") == "application/octet-stream"


def test_place_and_ids() -> None:
    lesson = one(file("视频 望天门山.mp4"))
    collection = collection_id("小学", "语文", "统编版", "三年级", "上册")
    assert lesson.collection == collection
    assert lesson.id == lesson_id(collection, "第六单元 祖国河山", "古诗三首")
    assert (lesson.grade, lesson.volume, lesson.unit_no, lesson.no) == ("三年级", "上册", 6, 17)
    assert (lesson.title, lesson.periods) == ("古诗三首", 1)


def test_decomposed_names_become_nfc() -> None:
    name = unicodedata.normalize("NFD", "视频 Café.mp4")
    lesson = one(file(name))
    assert lesson.resources[0].files[0].path == "视频 Café.mp4" != name


def test_resources_stand_in_teaching_order() -> None:
    names = ["教案.docx", "试题 一.pdf", "课件.pptx", "视频 10.mp4", "视频 2.mp4", "朗读.mp3", "杂项.bin"]
    lesson = one(*map(file, names), file("图片 山.jpg"))
    assert [r.name for r in lesson.resources] == [
        "视频 2.mp4",
        "视频 10.mp4",
        "图片 山.jpg",
        "课件.pptx",
        "朗读.mp3",
        "杂项.bin",
        "试题 一.pdf",
        "教案.docx",
    ]
    assert lesson.resources[0].title == "古诗三首 2" and lesson.resources[3].title == "古诗三首"
    assert [r.kind for r in lesson.resources][5:] == ["other", "quiz", "plan"]


def test_a_resource_keeps_its_id_beside_new_ones() -> None:
    before = one(file("课件.pptx")).resources[0].id
    after = one(file("视频.mp4"), file("课件.pptx")).resources
    assert [r.name for r in after] == ["视频.mp4", "课件.pptx"] and after[1].id == before


def test_no_word_of_a_kind_goes_by_ending() -> None:
    kinds = {
        r.name: r.kind for r in one(*map(file, ["a.mp4", "b.mp3", "c.png", "d.pptx", "e.exe"])).resources
    }
    assert kinds == {
        "a.mp4": "video",
        "b.mp3": "audio",
        "c.png": "picture",
        "d.pptx": "courseware",
        "e.exe": "other",
    }


def test_subtitles_belong_to_their_video() -> None:
    made = plan([tree(file("视频 山.mp4"), file("视频 山.vtt"), file("视频 山.en.vtt"), file("孤.vtt"))])
    (resource,) = made.lessons[0].resources
    assert [(f.path, f.role) for f in resource.files] == [
        ("视频 山.mp4", "main"),
        ("视频 山.vtt", "subtitles"),
        ("视频 山.en.vtt", "subtitles"),
    ]
    assert whats(made) == [("E-SOURCE", "孤.vtt")]


def test_folders_are_courseware_or_quiz() -> None:
    lesson = one(
        folder("课件 笔顺", file("index.html"), folder("js", file("a.js"))),
        folder("试题 一", file("assessment.xml"), file("item-1.xml")),
    )
    assert [(r.kind, [(f.path, f.role) for f in r.files]) for r in lesson.resources] == [
        ("interactive", [("课件 笔顺/index.html", "main"), ("课件 笔顺/js/a.js", "part")]),
        ("quiz", [("试题 一/assessment.xml", "main"), ("试题 一/item-1.xml", "part")]),
    ]


def test_an_index_deeper_down_is_only_a_part() -> None:
    lesson = one(folder("互动课件", file("index.html"), folder("b", file("index.html"))))
    assert [f.role for f in lesson.resources[0].files] == ["main", "part"]


def test_lesson_toml_states() -> None:
    lesson = one(
        toml(
            'id = "gushi-sanshou"\ntitle = "古诗"\nperiods = 3\nlicence = "CC0-1.0"\n'
            '[resource."b.bin"]\ntitle = "先看"\nkind = "video"\nstep = "teach"\norder = 1\nlanguage = "en"\n'
        ),
        file("a.mp4"),
        file("b.bin"),
    )
    assert (lesson.id, lesson.title, lesson.periods, lesson.licence) == (
        "gushi-sanshou",
        "古诗",
        3,
        "CC0-1.0",
    )
    first = lesson.resources[0]
    assert (first.name, first.title, first.kind, first.step, first.language) == (
        "b.bin",
        "先看",
        "video",
        "teach",
        "en",
    )


def test_kind_and_step_may_be_stated_in_chinese() -> None:
    said = toml('[resource."a.bin"]\nkind = "微课"\nstep = "练"\n')
    (resource,) = one(said, file("a.bin")).resources
    assert (resource.kind, resource.step) == ("video", "practise")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "gb18030"])
def test_lesson_toml_as_notepad_saves_it(encoding: str) -> None:
    text = 'title = "古诗"\r\nperiods = 2\r\n'.encode(encoding)
    lesson = one(file("lesson.toml", len(text), text=text), file("a.mp4"))
    assert (lesson.title, lesson.periods) == ("古诗", 2)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("title = ", 1),
        ("titel = 'x'", 1),
        ("title = 3", 1),
        ("title = ''", 1),
        ("title = '" + "长" * 301 + "'", 1),
        ("periods = 0", 1),
        ("periods = true", 1),
        ("periods = 1.5", 1),
        ("id = 'Nicht gut'", 1),
        ("resource = 3", 1),
        ("[resource.'a.mp4']\nkind = 'film'\nstep = 'x'\norder = '1'", 3),
        ("[resource.'no-such.mp4']\ntitle = 'x'", 1),
        ("[" * 3000, 1),
    ],
)
def test_a_wrong_lesson_toml_is_named_and_the_lesson_published(text: str, count: int) -> None:
    made = plan([tree(toml(text), file("a.mp4"))])
    assert whats(made) == [("E-SOURCE", "lesson.toml")] * count
    assert made.lessons[0].title == "古诗三首" and made.lessons[0].resources[0].kind == "video"


def test_every_oddity_is_named_and_the_rest_published() -> None:
    made = plan(
        [
            tree(
                file("课件.pptx"),
                file("空.txt", 0),
                file("链.txt", odd="is a link; links are not followed"),
                file("视频 " + "长" * 300 + ".mp4"),
                file("CON.txt"),
                file("a:b.txt"),
                file("坏\udcff.txt"),
                file("行\n尾.txt"),
                file("Ab.txt"),
                file("aB.txt"),
                file("lesson.json"),
                folder("别的", file("a.txt")),
                folder("互动课件 空", file("index.html", 0), file("a.js")),
            )
        ]
    )
    assert [r.name for r in made.lessons[0].resources] == ["课件.pptx", "Ab.txt"]
    assert all("\n" not in problem.line() for problem in made.problems)


def test_too_shallow_and_too_deep_are_named() -> None:
    shallow = tree(file("视频.mp4"), place=PLACE[:5])
    assert whats(plan([shallow])) == [("E-SOURCE", "视频.mp4")]
    deep = tree(folder("更深", file("视频.mp4")))
    assert whats(plan([deep])) == [("E-SOURCE", "更深"), ("E-SOURCE", "17 古诗三首")]
    wrong = tree(file("视频.mp4"), place=(*PLACE[:3], "三年级", *PLACE[4:]))
    assert whats(plan([wrong])) == [("E-SOURCE", "三年级")]
    assert not any(plan([node]).lessons for node in (shallow, deep, wrong))


def test_an_unreadable_source_is_named() -> None:
    made = plan([folder("src", odd="can't be read: Input/output error")])
    assert not made.lessons and [p.code for p in made.problems] == ["E-SOURCE"]
    assert made.may_hold("小学", "语文", "统编版", "三年级上册", "第一单元")


def test_what_may_lie_in_a_folder_that_was_not_read() -> None:
    shut = folder(PLACE[4], odd="can't be read: Permission denied")
    made = plan([tree(folder("第一单元 学校生活"), shut, place=PLACE[:4])])
    assert made.may_hold(*PLACE[:5])
    assert not made.may_hold(*PLACE[:4], "第一单元 学校生活")
    lesson = plan([tree(folder(PLACE[5], odd="can't be read: Permission denied"), place=PLACE[:5])])
    assert lesson.may_hold(*PLACE[:5])
    assert not plan([tree(file("视频.mp4", size=0))]).unread


def test_two_lessons_with_one_id() -> None:
    unit = folder("第一单元", folder("1 练习", file("a.pdf")), folder("2 练习", file("a.pdf")))
    made = plan([folder("src", folder("小学", folder("数学", folder("版", folder("一年级上册", unit)))))])
    assert len(made.lessons) == 1 and whats(made) == [("E-SOURCE", "2 练习")]


def test_two_sources_are_one_library() -> None:
    other = (*PLACE[:5], "18 别的课")
    made = plan([tree(file("a.mp4")), tree(file("a.mp4"), place=other)])
    assert [lesson.title for lesson in made.lessons] == ["古诗三首", "别的课"] and not made.problems


def test_visible_is_one_line_of_unicode() -> None:
    assert visible("a\udcff\n\x1b[31m").encode() == b"a\\udcff\\x0a\\x1b[31m"


def test_natural_order() -> None:
    names = ["第十单元", "第二单元", "第一单元", "三年级", "二年级", "课 10", "课 9"]
    ordered = sorted(names, key=natural)
    assert ordered.index("第二单元") < ordered.index("第十单元")
    assert ordered.index("二年级") < ordered.index("三年级") and ordered.index("课 9") < ordered.index(
        "课 10"
    )


def test_twins_that_a_box_would_refuse_are_named_here() -> None:
    """One Greek name in two ways of writing: folding without decomposing first takes them for two."""
    made = plan([tree(file("\u0386\u0301\u0345.txt"), file("\u1fb4\u0301.txt"))])
    assert [problem.code for problem in made.problems] == ["E-PATH"]
    assert len(made.lessons[0].resources) == 1


def nested(*names: str, leaf: Node) -> Node:
    for name in reversed(names):
        leaf = folder(name, leaf)
    return leaf


def test_special_shelves_have_free_folders() -> None:
    topics = folder(
        "专题教育",
        nested("防溺水", "游泳前", "要知道", "1 救生圈", leaf=file("视频 用法.mp4")),
        nested("毒品", "认一认", "试题", leaf=file("assessment.xml")),
        nested("开学第一课", leaf=file("课件.pptx")),
        file("说明.txt"),
        folder("空的"),
        folder("坏的", odd="can't be read"),
    )
    training = nested("教师培训", "白板", "人教版", "全一册", "一", "批注", leaf=file("视频.mp4"))
    made = plan([folder("src", topics, training, nested("小学", "防溺水", leaf=file("视频.mp4")))])
    assert [
        (x.stage, x.subject, x.edition, x.grade + x.volume, x.unit, x.no, x.title) for x in made.lessons
    ] == [
        ("专题教育", "防溺水", "不分版本", "不分年级全一册", "游泳前 要知道", 1, "救生圈"),
        ("专题教育", "毒品", "不分版本", "不分年级全一册", "毒品", None, "认一认"),
        ("专题教育", "专题教育", "不分版本", "不分年级全一册", "专题教育", None, "开学第一课"),
        ("教师培训", "白板", "人教版", "不分年级全一册", "一", None, "批注"),
    ]
    first = made.lessons[0]
    assert first.collection == collection_id("专题教育", "防溺水", "不分版本", "不分年级", "全一册")
    assert first.id == lesson_id(first.collection, "游泳前 要知道", "救生圈")
    assert [kind for _, kind in whats(made)] == ["说明.txt", "空的", "坏的", "视频.mp4"]
    assert made.may_hold("专题教育", "防溺水", "不分版本", "不分年级全一册", "x") and not made.may_hold(
        "小学"
    )
