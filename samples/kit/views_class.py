"""Clocks, fractions, beakers and colours: the views of mathematics, science and English."""

from __future__ import annotations

import math
from collections.abc import Hashable

from PIL import Image

from .look import HAIR, INK, INK2, PAGE, PAPER, YELLOW, mix
from .paint import HIGH, WIDE, Sheet, ease, over, spline
from .views import Moment, View, banner

ORANGE, STEEL = "#C8432E", "#8FA3A8"


def clock_face(sheet: Sheet, x: float, y: float, r: float, colour: str) -> None:
    """A clock without hands."""
    sheet.disc(x, y, r, PAGE, colour, r * 0.06)
    for n in range(60):
        a = math.radians(n * 6)
        long = 0.07 if n % 5 == 0 else 0.035
        pts = [(x + r * d * math.sin(a), y - r * d * math.cos(a)) for d in (0.9, 0.9 - long)]
        sheet.line(pts, INK if n % 5 == 0 else INK2, r * (0.016 if n % 5 == 0 else 0.008))
    for n in range(1, 13):
        a = math.radians(n * 30)
        sheet.text(x + r * 0.72 * math.sin(a), y - r * 0.72 * math.cos(a), str(n), r * 0.15, INK, "mm")


def clock_hands(
    sheet: Sheet, x: float, y: float, r: float, seconds: float, second_hand: bool, glow: str = ""
) -> None:
    """The hands at a time given in seconds since twelve."""
    hands = [
        ("h", seconds / 43200, 0.44, 0.05, INK),
        ("m", seconds / 3600, 0.64, 0.032, INK),
    ]
    if second_hand:
        hands.append(("s", seconds / 60, 0.78, 0.012, ORANGE))
    for name, turn, long, thick, colour in hands:
        a = turn * 2 * math.pi
        tip = (x + r * long * math.sin(a), y - r * long * math.cos(a))
        tail = (x - r * 0.1 * math.sin(a), y + r * 0.1 * math.cos(a))
        if glow == name:
            sheet.line([tail, tip], YELLOW, r * (thick + 0.06))
        sheet.line([tail, tip], ORANGE if glow == name else colour, r * thick)
    sheet.disc(x, y, r * 0.045, ORANGE if second_hand else INK)


def clock_seconds(text: str) -> float:
    """'10:00:05' or '3:00' as seconds."""
    h, m, *s = (int(p) for p in text.split(":"))
    return h * 3600 + m * 60 + (s[0] if s else 0)


class Clock(View):
    """A clock whose hands move to what is said."""

    moving = True
    R = 262

    def prepare(self) -> None:
        """The face."""
        sheet = Sheet(fill=PAPER)
        sheet.rect(0, 0, 22, HIGH, self.colour)
        for n in range(1, 30):
            sheet.line([(22 + n * 44, 0), (22 + n * 44, HIGH)], HAIR, 1)
        for n in range(1, 17):
            sheet.line([(22, n * 44), (WIDE, n * 44)], HAIR, 1)
        clock_face(sheet, 390, 340, self.R, self.colour)
        self.base = sheet.done()
        self.seconds = self.spec["start"].count(":") == 2
        self.captions: dict[str, Image.Image] = {}

    def _time(self, m: Moment) -> float:
        here = self.now(m)
        times = [clock_seconds(x["at"]) for x in self.lines]
        before = times[m.line - 1] if m.line > 0 else clock_seconds(self.spec["start"])
        if m.line < 0:
            return before
        if "from" in here:
            before = clock_seconds(here["from"])
        after = clock_seconds(here["at"])
        if not self.seconds:  # whole hours: the long way round, as a hand would be turned
            if after < before:
                after += 43200
            return before + (after - before) * ease(m.done * 1.3)
        # a second hand ticks; a full turn sweeps
        moved = (after - before) * min(m.done * 1.15, 1)
        return before + (moved if after - before > 20 else math.floor(moved + 1e-6))

    def key(self, m: Moment) -> Hashable:
        """The time shown, and whether the caption is still coming."""
        return (m.line, round(self._time(m), 1), min(round(m.done * 3, 1), 1))

    def _caption(self, words: str) -> Image.Image:
        if words not in self.captions:
            sheet = Sheet(560, 250)
            rows = words.split("  ")
            for n, row in enumerate(rows):
                size = 76 if sheet.width(row, 76) < 540 else 54
                sheet.text(
                    0, 125 + (n - (len(rows) - 1) / 2) * 104, row, size, self.colour if n == 0 else INK
                )
            self.captions[words] = sheet.done()
        return self.captions[words]

    def paint(self, m: Moment) -> Image.Image:
        """The hands, and what they say in figures."""
        page = self.base.copy()
        side = self.R * 2
        hands = Sheet(side, side)
        glow = self.now(m).get("glow", "")
        clock_hands(hands, self.R, self.R, self.R, self._time(m), self.seconds, glow)
        over(page, hands.done(), 390 - self.R, 340 - self.R)
        words = self.now(m).get("cap", "")
        if m.line >= 0 and words:
            over(page, self._caption(words), 740, 215, ease(m.done * 3))
        elif "ask" in self.spec:
            ask = Sheet(560, 220)
            ask.para(0, 40, 520, self.spec["ask"], 56, INK)
            ask.rect(0, 20, 90, 8, YELLOW)
            over(page, ask.done(), 740, 220)
        return page


