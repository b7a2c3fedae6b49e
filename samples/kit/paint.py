"""A sheet to paint on: Pillow, drawn large and scaled down, so that every edge is smooth."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

from PIL import Image, ImageChops, ImageDraw, ImageFont

from . import hanzi as hz
from .look import hei, latin, mix, plain, rgb

Point = tuple[float, float]
WIDE, HIGH = 1280, 720


@functools.cache
def font(size: float, sound: bool = False) -> ImageFont.FreeTypeFont:
    """WenQuanYi Micro Hei at a size in pixels, or the font for pinyin."""
    file, index = latin() if sound else hei()
    return ImageFont.truetype(file, size, index=index)


def spline(points: Sequence[Point], closed: bool = False, steps: int = 10) -> list[Point]:
    """A soft curve through the points (Catmull-Rom)."""
    pts = list(points)
    ring = [pts[-1], *pts, pts[0], pts[1]] if closed else [pts[0], *pts, pts[-1]]
    out: list[Point] = []
    for a, b, c, d in zip(ring, ring[1:], ring[2:], ring[3:], strict=False):
        for step in range(steps):
            t = step / steps
            out.append(
                tuple(  # type: ignore[arg-type]
                    0.5
                    * (
                        2 * q
                        + (r - p) * t
                        + (2 * p - 5 * q + 4 * r - s) * t * t
                        + (3 * q - p - 3 * r + s) * t**3
                    )
                    for p, q, r, s in zip(a, b, c, d, strict=True)
                )
            )
    return out if closed else [*out, pts[-1]]


class Sheet:
    """A canvas in its own pixels; `scale` is how much larger it is really drawn."""

    def __init__(self, wide: int = WIDE, high: int = HIGH, fill: str | None = None, scale: int = 2) -> None:
        """A sheet filled with a colour, or clear when there is none."""
        self.wide, self.high, self.scale = wide, high, scale
        size = (wide * scale, high * scale)
        self.image = Image.new("RGB", size, fill) if fill else Image.new("RGBA", size, (0, 0, 0, 0))
        self.pen = ImageDraw.Draw(self.image, "RGBA" if fill else None)

    def _at(self, points: Sequence[Point]) -> list[Point]:
        return [(x * self.scale, y * self.scale) for x, y in points]

    @staticmethod
    def _ink(colour: str | None, alpha: float = 1) -> tuple[int, ...] | None:
        return (*rgb(colour), round(255 * alpha)) if colour else None

    def poly(self, points: Sequence[Point], fill: str, alpha: float = 1) -> None:
        """A filled polygon."""
        self.pen.polygon(self._at(points), fill=self._ink(fill, alpha))

    def blob(self, points: Sequence[Point], fill: str, alpha: float = 1) -> None:
        """A filled shape with a soft outline through the points."""
        self.poly(spline(points, closed=True), fill, alpha)

    def hill(self, points: Sequence[Point], fill: str, floor: float, alpha: float = 1) -> None:
        """Land under a soft line, down to the floor."""
        line = spline(points)
        self.poly([*line, (line[-1][0], floor), (line[0][0], floor)], fill, alpha)

    def rect(
        self,
        x: float,
        y: float,
        w: float,
        h: float,
        fill: str | None = None,
        edge: str | None = None,
        width: float = 2,
        round_: float = 0,
        alpha: float = 1,
    ) -> None:
        """A rectangle, its corners round when asked."""
        k = self.scale
        self.pen.rounded_rectangle(
            (x * k, y * k, (x + w) * k - 1, (y + h) * k - 1),
            round_ * k,
            fill=self._ink(fill, alpha),
            outline=self._ink(edge),
            width=round(width * k) if edge else 0,
        )

    def disc(
        self,
        x: float,
        y: float,
        r: float,
        fill: str | None = None,
        edge: str | None = None,
        width: float = 2,
        ry: float | None = None,
        alpha: float = 1,
    ) -> None:
        """A circle, or an ellipse when `ry` is given."""
        k, ry = self.scale, r if ry is None else ry
        self.pen.ellipse(
            ((x - r) * k, (y - ry) * k, (x + r) * k, (y + ry) * k),
            fill=self._ink(fill, alpha),
            outline=self._ink(edge),
            width=round(width * k) if edge else 0,
        )

    def pie(self, x: float, y: float, r: float, start: float, end: float, fill: str) -> None:
        """A slice; degrees clockwise from twelve o'clock."""
        k = self.scale
        self.pen.pieslice(
            ((x - r) * k, (y - r) * k, (x + r) * k, (y + r) * k), start - 90, end - 90, fill=self._ink(fill)
        )

    def arc(
        self, x: float, y: float, r: float, start: float, end: float, colour: str, width: float = 3
    ) -> None:
        """Part of a circle; degrees clockwise from twelve o'clock."""
        k = self.scale
        self.pen.arc(
            ((x - r) * k, (y - r) * k, (x + r) * k, (y + r) * k),
            start - 90,
            end - 90,
            fill=self._ink(colour),
            width=round(width * k),
        )

    def line(self, points: Sequence[Point], colour: str, width: float = 3, alpha: float = 1) -> None:
        """A stroke with round ends."""
        pts, w = self._at(points), width * self.scale
        ink = self._ink(colour, alpha)
        self.pen.line(pts, fill=ink, width=max(1, round(w)), joint="curve")
        if w >= 4 and alpha == 1:
            for x, y in (pts[0], pts[-1]):
                self.pen.ellipse((x - w / 2, y - w / 2, x + w / 2, y + w / 2), fill=ink)

    def dashes(
        self, a: Point, b: Point, colour: str, width: float = 1.5, dash: float = 8, alpha: float = 1
    ) -> None:
        """A dashed line."""
        long = math.dist(a, b)
        at = 0.0
        while at < long:
            p, q = at / long, min(at + dash, long) / long
            ends = [(a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t) for t in (p, q)]
            self.pen.line(
                self._at(ends), fill=self._ink(colour, alpha), width=max(1, round(width * self.scale))
            )
            at += dash * 2

    def text(
        self, x: float, y: float, words: str, size: float, colour: str, anchor: str = "lm", alpha: float = 1
    ) -> None:
        """Words in Hei; the anchor is Pillow's (lm: left, middle)."""
        words = plain(words)
        self.pen.text(
            (x * self.scale, y * self.scale),
            words,
            font=font(size * self.scale, any(c in "āáǎàēéěèīíǐìōóǒòūúǔùǘǚǜ" for c in words)),
            fill=self._ink(colour, alpha),
            anchor=anchor,
        )

    def width(self, words: str, size: float) -> float:
        """How wide words in Hei are."""
        return font(size * self.scale).getlength(plain(words)) / self.scale

    def para(
        self, x: float, y: float, w: float, words: str, size: float, colour: str, lead: float = 1.55
    ) -> float:
        """Words in Hei broken into lines of at most `w`; gives the y below the last."""
        for line in wrap(words, lambda s: self.width(s, size), w):
            self.text(x, y + size * lead / 2, line, size, colour)
            y += size * lead
        return y

    def char(self, x: float, y: float, side: float, char: str, colour: str, alpha: float = 1) -> None:
        """One character in Kai, in the square whose top left corner is given."""
        for outline in hz.hanzi(char).outlines:
            self.poly([(x + px * side, y + py * side) for px, py in outline], colour, alpha)

    def kai(
        self,
        x: float,
        y: float,
        words: str,
        side: float,
        colour: str,
        step: float | None = None,
        down: bool = False,
        alpha: float = 1,
    ) -> None:
        """Words in Kai from the top left corner, across or down; in Hei where a character has no strokes."""
        step = step or side * (1.06 if down else 1.0)
        for n, c in enumerate(words):
            cx, cy = (x, y + n * step) if down else (x + n * step, y)
            if c != " " and hz.known(c):
                self.char(cx, cy, side, c, colour, alpha)
            elif c != " ":
                self.text(cx + side / 2, cy + side / 2, c, side * 0.9, colour, "mm", alpha)

    def tian(
        self, x: float, y: float, side: float, colour: str, fill: str | None = None, alpha: float = 1
    ) -> None:
        """One 田字格."""
        if fill:
            self.rect(x, y, side, side, fill)
        m = side / 2
        for a, b in (((x, y + m), (x + side, y + m)), ((x + m, y), (x + m, y + side))):
            self.dashes(a, b, colour, 1.5, side / 22, alpha * 0.7)
        self.line([(x, y), (x + side, y), (x + side, y + side), (x, y + side), (x, y)], colour, 2, alpha)

    def paste(self, picture: Image.Image, x: float, y: float) -> None:
        """Another picture, given in this sheet's own pixels, at a place."""
        if self.scale != 1:
            picture = picture.resize((picture.width * self.scale, picture.height * self.scale))
        at = (round(x * self.scale), round(y * self.scale))
        self.image.paste(picture, at, picture if picture.mode == "RGBA" else None)

    def done(self) -> Image.Image:
        """The picture at its own size."""
        if self.image.mode == "RGBA" and self.scale > 1:
            clear = self.image.convert("RGBa")  # premultiplied: no dark rims
            return clear.reduce(self.scale).convert("RGBA")
        return self.image.reduce(self.scale) if self.scale > 1 else self.image


