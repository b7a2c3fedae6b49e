"""Courseware: one design, drawn into a PPTX or straight into a PDF."""

from __future__ import annotations

import datetime as dt
import io
import zipfile
from pathlib import Path
from typing import Protocol

from PIL import Image
from pptx import Presentation
from pptx.dml.color import RGBColor
from pptx.enum.shapes import MSO_CONNECTOR, MSO_SHAPE
from pptx.enum.text import MSO_ANCHOR, PP_ALIGN
from pptx.oxml.ns import qn
from pptx.shapes.base import BaseShape
from pptx.util import Emu, Pt
from reportlab.lib.colors import HexColor
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from . import hanzi as hz
from .lesson import LICENCE, SOURCE, Lesson, Spec
from .look import HAIR, INK, INK2, PAGE, PAPER, RULE, YELLOW, plain, rgb
from .paint import Sheet, shade, wrap, writing
from .paper import HEI, SOUND, load_fonts
from .pictures import still
from .views_class import TONES, clock_face, clock_hands, clock_seconds, parts_page

W, H = 1280, 720  # the slide in its own points
WHEN = dt.datetime(2024, 9, 1)


class Deck(Protocol):
    """What a slide is drawn on."""

    def page(self, fill: str) -> None:
        """Begins a slide."""

    def rect(self, x: float, y: float, w: float, h: float, fill: str | None, edge: str | None = None) -> None:
        """A rectangle."""

    def line(
        self, x1: float, y1: float, x2: float, y2: float, colour: str, width: float, dash: bool = False
    ) -> None:
        """A line."""

    def text(
        self, x: float, y: float, w: float, h: float, words: str, size: float, colour: str,
        kai: bool = False, align: str = "l", sound: bool = False,
    ) -> None:  # fmt: skip
        """Words in a box, in its vertical middle."""

    def picture(self, image: Image.Image, x: float, y: float, w: float, h: float) -> None:
        """A picture."""

    def save(self, file: Path) -> None:
        """Writes the file."""


def _bytes(image: Image.Image) -> io.BytesIO:
    """A picture as JPEG, or as PNG where it is clear."""
    out = io.BytesIO()
    if image.mode == "RGBA":
        image.save(out, "PNG", optimize=True)
    else:
        image.save(out, "JPEG", quality=84, optimize=True)
    out.seek(0)
    return out


