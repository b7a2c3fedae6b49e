"""What a film can show: a view paints one scene for any moment of it."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass

from PIL import Image

from . import hanzi as hz
from .lesson import Lesson, Spec, words_of
from .look import HAIR, INK, INK2, PAGE, PAPER, RULE, YELLOW
from .paint import HIGH, WIDE, Sheet, ease, over, shade, writing


@dataclass(frozen=True)
class Moment:
    """Where in a scene a frame stands."""

    second: float
    length: float
    line: int  # the line being spoken or spoken last; -1 before the first
    done: float  # how much of that line has been spoken, 0 to 1
    count: int = 0  # how many lines the scene has


class View:
    """A scene: painted once, then touched up for each moment."""

    moving = False

    def __init__(self, lesson: Lesson, spec: Spec) -> None:
        """Prepares all that doesn't move."""
        self.lesson, self.spec, self.colour = lesson, spec, lesson.colour
        self.lines = spec.get("say", [])
        self.prepare()

    def prepare(self) -> None:
        """Paints the ground."""
        self.base = Sheet(fill=PAPER).done()

    def key(self, m: Moment) -> Hashable:
        """Moments with equal keys look the same."""
        return round(m.second, 3) if self.moving else m.line

    def paint(self, m: Moment) -> Image.Image:
        """The picture at a moment."""
        return self.base.copy()

    def now(self, m: Moment) -> Spec:
        """What the current line says beside its words."""
        line = self.lines[max(m.line, 0)] if self.lines else {}
        return line if isinstance(line, dict) else {}

    def value(self, m: Moment, name: str, first: float) -> float:
        """A number that glides from the line before to this one."""
        seen = [float(x[name]) if isinstance(x, dict) and name in x else first for x in self.lines]
        if m.line < 0 or not seen:
            return first
        before = seen[m.line - 1] if m.line else first
        return before + (seen[m.line] - before) * ease(m.done * 1.15)


def heading(sheet: Sheet, lesson: Lesson, words: str) -> None:
    """The head of a paper page: a coloured spine and what the page is about."""
    sheet.rect(0, 0, 22, HIGH, lesson.colour)
    sheet.rect(22, 0, 3, HIGH, shade(lesson.colour, -0.25))
    if hz.known(words):
        sheet.kai(96, 62, words, 58, INK, step=62)
    else:
        sheet.text(96, 90, words, 46, INK)
    sheet.rect(96, 138, WIDE - 192, 2, lesson.colour)
    sheet.text(WIDE - 96, 96, f"{lesson.subject}　{lesson.part}", 24, INK2, "rm")


def ruled(sheet: Sheet, subject: str, x: float, y: float, w: float, h: float) -> None:
    """The ruling of a subject's exercise book, white on its colour."""
    white = "#FFFFFF"
    if subject == "语文":
        n = 0
        while n * h < w - 1:
            sheet.tian(x + n * h, y, h, white, alpha=0.32)
            n += 1
    elif subject == "数学":
        for n in range(int(w / (h / 4)) + 1):
            sheet.line([(x + n * h / 4, y), (x + n * h / 4, y + h)], white, 1.5, 0.34 if n % 4 == 0 else 0.15)
        for n in range(5):
            sheet.line([(x, y + n * h / 4), (x + w, y + n * h / 4)], white, 1.5, 0.34 if n % 4 == 0 else 0.15)
    elif subject == "英语":
        for n in range(4):
            sheet.line([(x, y + n * h / 3), (x + w, y + n * h / 3)], white, 2, 0.3 if n in (0, 3) else 0.2)
    else:
        for i in range(int(w / 36)):
            for j in range(int(h / 36) + 1):
                sheet.disc(x + 18 + i * 36, y + 18 + j * 36, 2.6, white, alpha=0.3)


def cover(lesson: Lesson, part: str) -> Image.Image:
    """The cover of a lesson: its title on its subject's ruling."""
    sheet = Sheet(fill=lesson.colour)
    sheet.rect(0, 0, 40, HIGH, shade(lesson.colour, -0.2))
    sheet.rect(40, 0, 2, HIGH, shade(lesson.colour, 0.16))
    sheet.text(130, 110, lesson.volume, 34, "#FFFFFF")
    sheet.text(WIDE - 90, 110, lesson.places[2], 28, "#FFFFFF", "rm")
    side = 170
    ruled(sheet, lesson.subject, 130, 230, side * 6.3 if lesson.subject == "数学" else side * 6, side)
    if hz.known(part):
        step = side if lesson.subject == "语文" else side * 0.92
        for n, c in enumerate(part):
            sheet.char(130 + n * step + 13, 230 + 12, side - 26, c, "#FFFFFF")
    else:
        sheet.text(150, 230 + side / 2, part, 120, "#FFFFFF")
    sheet.text(130, 470, lesson.unit, 32, "#FFFFFF")
    label = f"第{lesson.data['number']}课" if lesson.subject in ("语文", "科学") else ""
    if lesson.title != part:
        label += f"　{lesson.title}"
    sheet.text(130, 524, label.strip("　"), 32, "#FFFFFF")
    return sheet.done()


