"""Quizzes as QTI 3.0: a test that names its items, each item a file."""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from .lesson import Lesson, Spec

SPACE = "http://www.imsglobal.org/xsd/imsqtiasi_v3p0"
MATCH = "https://purl.imsglobal.org/spec/qti/v3p0/rptemplates/match_correct.xml"
KINDS = {"choice": "单选", "multiple": "多选", "truefalse": "判断", "text": "填空"}


def _choices(item: Spec) -> list[tuple[str, str]]:
    """Identifiers and words of what can be chosen."""
    if item["kind"] == "truefalse":
        return [("true", "对"), ("false", "错")]
    return [(chr(65 + n), words) for n, words in enumerate(item["options"])]


def _answers(item: Spec) -> list[str]:
    """The correct response, as identifiers or as text."""
    if item["kind"] == "truefalse":
        return ["true" if item["answer"] == "对" else "false"]
    return [item["answer"]] if item["kind"] == "text" else list(item["answer"])


def item_xml(lesson: Lesson, name: str, number: int, item: Spec) -> str:
    """One assessment item."""
    kind = item["kind"]
    many = "multiple" if kind == "multiple" else "single"
    base = "string" if kind == "text" else "identifier"
    values = "".join(f"      <qti-value>{escape(a)}</qti-value>\n" for a in _answers(item))
    title = quoteattr(f"第{number}题 {KINDS[kind]}")
    if kind == "text":
        long = max(len(item["answer"]), 2)
        body = (
            f"    <p>{escape(item['stem'])}</p>\n"
            f'    <p><qti-text-entry-interaction response-identifier="RESPONSE" '
            f'expected-length="{long}"/></p>\n'
        )
    else:
        rows = "".join(
            f"      <qti-simple-choice identifier={quoteattr(i)}>{escape(words)}</qti-simple-choice>\n"
            for i, words in _choices(item)
        )
        most = len(item["answer"]) if kind == "multiple" else 1
        body = (
            f'    <qti-choice-interaction response-identifier="RESPONSE" shuffle="false" '
            f'max-choices="{most}">\n'
            f"      <qti-prompt>{escape(item['stem'])}</qti-prompt>\n{rows}    </qti-choice-interaction>\n"
        )
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<qti-assessment-item xmlns="{SPACE}" identifier="{name}" title={title} xml:lang="zh-Hans"
    adaptive="false" time-dependent="false">
  <qti-response-declaration identifier="RESPONSE" cardinality="{many}" base-type="{base}">
    <qti-correct-response>
{values}    </qti-correct-response>
  </qti-response-declaration>
  <qti-outcome-declaration identifier="SCORE" cardinality="single" base-type="float">
    <qti-default-value>
      <qti-value>0</qti-value>
    </qti-default-value>
  </qti-outcome-declaration>
  <qti-outcome-declaration identifier="FEEDBACK" cardinality="single" base-type="identifier">
    <qti-default-value>
      <qti-value>why</qti-value>
    </qti-default-value>
  </qti-outcome-declaration>
  <qti-item-body>
{body}  </qti-item-body>
  <qti-response-processing template="{MATCH}"/>
  <qti-modal-feedback outcome-identifier="FEEDBACK" identifier="why" show-hide="show" title="为什么">
    <qti-content-body>
      <p>{escape(item["why"])}</p>
    </qti-content-body>
  </qti-modal-feedback>
</qti-assessment-item>
"""


def make_quiz(lesson: Lesson, folder: Path) -> None:
    """The lesson's quiz: assessment.xml, q1.xml …"""
    folder.mkdir(parents=True, exist_ok=True)
    refs = ""
    for n, item in enumerate(lesson.list("quiz"), 1):
        name = f"q{n}"
        (folder / f"{name}.xml").write_text(item_xml(lesson, name, n, item), "utf-8")
        refs += f'      <qti-assessment-item-ref identifier="{name}" href="{name}.xml"/>\n'
    title = quoteattr(f"{lesson.part} 课堂练习")
    (folder / "assessment.xml").write_text(
        f"""<?xml version="1.0" encoding="UTF-8"?>
<qti-assessment-test xmlns="{SPACE}" identifier="{lesson.file.stem}" title={title} xml:lang="zh-Hans">
  <qti-outcome-declaration identifier="SCORE" cardinality="single" base-type="float"/>
  <qti-test-part identifier="part" navigation-mode="nonlinear" submission-mode="individual">
    <qti-assessment-section identifier="section" title="课堂练习" visible="true">
{refs}    </qti-assessment-section>
  </qti-test-part>
</qti-assessment-test>
""",
        "utf-8",
    )