class PptxDeck:
    """A PowerPoint file."""

    K = 9525  # EMU in a pixel: 1280 x 720 is 13.33 x 7.5 inches

    def __init__(self, lesson: Lesson) -> None:
        """An empty 16:9 file that says what it is."""
        self.deck = Presentation()
        self.deck.slide_width, self.deck.slide_height = Emu(W * self.K), Emu(H * self.K)
        about = self.deck.core_properties
        about.title, about.author, about.language = lesson.part, SOURCE, lesson.language
        about.comments, about.created, about.modified = LICENCE, WHEN, WHEN
        about.last_modified_by = SOURCE
        self.slide = None

    def _box(self, x: float, y: float, w: float, h: float) -> tuple[Emu, Emu, Emu, Emu]:
        return tuple(Emu(round(v * self.K)) for v in (x, y, w, h))  # type: ignore[return-value]

    def page(self, fill: str) -> None:
        """Begins a slide."""
        self.slide = self.deck.slides.add_slide(self.deck.slide_layouts[6])
        back = self.slide.background.fill
        back.solid()
        back.fore_color.rgb = RGBColor(*rgb(fill))

    def rect(self, x: float, y: float, w: float, h: float, fill: str | None, edge: str | None = None) -> None:
        """A rectangle."""
        shape = self.slide.shapes.add_shape(MSO_SHAPE.RECTANGLE, *self._box(x, y, w, h))
        _unstyled(shape)
        if fill:
            shape.fill.solid()
            shape.fill.fore_color.rgb = RGBColor(*rgb(fill))
        else:
            shape.fill.background()
        if edge:
            shape.line.color.rgb, shape.line.width = RGBColor(*rgb(edge)), Pt(1.5)
        else:
            shape.line.fill.background()

    def line(
        self, x1: float, y1: float, x2: float, y2: float, colour: str, width: float, dash: bool = False
    ) -> None:
        """A line."""
        a, b, c, d = (Emu(round(v * self.K)) for v in (x1, y1, x2, y2))
        shape = self.slide.shapes.add_connector(MSO_CONNECTOR.STRAIGHT, a, b, c, d)
        _unstyled(shape)
        line = shape.line
        line.color.rgb, line.width = RGBColor(*rgb(colour)), Pt(width)
        if dash:
            line._get_or_add_ln().append(line._ln.makeelement(qn("a:prstDash"), {"val": "dash"}))

    def text(
        self, x: float, y: float, w: float, h: float, words: str, size: float, colour: str,
        kai: bool = False, align: str = "l", sound: bool = False,
    ) -> None:  # fmt: skip
        """Words in a box; Kai is asked for by the name that boards know it by."""
        box = self.slide.shapes.add_textbox(*self._box(x, y, w, h))
        frame = box.text_frame
        frame.word_wrap, frame.vertical_anchor = True, MSO_ANCHOR.MIDDLE
        frame.margin_left = frame.margin_right = frame.margin_top = frame.margin_bottom = 0
        for n, part in enumerate(plain(words).split("\n")):
            para = frame.paragraphs[0] if n == 0 else frame.add_paragraph()
            para.alignment = {"l": PP_ALIGN.LEFT, "c": PP_ALIGN.CENTER, "r": PP_ALIGN.RIGHT}[align]
            para.line_spacing = 1.25
            run = para.add_run()
            run.text = part
            run.font.size, run.font.color.rgb = Pt(size * 0.75), RGBColor(*rgb(colour))
            face = "KaiTi" if kai else "Microsoft YaHei"
            run.font.name = "Arial" if sound else face
            props = run._r.get_or_add_rPr()
            if not sound:
                props.append(props.makeelement(qn("a:ea"), {"typeface": face}))
            props.set("lang", "zh-CN")

    def picture(self, image: Image.Image, x: float, y: float, w: float, h: float) -> None:
        """A picture."""
        self.slide.shapes.add_picture(_bytes(image), *self._box(x, y, w, h))

    def save(self, file: Path) -> None:
        """Writes the file, its parts dated alike whenever it is built."""
        raw = io.BytesIO()
        self.deck.save(raw)
        with zipfile.ZipFile(raw) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
            for item in old.infolist():
                if "thumbnail" in item.filename:
                    continue
                data = old.read(item)
                if item.filename in ("_rels/.rels", "[Content_Types].xml"):
                    data = _without_thumbnail(data)
                info = zipfile.ZipInfo(item.filename, (2024, 9, 1, 0, 0, 0))
                info.compress_type = zipfile.ZIP_DEFLATED
                new.writestr(info, data)


def _unstyled(shape: BaseShape) -> None:
    """Without the theme's style, which would add shadows."""
    for style in shape._element.findall(qn("p:style")):
        shape._element.remove(style)


def _without_thumbnail(data: bytes) -> bytes:
    """The package's list of parts without python-pptx's own thumbnail."""
    text = data.decode()
    while "thumbnail" in text:
        at = text.index("thumbnail")
        start, end = text.rindex("<", 0, at), text.index(">", at) + 1
        text = text[:start] + text[end:]
    return text.encode()