def wrap(words: str, measure, room: float) -> list[str]:
    """Chinese line breaking: anywhere but before closing or after opening punctuation, nor inside a word."""
    closing, opening = "，。、；：？！）》”’…%℃", "（《“‘"
    lines: list[str] = []
    for piece in words.split("\n"):
        line, units = "", []
        for c in piece:
            joins = units and (
                c in closing
                or units[-1][-1] in opening
                or (c.isascii() and c.isalnum() and units[-1][-1].isascii() and units[-1][-1].isalnum())
            )
            if joins:
                units[-1] += c
            else:
                units.append(c)
        for unit in units:
            if line and measure(line + unit) > room:
                lines.append(line)
                line = "" if unit == " " else unit
            else:
                line += unit
        lines.append(line)
    return lines


def over(base: Image.Image, sprite: Image.Image, x: float, y: float, alpha: float = 1) -> None:
    """Puts a clear sprite on a picture, at a place between pixels too."""
    left, top = math.floor(x), math.floor(y)
    fx, fy = x - left, y - top
    if fx or fy:
        size = (sprite.width + 1, sprite.height + 1)
        sprite = sprite.convert("RGBa").transform(
            size, Image.Transform.AFFINE, (1, 0, -fx, 0, 1, -fy), Image.Resampling.BILINEAR
        )
        sprite = sprite.convert("RGBA")
    mask = sprite.getchannel("A")
    if alpha < 1:
        mask = mask.point(lambda v: round(v * max(alpha, 0)))
    base.paste(sprite.convert("RGB"), (left, top), mask)