def cake(sheet: Sheet, x: float, y: float, r: float, parts: int, filled: int, apart: float = 0) -> None:
    """A moon cake cut into equal parts."""
    step = 360 / parts
    for n in range(parts):
        a = math.radians((n + 0.5) * step)
        cx, cy = (x + apart * math.sin(a), y - apart * math.cos(a)) if parts > 1 else (x, y)
        hot = n < filled
        sheet.pie(cx, cy, r, n * step, (n + 1) * step, "#A8702E" if hot else "#C9A468")
        sheet.pie(cx, cy, r * 0.9, n * step, (n + 1) * step, "#E5A23C" if hot else "#E9D3A2")
        for d in (0.36, 0.66):
            sheet.arc(cx, cy, r * d, n * step + 5, (n + 1) * step - 5, "#A8702E" if hot else "#CBAE78", 5)


def number(sheet: Sheet, x: float, y: float, over_: str, under: str, size: float, colour: str) -> None:
    """A fraction, its middle at a place."""
    sheet.text(x, y - size * 0.68, over_, size, colour, "mm")
    sheet.rect(x - size * 0.55, y - size * 0.035, size * 1.1, size * 0.07, colour)
    sheet.text(x, y + size * 0.68, under, size, colour, "mm")


class Fraction(View):
    """A moon cake that is cut."""

    moving = True

    def key(self, m: Moment) -> Hashable:
        """The line, until the cut is made."""
        return (m.line, min(round(m.done * 2, 1), 1))

    def paint(self, m: Moment) -> Image.Image:
        """The cake in parts; the part that is meant; its number."""
        here = self.now(m)
        n, k = here.get("n", 1), here.get("k", 0)
        sheet = Sheet(fill=PAPER, scale=1)
        sheet.rect(0, 0, 22, HIGH, self.colour)
        t = ease(m.done * 2) if m.line >= 0 else 0
        art = Sheet(640, 640)
        art.disc(320, 330, 286, "#E4DECD")
        art.disc(320, 322, 284, PAGE, "#DCD4BF", 3)
        cake(art, 320, 322, 222, n, k if t > 0.4 else 0, 14 * t if n > 1 else 0)
        page = sheet.done()
        over(page, art.done(), 100, 22)
        if k and t > 0.4:
            num = Sheet(360, 420)
            number(num, 150, 200, str(k), str(n), 130, self.colour)
            over(page, num.done(), 850, 130, ease((t - 0.4) * 2))
        elif n > 1 and not k:
            num = Sheet(420, 200)
            num.text(10, 100, "平均分", 96, self.colour)
            over(page, num.done(), 830, 240, t)
        return page


class Parts(View):
    """The names of a fraction's parts."""

    def prepare(self) -> None:
        """One picture for each part named."""
        self.pages = [parts_page(self.colour, n) for n in range(4)]

    def paint(self, m: Moment) -> Image.Image:
        """As far as has been said."""
        return self.pages[m.line + 1]