class PdfDeck:
    """A PDF with one page a slide."""

    def __init__(self, file: Path, lesson: Lesson) -> None:
        """An empty file that says what it is."""
        load_fonts()
        self.canvas = Canvas(str(file), pagesize=(W * 0.75, H * 0.75), invariant=1)
        self.canvas.setTitle(lesson.part)
        self.canvas.setAuthor(SOURCE)
        self.canvas.setKeywords(LICENCE)
        self.begun = False

    def page(self, fill: str) -> None:
        """Begins a slide; y runs downwards, as on the screen."""
        if self.begun:
            self.canvas.showPage()
        self.begun = True
        self.canvas.transform(0.75, 0, 0, -0.75, 0, H * 0.75)
        self.rect(0, 0, W, H, fill)

    def rect(self, x: float, y: float, w: float, h: float, fill: str | None, edge: str | None = None) -> None:
        """A rectangle."""
        if fill:
            self.canvas.setFillColor(HexColor(fill))
        if edge:
            self.canvas.setStrokeColor(HexColor(edge))
            self.canvas.setLineWidth(2)
        self.canvas.rect(x, y, w, h, fill=int(bool(fill)), stroke=int(bool(edge)))

    def line(
        self, x1: float, y1: float, x2: float, y2: float, colour: str, width: float, dash: bool = False
    ) -> None:
        """A line."""
        self.canvas.setStrokeColor(HexColor(colour))
        self.canvas.setLineWidth(width * 1.3)
        self.canvas.setDash([7, 7] if dash else [])
        self.canvas.line(x1, y1, x2, y2)
        self.canvas.setDash([])

    def text(
        self, x: float, y: float, w: float, h: float, words: str, size: float, colour: str,
        kai: bool = False, align: str = "l", sound: bool = False,
    ) -> None:  # fmt: skip
        """Words in a box; Kai is drawn by its strokes over text that can be selected."""
        c = self.canvas
        name = SOUND if sound else HEI
        kai = kai and all(hz.known(ch) or not ("\u4e00" <= ch <= "\u9fff") for ch in words)

        def long(s: str) -> float:
            return len(s) * size if kai else c.stringWidth(s, name, size)

        lines = wrap(plain(words), long, w + 1)
        lead = size * 1.45
        top = y + (h - lead * len(lines)) / 2
        for n, line in enumerate(lines):
            left = x + {"l": 0.0, "c": (w - long(line)) / 2, "r": w - long(line)}[align]
            base = top + n * lead + lead / 2 + size * 0.36
            c.saveState()
            c.transform(1, 0, 0, -1, 0, 2 * base)
            pen = c.beginText(left, base)
            pen.setFont(name, size)
            pen.setTextRenderMode(3 if kai else 0)
            pen.setFillColor(HexColor(colour))
            pen.textOut(line)
            c.drawText(pen)
            c.restoreState()
            if kai:
                self._kai(left, top + n * lead + (lead - size) / 2, line, size, colour)

    def _kai(self, x: float, y: float, words: str, size: float, colour: str) -> None:
        self.canvas.setFillColor(HexColor(colour))
        for n, char in enumerate(words):
            if char == " " or not hz.known(char):
                continue
            for outline in hz.hanzi(char).outlines:
                path = self.canvas.beginPath()
                for i, (px, py) in enumerate(outline):
                    spot = (x + (n + px) * size, y + py * size)
                    path.moveTo(*spot) if i == 0 else path.lineTo(*spot)
                path.close()
                self.canvas.drawPath(path, fill=1, stroke=0, fillMode=1)

    def picture(self, image: Image.Image, x: float, y: float, w: float, h: float) -> None:
        """A picture."""
        c = self.canvas
        c.saveState()
        c.transform(1, 0, 0, -1, x, y + h)
        c.drawImage(ImageReader(_bytes(image)), 0, 0, w, h, mask="auto")
        c.restoreState()

    def save(self, file: Path) -> None:
        """Closes the file, which was named at the start."""
        self.canvas.showPage()
        self.canvas.save()


def _frame(deck: Deck, lesson: Lesson, heading: str) -> None:
    deck.page(PAGE)
    deck.rect(0, 0, 22, H, lesson.colour)
    deck.text(80, 44, 820, 84, heading, 52, INK, kai=True)
    deck.text(820, 60, 390, 60, f"{lesson.subject}　{lesson.part}", 22, INK2, align="r")
    deck.line(80, 138, W - 70, 138, lesson.colour, 2.25)


def _tian(deck: Deck, x: float, y: float, side: float, colour: str) -> None:
    deck.line(x + side / 2, y, x + side / 2, y + side, colour, 0.75, dash=True)
    deck.line(x, y + side / 2, x + side, y + side / 2, colour, 0.75, dash=True)
    deck.rect(x, y, side, side, None, colour)


