"""Papers to print: lesson plans and study guides, A4, with text that can be selected."""

from __future__ import annotations

import re
from pathlib import Path

from reportlab.lib.colors import HexColor
from reportlab.lib.enums import TA_CENTER
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    BaseDocTemplate,
    Flowable,
    Frame,
    KeepTogether,
    PageTemplate,
    Paragraph,
    Spacer,
    Table,
    TableStyle,
)

from . import hanzi as hz
from .lesson import LICENCE, SOURCE, Lesson
from .look import HAIR, INK, INK2, PAPER, RULE, hei, latin, plain
from .paint import wrap

HEI, SOUND = "Hei", "Sound"


def load_fonts() -> None:
    """Makes the two fonts known to reportlab."""
    if HEI in pdfmetrics.getRegisteredFontNames():
        return
    for name, (file, index) in ((HEI, hei()), (SOUND, latin())):
        pdfmetrics.registerFont(TTFont(name, file, subfontIndex=index))


def _style(size: float, colour: str = INK, **more: float) -> ParagraphStyle:
    return ParagraphStyle(
        f"s{size}{colour}{sorted(more.items())}",
        fontName=HEI,
        fontSize=size,
        leading=size * 1.54,
        textColor=HexColor(colour),
        wordWrap="CJK",
        **more,
    )


class KaiTitle(Flowable):
    """A title in Kai strokes in 田字格, over text that can be selected."""

    def __init__(self, words: str, size: float, colour: str, grid: bool, ink: str = INK) -> None:
        """The words and how large they are."""
        super().__init__()
        self.words, self.size, self.colour, self.grid, self.ink = words, size, colour, grid, ink
        self.width, self.height = len(words) * size, size

    def draw(self) -> None:
        """Draws on the page."""
        c, s = self.canv, self.size
        for n, char in enumerate(self.words):
            if self.grid:
                c.setStrokeColor(HexColor(self.colour))
                c.setLineWidth(0.7)
                c.rect(n * s, 0, s, s)
                c.setLineWidth(0.35)
                c.setDash([2, 2])
                c.line(n * s + s / 2, 0, n * s + s / 2, s)
                c.line(n * s, s / 2, n * s + s, s / 2)
                c.setDash([])
            c.setFillColor(HexColor(self.ink))
            if hz.known(char) and char != " ":
                pad = s * 0.06 if self.grid else 0
                for outline in hz.hanzi(char).outlines:
                    path = c.beginPath()
                    for i, (x, y) in enumerate(outline):
                        spot = (n * s + pad + x * (s - 2 * pad), s - pad - y * (s - 2 * pad))
                        path.moveTo(*spot) if i == 0 else path.lineTo(*spot)
                    path.close()
                    c.drawPath(path, fill=1, stroke=0, fillMode=1)
        pen = c.beginText(0, s * 0.14)
        pen.setFont(HEI, s)
        pen.setTextRenderMode(3)
        pen.textOut(self.words)
        c.drawText(pen)


def _title(lesson: Lesson, what: str) -> list[Flowable]:
    words = lesson.part if hz.known(lesson.part) and " " not in lesson.part else lesson.title
    head: Flowable
    if hz.known(words):
        head = KaiTitle(words, 34, lesson.colour, grid=lesson.subject == "语文")
    else:
        head = Paragraph(words, _style(28))
    place = "　".join([f"{lesson.volume}（{lesson.places[2]}）", lesson.unit])
    if words != lesson.title:
        place += f"　第{lesson.data['number']}课 {lesson.title}"
    return [
        Paragraph(what, _style(12.5, lesson.colour)),
        Spacer(1, 2 * mm),
        head,
        Spacer(1, 2.5 * mm),
        Paragraph(place, _style(10, INK2)),
        Spacer(1, 2 * mm),
    ]


def _head(lesson: Lesson, words: str) -> Table:
    """A small heading with a line of the subject's colour."""
    table = Table([[Paragraph(words, _style(12.5, lesson.colour))]], colWidths=[170 * mm])
    table.setStyle(
        TableStyle(
            [
                ("LINEBELOW", (0, 0), (-1, -1), 1.1, HexColor(lesson.colour)),
                ("LEFTPADDING", (0, 0), (-1, -1), 0),
                ("TOPPADDING", (0, 0), (-1, -1), 6),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 2),
            ]
        )
    )
    return table