def parts_page(colour: str, shown: int) -> Image.Image:
    """A quarter, and the names of `shown` of its parts."""
    sheet = Sheet(fill=PAGE)
    sheet.rect(0, 0, 22, HIGH, colour)
    cake(sheet, 300, 340, 190, 4, 1, 10)
    hot = ("#B0382B", "#23588F", "#2F7350")
    x, size = 640, 150
    tones = [hot[n] if shown > n else INK for n in range(3)]
    sheet.rect(x - 85, 338, 170, 10, tones[0])
    sheet.text(x, 452, "4", size, tones[1], "mm")
    sheet.text(x, 232, "1", size, tones[2], "mm")
    names = (("分数线", "表示平均分", 343), ("分母", "平均分成4份", 452), ("分子", "其中的1份", 232))
    for n, (name, meaning, y) in enumerate(names[:shown]):
        sheet.line([(x + 104, y), (x + 170, y)], hot[n], 3)
        sheet.text(x + 186, y, name, 50, hot[n])
        sheet.text(x + 356, y, meaning, 34, INK2)
    return sheet.done()


class Bars(View):
    """Strips of the same length in two, four and eight parts."""

    def prepare(self) -> None:
        """One picture for each line."""
        self.pages = [bars_page(self.colour, self.spec.get("ask", ""), n) for n in range(4)]

    def paint(self, m: Moment) -> Image.Image:
        """The strips, then the answer."""
        return self.pages[m.line + 1]


def bars_page(colour: str, ask: str, shown: int) -> Image.Image:
    """Strips, the question, and the order of their parts."""
    sheet = Sheet(fill=PAPER)
    sheet.rect(0, 0, 22, HIGH, colour)
    for row, n in enumerate((1, 2, 4, 8)):
        y, w = 90 + row * 104, 780
        for i in range(n):
            fill = ("#E5A23C" if i == 0 and n > 1 else PAGE) if n > 1 else "#E9D3A2"
            sheet.rect(130 + i * w / n, y, w / n, 76, fill, colour, 2.5)
        if n > 1:
            number(sheet, 990, y + 38, "1", str(n), 36, colour)
        else:
            sheet.text(990, y + 38, "1", 40, colour, "mm")
    if shown >= 3:
        for i, n in enumerate((2, 4, 8)):
            number(sheet, 460 + i * 180, 590, "1", str(n), 50, colour)
            if i < 2:
                sheet.text(550 + i * 180, 590, "＞", 56, INK, "mm")
    elif ask and shown:
        banner(sheet, ask, 530)
    return sheet.done()


def thermometer(
    sheet: Sheet, x: float, top: float, long: float, low: float, high: float, value: float
) -> None:
    """A thermometer with its figures."""
    sheet.rect(x - 17, top - 26, 34, long + 40, PAGE, STEEL, 2.5, 17)
    sheet.disc(x, top + long + 24, 25, ORANGE, STEEL, 2.5)
    y = top + long * (1 - (value - low) / (high - low))
    sheet.rect(x - 6, y, 12, top + long + 20 - y, ORANGE)
    steps = 12 if high - low > 60 else 6
    for n in range(steps + 1):
        v = low + (high - low) * n / steps
        ty = top + long * (1 - n / steps)
        sheet.line([(x + 20, ty), (x + (40 if n % 2 == 0 else 32), ty)], INK2, 2)
        if n % 2 == 0:
            sheet.text(x + 50, ty, f"{v:.0f}", 24, INK2)