def _cover(deck: Deck, lesson: Lesson, slide: Spec) -> None:
    deck.page(PAPER)
    art = still(lesson, lesson.data["picture"]).crop((0, 0, 1280, 720))
    deck.picture(art, 500, 0, 780, 439)
    deck.rect(0, 0, 500, H, lesson.colour)
    deck.rect(0, 0, 26, H, _dark(lesson.colour))
    deck.rect(500, 439, 780, 281, PAPER)
    deck.text(70, 70, 400, 50, lesson.volume, 28, "#FFFFFF")
    title = lesson.title
    size = min(92, 400 / max(len(title), 3) * (1 if ord(title[0]) > 255 else 1.7))
    deck.text(70, 200, 420, 150, title, size, "#FFFFFF", kai=True)
    if lesson.data.get("part"):
        deck.text(70, 350, 420, 70, lesson.part, 42, "#FFFFFF", kai=True)
    deck.line(70, 470, 250, 470, YELLOW, 4)
    deck.text(70, 500, 410, 50, lesson.unit, 26, "#FFFFFF")
    deck.text(70, 548, 410, 50, lesson.places[2], 24, "#FFFFFF")
    goals = "\n".join("· " + g for g in lesson.data["plan"]["goals"][:2])
    deck.text(550, 470, 660, 40, "这节课我们要", 26, lesson.colour)
    deck.text(550, 516, 670, 160, goals, 25, INK)


def _dark(colour: str) -> str:
    return shade(colour, -0.2)


def _poem(deck: Deck, lesson: Lesson, slide: Spec) -> None:
    poem = lesson.list("poem")[slide["poem"]]
    deck.page(PAGE)
    deck.rect(0, 0, 22, H, lesson.colour)
    side = 96 if len(poem["lines"][0]) == 5 else 92
    wide = side * len(poem["lines"][0]) * 1.14
    left = (W - wide) / 2
    deck.text(left, 20, wide, 62, poem["name"], 54, lesson.colour, kai=True, align="c")
    deck.text(left, 84, wide, 34, poem["author"], 24, INK2, align="c")
    for row, (line, sounds) in enumerate(zip(poem["lines"], poem["sound"], strict=True)):
        y = 124 + row * 144
        for n, (char, sound) in enumerate(zip(line, sounds.split(), strict=True)):
            x = left + n * side * 1.14
            deck.text(x - 20, y, side * 1.14 + 40, 38, sound, 27, INK2, align="c", sound=True)
            deck.text(x, y + 36, side * 1.14, side, char, 74, INK, kai=True, align="c")


def _chars(deck: Deck, lesson: Lesson, slide: Spec) -> None:
    _frame(deck, lesson, slide["heading"])
    for n, item in enumerate(lesson.list("chars")[:4]):
        x, y, side = 80 + n * 288, 250, 250
        deck.text(x, y - 66, side, 56, item["sound"], 36, INK, align="c", sound=True)
        _tian(deck, x, y, side, lesson.colour)
        glyph = writing(item["char"], 440, 99, INK, INK, INK)
        deck.picture(glyph, x + 15, y + 15, side - 30, side - 30)
        deck.text(x, y + side + 14, side, 46, item["words"], 28, INK, align="c")
        deck.text(x, y + side + 66, side, 84, item["hint"], 22, INK2, align="c")


def _notes(deck: Deck, lesson: Lesson, slide: Spec) -> None:
    poem = lesson.list("poem")[slide["poem"]]
    _frame(deck, lesson, slide["heading"])
    high = 330 / len(poem["notes"])
    for n, (word, meaning) in enumerate(poem["notes"]):
        y = 152 + n * high
        deck.text(80, y, 200, high, word, 36, lesson.colour, kai=True)
        deck.text(280, y, 930, high, meaning, 27, INK)
        deck.line(80, y + high, W - 70, y + high, HAIR, 0.75)
    deck.rect(80, 506, W - 150, 170, PAPER)
    deck.rect(80, 506, 8, 170, lesson.colour)
    deck.text(112, 506, W - 206, 170, poem["meaning"], 26, INK)


def _picture(deck: Deck, lesson: Lesson, slide: Spec) -> None:
    _frame(deck, lesson, slide["heading"])
    deck.picture(still(lesson, slide["picture"]), 80, 160, 780, 438.75)
    deck.rect(80, 160, 780, 438.75, None, RULE)
    deck.rect(890, 160, 6, 90, YELLOW)
    deck.text(916, 160, 296, 439, slide["text"], 31, INK)


def _ask(deck: Deck, lesson: Lesson, slide: Spec) -> None:
    _frame(deck, lesson, slide["heading"])
    deck.rect(80, 178, W - 150, 140, PAPER)
    deck.rect(80, 178, 10, 140, YELLOW)
    deck.text(120, 178, W - 230, 140, slide["question"], 42, INK)
    high = 340 / len(slide["points"])
    for n, point in enumerate(slide["points"]):
        y = 340 + n * high
        deck.text(80, y, 70, high, str(n + 1), 40, lesson.colour)
        deck.text(150, y, W - 230, high, point, 34, INK)
        deck.line(80, y + high, W - 70, y + high, HAIR, 0.75)