def _numbered(items: list[str], size: float = 10.5) -> list[Flowable]:
    style = _style(size, leftIndent=16, firstLineIndent=-16, spaceBefore=3.5)
    return [Paragraph(f"{n}.&nbsp;{_fit(x, size, 450)}", style) for n, x in enumerate(items, 1)]


def _safe(words: str) -> str:
    """Words as reportlab's markup, wide blanks kept."""
    words = plain(words).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub("  +", lambda blank: "\u00a0" * (2 * len(blank[0])), words)


def _fit(words: str, size: float, room: float) -> str:
    """Markup broken into lines that never begin with a closing mark (reportlab's own sometimes do)."""
    lines = wrap(plain(words), lambda s: pdfmetrics.stringWidth(s, HEI, size), room)
    return "<br/>".join(_safe(line) for line in lines)


def _foot(lesson: Lesson, what: str):
    def draw(canvas: Canvas, doc: BaseDocTemplate) -> None:
        canvas.setFillColor(HexColor(lesson.colour))
        canvas.rect(0, 0, 4 * mm, A4[1], fill=1, stroke=0)
        canvas.setFont(HEI, 8.5)
        canvas.setFillColor(HexColor(INK2))
        canvas.drawString(22 * mm, 10 * mm, f"{lesson.volume}　{lesson.part}　{what}")
        canvas.drawRightString(A4[0] - 18 * mm, 10 * mm, f"{LICENCE}　第{doc.page}页")

    return draw


def _build(file: Path, lesson: Lesson, what: str, story: list[Flowable]) -> None:
    doc = BaseDocTemplate(
        str(file), pagesize=A4, title=f"{lesson.part} {what}", author=SOURCE, keywords=[LICENCE], invariant=1
    )
    frame = Frame(22 * mm, 15 * mm, 170 * mm, A4[1] - 27 * mm, 0, 0, 0, 0)
    doc.addPageTemplates(PageTemplate(frames=[frame], onPage=_foot(lesson, what)))
    doc.build(story)


def make_plan(lesson: Lesson, file: Path) -> None:
    """The lesson plan."""
    load_fonts()
    plan = lesson.data["plan"]
    story = _title(lesson, f"教案　{plan['period']}")
    story += [_head(lesson, "教学目标"), *_numbered(plan["goals"])]
    story += [_head(lesson, "重点、难点和准备"), Spacer(1, 1.5 * mm)]
    for name, words in (("重点", plan["focus"]), ("难点", plan["hard"]), ("准备", "、".join(plan["ready"]))):
        line = f'<font color="{lesson.colour}">{name}</font>　{_safe(words)}'
        story.append(Paragraph(line, _style(10.5, leftIndent=31, firstLineIndent=-31, spaceBefore=1.5)))
    total = sum(step[1] for step in plan["steps"])
    story.append(_head(lesson, f"教学过程（{total}分钟）"))
    cell, note = _style(10), _style(9.5, INK2)
    rows = [[Paragraph(x, _style(9.5, INK2)) for x in ("环节", "时间", "教师和学生的活动", "老师可以这样问")]]
    for name, minutes, does, asks in plan["steps"]:
        rows.append(
            [
                Paragraph(_fit(name, 10, 24 * mm - 10), _style(10, lesson.colour)),
                Paragraph(f"{minutes}分", note),
                Paragraph(_fit(does, 10, 77 * mm - 10), cell),
                Paragraph(_fit(asks, 10, 57 * mm - 10), cell),
            ]
        )
    table = Table(rows, colWidths=[24 * mm, 12 * mm, 77 * mm, 57 * mm], repeatRows=1)
    table.setStyle(
        TableStyle(
            [
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("LINEBELOW", (0, 0), (-1, -1), 0.5, HexColor(RULE)),
                ("LEFTPADDING", (0, 0), (-1, -1), 2),
                ("RIGHTPADDING", (0, 0), (-1, -1), 6),
                ("TOPPADDING", (0, 0), (-1, -1), 2),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 3),
            ]
        )
    )
    story.append(table)
    board = Table(
        [[Paragraph("<br/>".join(_safe(x) for x in plan["board"]), _style(11.5))]], colWidths=[170 * mm]
    )
    board.setStyle(
        TableStyle(
            [
                ("BACKGROUND", (0, 0), (-1, -1), HexColor(PAPER)),
                ("LINEBEFORE", (0, 0), (0, -1), 3, HexColor(lesson.colour)),
                ("LEFTPADDING", (0, 0), (-1, -1), 12),
                ("TOPPADDING", (0, 0), (-1, -1), 6),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 8),
            ]
        )
    )
    story.append(KeepTogether([_head(lesson, "板书"), Spacer(1, 2 * mm), board]))
    story.append(KeepTogether([_head(lesson, "作业"), *_numbered(plan["homework"])]))
    lines = Table([[""]] * 2, colWidths=[170 * mm], rowHeights=[8 * mm] * 2)
    lines.setStyle(TableStyle([("LINEBELOW", (0, 0), (-1, -1), 0.5, HexColor(HAIR))]))
    story.append(KeepTogether([_head(lesson, "教学反思"), lines]))
    _build(file, lesson, "教案", story)