class Heat(View):
    """A beaker over a flame: bubbles, steam and the thermometer."""

    moving = True

    def prepare(self) -> None:
        """Stand, lamp and table."""
        sheet = Sheet(fill=PAPER)
        sheet.rect(0, 0, 22, HIGH, self.colour)
        sheet.rect(22, 640, WIDE, 80, "#E4DECD")
        sheet.rect(250, 70, 14, 572, STEEL)
        sheet.rect(196, 628, 330, 18, "#7D9096", round_=5)
        sheet.rect(250, 430, 330, 12, "#7D9096", round_=5)
        sheet.rect(330, 420, 250, 12, "#D9D2C0")
        sheet.poly(
            spline([(410, 640), (392, 606), (404, 574), (440, 560)])
            + spline([(470, 560), (506, 574), (518, 606), (500, 640)]),
            "#A9C4C8",
        )
        sheet.rect(436, 540, 38, 24, "#8C8A78", round_=3)
        self.gauges: dict[int, Image.Image] = {}
        card = Sheet(WIDE, 130)
        banner(card, self.spec.get("ask", ""), 10, 850)
        self.card = card.done()
        self.base = sheet.done()

    def gauge(self, degrees: int) -> Image.Image:
        """The large thermometer."""
        if degrees not in self.gauges:
            sheet = Sheet(380, 600)
            thermometer(sheet, 60, 70, 420, 0, 120, degrees)
            sheet.text(160, 300, f"{degrees}℃", 84, self.colour)
            self.gauges[degrees] = sheet.done()
        return self.gauges[degrees]

    def value_at(self, m: Moment) -> float:
        """The water's temperature."""
        return self.value(m, "temp", float(self.spec["start"]))

    def paint(self, m: Moment) -> Image.Image:
        """Everything that changes with the heat."""
        temp = self.value_at(m)
        page = self.base.copy()
        s = m.second
        art = Sheet(400, 620)
        ox, oy = 260, 20  # where the crop stands on the page
        lit = temp > 20.5 or self.spec["start"] > 20
        if lit:
            wob = 5 * math.sin(s * 9)
            for k, c in ((1.0, "#E8833A"), (0.62, YELLOW)):
                pts = [
                    (195 + wob * k, 520 - 86 * k),
                    (216, 520 - 34 * k),
                    (210, 520),
                    (180, 520),
                    (172, 520 - 34 * k),
                ]
                art.blob(pts, c)
        low = 205 + (24 if self.spec["start"] >= 100 else 0)
        art.rect(84, low, 222, 398 - low, "#BFD9DB")
        art.line([(84, low), (306, low)], "#8FB9BF", 3)
        if temp > 55:
            share = min((temp - 55) / 45, 1)
            boil = temp > 97
            for n in range(int(6 + 34 * share)):
                x = 98 + (n * 61) % 196
                speed = 0.55 + 0.25 * (n % 3) if boil else 0.14
                t = (s * speed + n * 0.37) % 1
                far = 1.0 if boil else 0.25 + 0.4 * share
                y = 388 - (388 - low - 8) * t * far
                r = (3 + (n % 4)) * (0.6 + 1.5 * t * (1.3 if boil else 0.5))
                art.disc(x + 3 * math.sin(s * 3 + n), y, r, "#F4FAF8", "#9CC4C8", 1.5)
            if boil:
                for n in range(6):
                    t = (s * 0.3 + n / 6) % 1
                    art.disc(
                        120 + n * 34 + 12 * math.sin(t * 5 + n),
                        low - 14 - 120 * t,
                        12 + 15 * t,
                        "#FFFFFF",
                        alpha=0.6 * (1 - t),
                    )
        glass = [(64, 120), (80, 136), (80, 386), (92, 400), (298, 400), (310, 386), (310, 120)]
        art.line(glass, "#7DA3A8", 5)
        for n in range(4):
            art.line([(286, 350 - n * 44), (306, 350 - n * 44)], "#7DA3A8", 2)
        art.rect(188, 20, 14, 330, PAGE, STEEL, 2, 7)
        art.rect(192, 350 - 250 * temp / 110, 6, 250 * temp / 110, ORANGE)
        art.disc(195, 356, 12, ORANGE)
        over(page, art.done(), ox, oy)
        over(page, self.gauge(round(temp)), 780, 40)
        if "ask" in self.spec and m.line >= 0:
            over(page, self.card, 0, 590)
        return page

    def key(self, m: Moment) -> Hashable:
        """Every frame when it boils, fewer before."""
        return round(m.second, 3) if self.value_at(m) > 55 else round(m.second * 4) / 4