def _list(deck: Deck, lesson: Lesson, slide: Spec) -> None:
    _frame(deck, lesson, slide["heading"])
    high = min(150, 510 / len(slide["points"]))
    for n, point in enumerate(slide["points"]):
        y = 160 + n * high
        deck.rect(80, y + high / 2 - 32, 64, 64, lesson.colour)
        deck.text(80, y + high / 2 - 32, 64, 64, str(n + 1), 34, "#FFFFFF", align="c")
        deck.text(176, y, W - 250, high, point, 36, INK)
        deck.line(80, y + high, W - 70, y + high, HAIR, 0.75)


def _table(deck: Deck, lesson: Lesson, slide: Spec) -> None:
    _frame(deck, lesson, slide["heading"])
    cols = len(slide["head"])
    wide, high = (W - 150) / cols, min(92, 510 / (len(slide["rows"]) + 1))
    for r, row in enumerate([slide["head"], *slide["rows"]]):
        y = 166 + r * high
        if r == 0:
            deck.rect(80, y, W - 150, high, lesson.colour)
        for n, cell in enumerate(row):
            colour = "#FFFFFF" if r == 0 else (lesson.colour if n == 0 else INK)
            deck.text(80 + n * wide + 10, y, wide - 20, high, cell, 30, colour, align="c")
        deck.line(80, y + high, W - 70, y + high, RULE, 1)


def _big(deck: Deck, lesson: Lesson, slide: Spec) -> None:
    _frame(deck, lesson, slide["heading"])
    deck.rect(80, 200, W - 150, 270, PAPER)
    size = min(110, 1040 / max(len(slide["text"]), 1))
    deck.text(100, 200, W - 190, 270, slide["text"], size, lesson.colour, align="c")
    deck.text(80, 500, W - 150, 100, slide["note"], 34, INK2, align="c")


def _fraction(deck: Deck, lesson: Lesson, slide: Spec) -> None:
    _frame(deck, lesson, slide["heading"])
    art = parts_page(lesson.colour, 3).crop((22, 90, 1280, 590))
    deck.picture(art, 50, 170, 1180, 1180 * 500 / 1258)


def _clocks(deck: Deck, lesson: Lesson, slide: Spec) -> None:
    _frame(deck, lesson, slide["heading"])
    for n, time in enumerate(slide["times"]):
        sheet = Sheet(700, 700, scale=2)
        clock_face(sheet, 350, 350, 330, lesson.colour)
        clock_hands(sheet, 350, 350, 330, clock_seconds(time), second_hand=False)
        x = 90 + n * 385
        deck.picture(sheet.done(), x, 176, 340, 340)
        deck.line(x + 70, 620, x + 270, 620, INK2, 1.5)
        deck.text(x + 70, 550, 200, 64, "（　）时", 34, INK2, align="c")


def _swatches(deck: Deck, lesson: Lesson, slide: Spec) -> None:
    _frame(deck, lesson, slide["heading"])
    for n, (word, tone) in enumerate(TONES.items()):
        x = 80 + n * 288
        deck.rect(x, 180, 256, 256, tone)
        for i in range(4):
            deck.line(x, 476 + i * 36, x + 256, 476 + i * 36, "#C9BFDC", 1)
        deck.text(x, 488, 256, 60, word, 56, INK, align="c", sound=True)


LAYOUTS = {
    "cover": _cover,
    "poem": _poem,
    "chars": _chars,
    "notes": _notes,
    "picture": _picture,
    "ask": _ask,
    "list": _list,
    "table": _table,
    "big": _big,
    "fraction": _fraction,
    "clocks": _clocks,
    "swatches": _swatches,
}


def make_slides(lesson: Lesson, file: Path) -> None:
    """The lesson's courseware, as the file's name says: PPTX or PDF."""
    deck: Deck = PptxDeck(lesson) if file.suffix == ".pptx" else PdfDeck(file, lesson)
    for slide in lesson.list("slide"):
        LAYOUTS[slide["layout"]](deck, lesson, slide)
    deck.save(file)
