# ruff: noqa: E501 (markup)
"""Quizzes of every kind of question for tests, in QTI 3.0 and, made from that, 2.2."""

from __future__ import annotations

import io
import re
import zipfile

from tests.box import TEST, png

QTI3, QTI2 = "http://www.imsglobal.org/xsd/imsqtiasi_v3p0", "http://www.imsglobal.org/xsd/imsqti_v2p2"
WHY = (
    '<qti-modal-feedback outcome-identifier="F" identifier="f" show-hide="show"><qti-content-body><p>{}</p>'
    "</qti-content-body></qti-modal-feedback>"
)
MATH = (
    '<math xmlns="http://www.w3.org/1998/Math/MathML"><mfrac><mn>1</mn><mn>2</mn></mfrac><mo>+</mo>'
    "<mfrac><mn>1</mn><mn>4</mn></mfrac></math>"
)


def item(body: str, *right: tuple[str, str], why: str = "", name: str = "i") -> str:
    """One item: `right` are (response identifier, values with spaces between, `|` for a space in one)."""
    declarations = "".join(
        f'<qti-response-declaration identifier="{identifier}" cardinality="single" base-type="string">'
        "<qti-correct-response>"
        + "".join(f"<qti-value>{value.replace('|', ' ')}</qti-value>" for value in values.split())
        + "</qti-correct-response></qti-response-declaration>"
        for identifier, values in right
    )
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<qti-assessment-item xmlns="{QTI3}" identifier="{name}"'
        f' title="{name}" adaptive="false" time-dependent="false">{declarations}<qti-item-body>{body}'
        f"</qti-item-body>{WHY.format(why) if why else ''}</qti-assessment-item>"
    )


def choices(kind: str, prompt: str, *texts: str, most: int = 1, tag: str = "simple-choice") -> str:
    """An interaction with choices named a, b, c…"""
    inner = "".join(
        f'<qti-{tag} identifier="{chr(97 + n)}">{text}</qti-{tag}>' for n, text in enumerate(texts)
    )
    return (
        f'<qti-{kind}-interaction response-identifier="R" max-choices="{most}"><qti-prompt>{prompt}</qti-prompt>'
        f"{inner}</qti-{kind}-interaction>"
    )


def side(first: str, *texts: str) -> str:
    """One column of a match."""
    inner = "".join(
        f'<qti-simple-associable-choice identifier="{first}{n}" match-max="1">{text}'
        "</qti-simple-associable-choice>"
        for n, text in enumerate(texts)
    )
    return f"<qti-simple-match-set>{inner}</qti-simple-match-set>"


KINDS = {
    "choice": item(
        choices("choice", "诗人看到“两岸青山相对出”，是因为（　　）。", "他站在岸边看山", "他坐船前行，山迎面而来",
                "他站在山顶往下看", "青山自己在移动"),
        ("R", "b"), why="“出”字写出了山的动。船在江上往前走，两岸的青山好像一座座迎面走出来，可见诗人是坐在船上看的。",
    ),
    "multiple": item(choices("choice", "哪些字写出了江水的动？", "碧", "流", "回", "青", most=0), ("R", "b c")),
    "judge": item(choices("choice", "《望天门山》的作者是<strong>杜甫</strong>。", "对", "错"), ("R", "b")),
    "fill": item(
        '<p>天门中断<qti-text-entry-interaction response-identifier="A"/>开，碧水东流至此'
        '<qti-text-entry-interaction response-identifier="B"/>。</p>', ("A", "楚江"), ("B", "回"),
    ),
    "order": item(choices("order", "把诗句排好。", "碧水东流至此回", "天门中断楚江开", "孤帆一片日边来", "两岸青山相对出"),
                  ("R", "b a d c")),
    "match": item(
        '<qti-match-interaction response-identifier="R" max-associations="3"><qti-prompt>把诗人和诗连起来。</qti-prompt>'
        + side("l", "李白", "苏轼", "刘禹锡") + side("r", "《望洞庭》", "《望天门山》", "《饮湖上初晴后雨》")
        + "</qti-match-interaction>", ("R", "l0|r1 l1|r2 l2|r0"),
    ),
    "formula": item(
        choices("choice", f"{MATH}＝（　　）<img src='../pie.png' alt=''/>",
                "<math><mfrac><mn>3</mn><mn>4</mn></mfrac></math>", "<p>2<sup>3</sup></p>"), ("R", "a"),
    ),
    "open": item("<p>说说你看到的<ruby>孤<rt>gū</rt></ruby>帆。</p>"
                 '<qti-extended-text-interaction response-identifier="R"/>', ("R", "一只小船")),
}  # fmt: skip


def to_qti2(xml: str) -> str:
    """The same in the spelling of QTI 2.2."""
    xml = xml.replace(QTI3, QTI2)

    def camel(match: re.Match[str]) -> str:
        return re.sub(r"-(\w)", lambda m: m[1].upper(), match[1] + match[2])

    xml = re.sub(r"(</?)qti-([a-z-]+)", camel, xml)
    return re.sub(r"( )([a-z]+-[a-z-]+)(?==[\"'])", camel, xml)


def files(version: int = 3, kinds: tuple[str, ...] = tuple(KINDS)) -> dict[str, bytes]:
    """A test and its items by path."""
    refs = "".join(f'<qti-assessment-item-ref identifier="{k}" href="items/{k}.xml"/>\n' for k in kinds)
    texts = {"assessment.xml": TEST.format(refs=refs)} | {f"items/{k}.xml": KINDS[k] for k in kinds}
    made = {path: (to_qti2(text) if version == 2 else text).encode() for path, text in texts.items()}
    return made | {"pie.png": png(60, 60, (35, 88, 143))}


def manifest(version: int = 3, with_test: bool = True, kinds: tuple[str, ...] = tuple(KINDS)) -> bytes:
    """The imsmanifest.xml of a content package of `files`."""
    short = "v3p0" if version == 3 else "v2p2"
    listed = [("imsqti_test_xml", "assessment.xml")] if with_test else []
    listed += [("imsqti_item_xml", f"items/{kind}.xml") for kind in kinds]
    inner = "".join(
        f'<resource identifier="R{n}" type="{kind}{short}" href="{path}"><file href="{path}"/></resource>'
        for n, (kind, path) in enumerate(listed)
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?><manifest xmlns="http://www.imsglobal.org/xsd/imscp_v1p1"'
        f' identifier="M"><organizations/><resources>{inner}</resources></manifest>'
    ).encode()


def package(version: int = 3, with_test: bool = True) -> bytes:
    """A content package: a zip."""
    held = files(version)
    if not with_test:
        del held["assessment.xml"]
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as out:
        for path, data in {"imsmanifest.xml": manifest(version, with_test), **held}.items():
            out.writestr(path, data)
    return made.getvalue()


def resource_files() -> list[tuple[str, str, bytes]]:
    """`files` as a resource of a SmallBox."""
    return [
        (f"试题 全部/{path}", "main" if path == "assessment.xml" else "part", data)
        for path, data in files().items()
    ]