class Freeze(View):
    """A test tube in salted ice."""

    moving = True

    def prepare(self) -> None:
        """The jar of ice."""
        sheet = Sheet(fill=PAPER)
        sheet.rect(0, 0, 22, HIGH, self.colour)
        sheet.rect(22, 640, WIDE, 80, "#E4DECD")
        sheet.rect(220, 250, 420, 392, "#DCE9EA", round_=20)
        for n in range(86):
            x, y = 236 + (n * 83) % 366, 296 + (n * 57) % 316
            a = n * 0.7
            pts = [(x + 22 * math.cos(a + i * 1.57), y + 18 * math.sin(a + i * 1.57)) for i in range(4)]
            sheet.poly(pts, ("#FFFFFF", "#C6DDE2", "#EAF3F3", "#B4D0D8")[n % 4], 0.85)
        for n in range(60):
            sheet.disc(240 + (n * 47) % 380, 300 + (n * 31) % 300, 2.5, "#FFFDF8")
        sheet.rect(216, 240, 428, 404, None, "#8FA9AE", 6, 20)
        self.base = sheet.done()

    def paint(self, m: Moment) -> Image.Image:
        """The tube, how much of it is ice, the thermometer."""
        temp, ice = self.value(m, "temp", float(self.spec["start"])), self.value(m, "ice", 0)
        page = self.base.copy()
        art = Sheet(220, 560)
        top = 250 - 16 * ice
        art.rect(60, 30, 100, 480, "#F4FAF8", round_=50, alpha=0.85)
        art.rect(64, top, 92, 505 - top, "#A9CFE0", round_=44)
        art.rect(64, top, 92, 60, "#A9CFE0")
        if ice > 0.02:
            inner = 46 * (1 - ice)
            art.rect(64, top, 92, 505 - top, "#EAF6FA", round_=44)
            art.rect(64, top, 92, 60, "#EAF6FA")
            if inner > 4:
                art.rect(
                    110 - inner, top + 40 * ice, inner * 2, 470 - top - 60 * ice, "#A9CFE0", round_=inner
                )
            for n in range(round(9 * ice)):
                y = top + 30 + n * 26
                art.line([(72 + (n * 17) % 40, y), (100 + (n * 23) % 50, y + 12)], "#C2DDE8", 2)
        art.rect(58, 28, 104, 484, None, "#7DA3A8", 5, 52)
        art.rect(48, 22, 124, 14, "#F4FAF8", "#7DA3A8", 4, 7)
        art.line([(50, 250), (58, 250)], ORANGE, 4)
        art.dashes((36, 250), (172, 250), ORANGE, 3, 7)
        art.rect(104, -20, 12, 430, PAGE, STEEL, 2, 6)
        art.rect(107, 390 - 10 * (temp + 8), 6, 10 * (temp + 8) + 20, ORANGE)
        art.disc(110, 412, 10, ORANGE)
        into = ease(self._dip(m))
        over(page, art.done(), 320, 110 - 90 * (1 - into))
        front = page.crop((222, 560, 638, 638))
        page.paste(front, (222, 560))
        gauge = Sheet(420, 600)
        thermometer(gauge, 60, 70, 420, -10, 20, temp)
        gauge.text(160, 280, f"{temp:.0f}℃".replace("-0℃", "0℃").replace("-", "−"), 84, self.colour)
        if ice > 0.05:
            gauge.text(160, 380, "水 → 冰" if ice < 0.98 else "冰", 52, INK)
        over(page, gauge.done(), 780, 40)
        return page

    @staticmethod
    def _dip(m: Moment) -> float:
        return 0.0 if m.line < 1 else (m.done * 1.6 if m.line == 1 else 1.0)

    def key(self, m: Moment) -> Hashable:
        """Five pictures a second are enough."""
        return (m.line, round(m.done * 14))


TONES = {"red": "#C8432E", "yellow": "#F0B429", "green": "#4E9A57", "blue": "#2E6FB0"}