def make_guide(lesson: Lesson, file: Path) -> None:
    """The study guide that pupils fill in."""
    load_fonts()
    guide = lesson.data["guide"]
    story = _title(lesson, "导学案")
    who = Paragraph("班级＿＿＿＿＿＿　　姓名＿＿＿＿＿＿　　日期＿＿＿＿＿＿", _style(11, INK2))
    goal = Paragraph(f'<font color="{lesson.colour}">学习目标</font>　{_safe(guide["goal"])}', _style(11.5))
    story += [who, Spacer(1, 2 * mm), goal]
    style = _style(12, leftIndent=18, firstLineIndent=-18, spaceBefore=6)
    style.leading = 25
    for name, items in guide["parts"]:
        block: list[Flowable] = [_head(lesson, name), Spacer(1, 1 * mm)]
        for n, item in enumerate(items, 1):
            whole = isinstance(item, str)
            block.append(
                Paragraph(f"{n}.&nbsp;{_blank(item if whole else '每分钟读一次，记在表里。')}", style)
            )
            if not whole:
                block += [Spacer(1, 2 * mm), _grid(item), Spacer(1, 2 * mm)]
        story.append(KeepTogether([*block, Spacer(1, 3 * mm)]))
    if lesson.list("chars"):
        story.append(KeepTogether([_head(lesson, "写一写"), Spacer(1, 3 * mm), CharRows(lesson)]))
    mine = Paragraph(
        "我给自己打分：☆ ☆ ☆ ☆ ☆　　我还想问：＿＿＿＿＿＿＿＿＿＿＿＿＿＿＿＿＿＿", _style(11.5)
    )
    story += [Spacer(1, 6 * mm), mine]
    _build(file, lesson, "导学案", story)


def _grid(rows: list[list[str]]) -> Table:
    """A small table to fill in."""
    style = _style(11, alignment=TA_CENTER)
    cells = [[Paragraph(_safe(x), style) for x in row] for row in rows]
    wide = 140 * mm / (len(rows[0]) - 1)
    table = Table(cells, colWidths=[28 * mm, *[wide] * (len(rows[0]) - 1)], rowHeights=[9 * mm] * len(rows))
    look = [("GRID", (0, 0), (-1, -1), 0.6, HexColor(INK2)), ("VALIGN", (0, 0), (-1, -1), "MIDDLE")]
    look += [("LEFTPADDING", (0, 0), (-1, -1), 1), ("RIGHTPADDING", (0, 0), (-1, -1), 1)]
    table.setStyle(TableStyle(look))
    return table


def _blank(words: str) -> str:
    """Markup in which the gaps to fill in stay as wide as they were typed."""
    words = re.sub("__+", lambda line: "＿" * max(1, round(len(line[0]) * 0.4)), words)
    return _safe(words)


class CharRows(Flowable):
    """田字格 to trace and to write: each character once, twice grey, then empty squares."""

    SIDE, COUNT = 13 * mm, 13

    def __init__(self, lesson: Lesson) -> None:
        """The lesson's characters."""
        super().__init__()
        self.lesson, self.chars = lesson, [i["char"] for i in lesson.list("chars")]
        self.width, self.height = self.SIDE * self.COUNT, (self.SIDE + 2 * mm) * len(self.chars)

    def draw(self) -> None:
        """Draws on the page."""
        for n, char in enumerate(self.chars):
            y = self.height - (n + 1) * (self.SIDE + 2 * mm)
            for i in range(self.COUNT):
                ink = RULE if i in (1, 2) else INK
                words = KaiTitle(char if i < 3 else " ", self.SIDE, self.lesson.colour, grid=True, ink=ink)
                self.canv.saveState()
                self.canv.translate(i * self.SIDE, y)
                words.canv = self.canv
                words.draw()
                self.canv.restoreState()