class Cover(View):
    """The lesson's cover."""

    def prepare(self) -> None:
        """The title."""
        poems = self.lesson.list("poem")
        part = self.spec.get("part") or (poems[0]["name"] if poems else self.lesson.part)
        self.base = cover(self.lesson, part)


class Notes(View):
    """Words and what they mean, one after the other."""

    def prepare(self) -> None:
        """One picture for each number of rows shown."""
        self.pages = []
        rows = self.spec["rows"]
        high = min(120, 440 / len(rows))
        for shown in range(len(rows) + 1):
            sheet = Sheet(fill=PAGE)
            heading(sheet, self.lesson, self.spec["heading"])
            for n, (word, meaning) in enumerate(rows[:shown]):
                y = 180 + n * high
                last = n == shown - 1
                if hz.known(word):
                    sheet.kai(110, y + high / 2 - 32, word, 62, self.colour, step=64)
                else:
                    sheet.text(110, y + high / 2, word, 52, self.colour)
                sheet.text(420, y + high / 2, meaning, 44, INK if last else INK2)
                sheet.rect(96, y + high - 2, WIDE - 192, 1.5, HAIR)
            self.pages.append(sheet.done())

    def paint(self, m: Moment) -> Image.Image:
        """As many rows as lines have been spoken."""
        return self.pages[min(m.line + 1, len(self.pages) - 1)]


class Chars(View):
    """Characters written stroke by stroke in 田字格."""

    moving = True
    SIDE = 330

    def prepare(self) -> None:
        """The page, the squares, pinyin and words."""
        self.items = [self.lesson.list("chars")[n] for n in self.spec["chars"]]
        sheet = Sheet(fill=PAGE)
        heading(sheet, self.lesson, "我会写")
        gap = (WIDE - 192 - 3 * self.SIDE) / 2
        self.spots = []
        for n, item in enumerate(self.items):
            x, y = 96 + n * (self.SIDE + gap), 222
            self.spots.append((x, y))
            sheet.text(x + self.SIDE / 2, y - 38, item["sound"], 42, INK, "mm")
            sheet.tian(x, y, self.SIDE, self.colour)
            sheet.text(x + self.SIDE / 2, y + self.SIDE + 42, item["words"], 32, INK2, "mm")
        self.base = sheet.done()
        self.whole = [writing(i["char"], self.SIDE - 30, 99, INK, HAIR, self.colour) for i in self.items]
        self.ghost = [writing(i["char"], self.SIDE - 30, 0, HAIR, HAIR, HAIR) for i in self.items]

    def _drawn(self, m: Moment) -> float:
        strokes = len(hz.hanzi(self.items[m.line]["char"]).outlines)
        return min(round(m.done * 1.12 * strokes, 2), strokes)

    def key(self, m: Moment) -> Hashable:
        """The line, and how far its character is written."""
        return (m.line, self._drawn(m) if m.line >= 0 else 0)

    def paint(self, m: Moment) -> Image.Image:
        """Written, being written, still grey."""
        page = self.base.copy()
        for n, (x, y) in enumerate(self.spots):
            if n < m.line:
                glyph = self.whole[n]
            elif n > m.line:
                glyph = self.ghost[n]
            else:
                glyph = writing(self.items[n]["char"], self.SIDE - 30, self._drawn(m), INK, HAIR, self.colour)
            over(page, glyph, x + 15, y + 15)
        return page