def writing(char: str, side: int, drawn: float, ink: str, ghost: str, now: str) -> Image.Image:
    """A character as far as `drawn` strokes have gone: 2.5 is two strokes and half of the third."""
    scale = 2
    sheet = Sheet(side, side, scale=scale)
    data = hz.hanzi(char)
    for n, outline in enumerate(data.outlines):
        sheet.poly([(x * side, y * side) for x, y in outline], ink if n < int(drawn) else ghost)
    n, part = int(drawn), drawn - int(drawn)
    if part and n < len(data.outlines):
        big = side * scale
        shape, brush = Image.new("L", (big, big)), Image.new("L", (big, big))
        ImageDraw.Draw(shape).polygon([(x * big, y * big) for x, y in data.outlines[n]], fill=255)
        middle = [(x * big, y * big) for x, y in data.medians[n]]
        total = sum(math.dist(a, b) for a, b in zip(middle, middle[1:], strict=False))
        left, path = total * part, [middle[0]]
        for a, b in zip(middle, middle[1:], strict=False):
            long = math.dist(a, b)
            if long >= left:
                path.append((a[0] + (b[0] - a[0]) * left / long, a[1] + (b[1] - a[1]) * left / long))
                break
            path.append(b)
            left -= long
        pen, w = ImageDraw.Draw(brush), big * 0.17
        pen.line(path, fill=255, width=round(w), joint="curve")
        for x, y in path:
            pen.ellipse((x - w / 2, y - w / 2, x + w / 2, y + w / 2), fill=255)
        sheet.image.paste(now, (0, 0), ImageChops.multiply(shape, brush))
    return sheet.done()


def ease(t: float) -> float:
    """Slow start, slow end."""
    t = min(max(t, 0.0), 1.0)
    return t * t * (3 - 2 * t)


def shade(colour: str, by: float) -> str:
    """Darker (by < 0) or lighter (by > 0)."""
    return mix(colour, "#000000" if by < 0 else "#FFFFFF", abs(by))