def thing(sheet: Sheet, name: str, x: float, y: float, colour: str) -> None:
    """A kite, a sun, a leaf or a boat."""
    dark = mix(colour, "#000000", 0.22)
    if name == "kite":
        sheet.poly([(x, y - 170), (x + 130, y - 20), (x, y + 150), (x - 130, y - 20)], colour)
        sheet.poly([(x, y - 170), (x + 130, y - 20), (x, y - 20)], mix(colour, "#FFFFFF", 0.2))
        sheet.poly([(x, y + 150), (x - 130, y - 20), (x, y - 20)], dark)
        tail = spline([(x, y + 150), (x + 40, y + 190), (x - 10, y + 225), (x + 30, y + 262)])
        sheet.line(tail, INK2, 3)
        for i in (12, 22):
            px, py = tail[i]
            sheet.poly([(px, py), (px - 24, py - 12), (px - 24, py + 12)], colour)
            sheet.poly([(px, py), (px + 24, py - 12), (px + 24, py + 12)], dark)
    elif name == "sun":
        for n in range(12):
            a = math.radians(n * 30)
            pts = [(x + d * math.sin(a), y - d * math.cos(a)) for d in (150, 195)]
            sheet.line(pts, colour, 13)
        sheet.disc(x, y, 122, colour)
        sheet.disc(x - 40, y - 16, 9, INK)
        sheet.disc(x + 40, y - 16, 9, INK)
        sheet.arc(x, y, 56, 125, 235, INK, 6)
    elif name == "leaf":
        pts = [
            (x - 150, y + 120),
            (x - 120, y - 40),
            (x - 10, y - 140),
            (x + 160, y - 150),
            (x + 150, y + 10),
            (x + 50, y + 110),
            (x - 60, y + 136),
        ]
        sheet.blob(pts, colour)
        sheet.line(spline([(x - 180, y + 165), (x - 60, y + 50), (x + 120, y - 110)]), dark, 8)
        for k in (0.25, 0.45, 0.65):
            px, py = x - 120 + 230 * k, y + 105 - 210 * k
            sheet.line([(px, py), (px - 8, py - 70)], dark, 5)
            sheet.line([(px, py), (px + 70, py + 12)], dark, 5)
    else:
        sheet.poly([(x - 10, y - 180), (x + 120, y + 40), (x - 10, y + 40)], PAGE)
        sheet.poly([(x - 26, y - 140), (x - 26, y + 40), (x - 120, y + 40)], mix(colour, "#FFFFFF", 0.7))
        sheet.line([(x - 18, y - 190), (x - 18, y + 70)], INK2, 7)
        sheet.poly(
            spline(
                [
                    (x - 170, y + 66),
                    (x - 120, y + 140),
                    (x - 60, y + 156),
                    (x + 70, y + 156),
                    (x + 130, y + 140),
                    (x + 170, y + 66),
                ]
            ),
            colour,
        )
        for n in range(3):
            sheet.line(
                spline(
                    [(x - 200 + n * 140, y + 190), (x - 165 + n * 140, y + 178), (x - 130 + n * 140, y + 190)]
                ),
                "#9CC4C8",
                6,
            )


def colours_page(lesson_colour: str, name: str, word: str, ask: str = "") -> Image.Image:
    """One coloured thing and its word on four lines."""
    sheet = Sheet(fill=PAPER)
    sheet.rect(0, 0, 22, HIGH, lesson_colour)
    tone = TONES[word]
    sheet.disc(360, 330, 270, mix(tone, PAPER, 0.84))
    thing(sheet, name, 360, 320, tone)
    for n in range(4):
        sheet.line([(720, 262 + n * 52), (1190, 262 + n * 52)], "#E0A9A0" if n == 2 else "#C9BFDC", 2.5)
    sheet.text(760, 366, word, 128, lesson_colour, "ls")
    if ask:
        sheet.text(720, 180, ask, 46, INK)
        sheet.rect(720, 128, 80, 8, YELLOW)
    return sheet.done()


class Colours(View):
    """One thing and one colour for each line."""

    def prepare(self) -> None:
        """A picture for each line."""
        ask = self.spec.get("ask", "")
        self.pages = [colours_page(self.colour, x["thing"], x["word"], ask) for x in self.lines]

    def paint(self, m: Moment) -> Image.Image:
        """The line's picture."""
        return self.pages[max(m.line, 0)]