class Graph(View):
    """A line of measurements that grows while it is told."""

    moving = True

    def prepare(self) -> None:
        """Axes and ruling."""
        s, sheet = self.spec, Sheet(fill=PAGE)
        heading(sheet, self.lesson, s["heading"])
        self.box = (210, 200, 900, 380)
        x, y, w, h = self.box
        self.xs = [p[0] for p in s["points"]]
        v = s["ymin"]
        while v <= s["ymax"]:
            py = self.at(0, v)[1]
            sheet.line([(x, py), (x + w, py)], RULE if v else INK2, 1.5)
            sheet.text(x - 18, py, str(v), 26, INK2, "rm")
            v += s["ystep"]
        for n in self.xs:
            px = self.at(n, 0)[0]
            sheet.line([(px, y), (px, y + h)], HAIR, 1.5)
            sheet.text(px, y + h + 28, str(n), 26, INK2, "mm")
        sheet.text(x + w, y + h + 66, s["xlabel"], 26, INK, "rm")
        sheet.text(x - 70, y - 32, s["ylabel"], 26, INK, "lm")
        self.base = sheet.done()

    def at(self, a: float, b: float) -> tuple[float, float]:
        """Where a measurement stands on the page."""
        x, y, w, h = self.box
        s = self.spec
        return (
            x + 20 + (w - 60) * a / max(self.xs),
            y + h - h * (b - s["ymin"]) / (s["ymax"] - s["ymin"]),
        )

    def paint(self, m: Moment) -> Image.Image:
        """The line up to here."""
        pts = [self.at(*p) for p in self.spec["points"]]
        far = (max(m.line, 0) + (m.done if m.line >= 0 else 0)) / max(m.count, 1) * (len(pts) - 1)
        sheet = Sheet(WIDE, HIGH, scale=2)
        whole = int(far)
        path = pts[: whole + 1]
        if whole < len(pts) - 1:
            t = far - whole
            a, b = pts[whole], pts[whole + 1]
            path = [*path, (a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t)]
        if len(path) > 1:
            sheet.line(path, self.colour, 5)
        for x, y in pts[: whole + 1]:
            sheet.disc(x, y, 9, self.colour)
            sheet.disc(x, y, 4, PAGE)
        page = self.base.copy()
        over(page, sheet.done(), 0, 0)
        return page

    def key(self, m: Moment) -> Hashable:
        """How far the line has come, in small steps."""
        return (m.line, round(m.done, 1))


def banner(sheet: Sheet, words: str, y: float = 520, middle: float = WIDE / 2, fill: str = PAGE) -> None:
    """A question on a paper strip across a picture."""
    wide = sheet.width(words, 44) + 110
    x = middle - wide / 2
    sheet.rect(x, y, wide, 96, fill, round_=6, alpha=0.96)
    sheet.rect(x, y, 10, 96, YELLOW)
    sheet.text(middle + 5, y + 48, words, 44, INK, "mm")


class Picture(View):
    """A landscape with something that moves in it, and a poem that appears line by line."""

    moving = True
    text_at = (880, 70)
    text_colour, name_colour = INK, "#B0382B"
    size = 44
    card_at = (WIDE / 2, 520)

    def prepare(self) -> None:
        """The ground, the moving things, the poem's lines."""
        sheet = Sheet(fill="#EFE6CE")
        self.ground(sheet)
        self.poem = None
        if "poem" in self.spec:
            self.poem = self.lesson.list("poem")[self.spec["poem"]]
            x, y = self.text_at
            sheet.kai(x, y, self.poem["name"], self.size, self.name_colour, down=True)
        self.base = sheet.done()
        self.rows = []
        if self.poem:
            for row in self.poem["lines"]:
                strip = Sheet(self.size + 8, round(self.size * 1.06 * len(row)) + 12)
                strip.kai(4, 4, row, self.size, self.text_colour, down=True)
                self.rows.append(strip.done())
        self.card = None
        if "ask" in self.spec:
            card = Sheet()
            banner(card, self.spec["ask"], self.card_at[1], self.card_at[0])
            whole = card.done()
            self.card_box = whole.getbbox() or (0, 0, 1, 1)
            self.card = whole.crop(self.card_box)
        self.sprites()

    def ground(self, sheet: Sheet) -> None:
        """What stands still."""

    def sprites(self) -> None:
        """What will move."""

    def move(self, page: Image.Image, second: float) -> None:
        """Puts the moving things where they are at a second."""

    def paint(self, m: Moment) -> Image.Image:
        """The landscape, its boat or cloud, and the lines read so far."""
        page = self.base.copy()
        self.move(page, m.second)
        x, y = self.text_at
        for n, row in enumerate(self.rows):
            if n <= m.line:
                alpha = ease(m.done * 2.5) if n == m.line else 1
                over(page, row, x - 4 - (n + 1) * self.size * 1.35, y - 4 + self.size * 0.9, alpha)
        if self.card and m.line >= 1:
            over(page, self.card, self.card_box[0], self.card_box[1], ease(m.done * 3) if m.line == 1 else 1)
        return page


def spoken(lesson: Lesson, film: Spec) -> list[str]:
    """All the words of a film."""
    return [words_of(line) for scene in film["scene"] for line in scene["say"]]


def wave(sheet: Sheet, x: float, y: float, w: float, colour: str, width: float = 3) -> None:
    """A quiet line on water."""
    sheet.line([(x, y), (x + w, y)], colour, width)


def star(sheet: Sheet, x: float, y: float, r: float, colour: str) -> None:
    """A small star of four points."""
    pts = []
    for n in range(8):
        a, d = n * math.pi / 4, r if n % 2 == 0 else r * 0.3
        pts.append((x + d * math.sin(a), y - d * math.cos(a)))
    sheet.poly(pts, colour)
