"""The landscapes of the poems."""

from __future__ import annotations

import math
import random

from PIL import Image

from .look import INK, PAGE
from .paint import HIGH, WIDE, Sheet, over, spline
from .views import Picture, star, wave

DEEP, MID, SOFT = "#1B4A4B", "#2F6F69", "#5C9686"


class Tianmen(Picture):
    """望天门山: two mountains like a gate, a red sun, a lone sail."""

    text_at = (905, 64)
    card_at = (645, 130)

    def ground(self, sheet: Sheet) -> None:
        """Mountains, sun and river."""
        sheet.disc(524, 345, 66, "#C8432E")
        sheet.hill([(230, 400), (400, 372), (560, 392), (700, 366), (900, 384), (1060, 360)], "#C9D2BC", 470)
        sheet.hill([(230, 415), (420, 440), (560, 455)], "#9FB8A8", 480)
        sheet.hill([(760, 456), (900, 432), (1060, 410)], "#9FB8A8", 480)
        sheet.rect(0, 452, WIDE, HIGH - 452, "#DFE4D3")
        for x, y, w in ((330, 492, 150), (560, 478, 130), (800, 498, 130), (390, 540, 250), (640, 612, 190)):
            wave(sheet, x, y, w, "#B4C8B8")
        for x, y, w in ((340, 604, 150), (760, 660, 160), (130, 652, 170), (1010, 640, 170), (620, 690, 120)):
            wave(sheet, x, y, w, "#B4C8B8")
        wave(sheet, 480, 470, 84, "#DE9384", 4)
        wave(sheet, 502, 490, 44, "#DE9384", 4)
        left = [(0, 150), (34, 96), (62, 70), (92, 100), (128, 148), (152, 130), (176, 146), (208, 206)]
        left += [(250, 240), (272, 306), (300, 372), (322, 430), (342, 560)]
        sheet.poly([(0, 590), *spline(left), (290, 580), (0, 592)], SOFT)
        near = [(0, 310), (40, 262), (62, 246), (92, 268), (150, 282), (196, 360), (232, 450), (300, 556)]
        sheet.poly([(0, 592), *spline(near), (300, 584)], MID)
        dark = [(0, 452), (34, 420), (62, 434), (120, 480), (170, 540), (200, 582)]
        sheet.poly([(0, 592), *spline(dark)], DEEP)
        right = [(1280, 110), (1240, 60), (1204, 88), (1176, 150), (1140, 140), (1108, 168), (1084, 250)]
        right += [(1046, 300), (1020, 380), (992, 440), (968, 560)]
        sheet.poly([(1280, 596), *spline(right), (1010, 588)], SOFT)
        rnear = [(1280, 250), (1246, 216), (1212, 240), (1176, 300), (1130, 330), (1098, 420), (1040, 560)]
        sheet.poly([(1280, 596), *spline(rnear), (1030, 588)], MID)
        rdark = [(1280, 400), (1240, 372), (1206, 420), (1160, 500), (1120, 586)]
        sheet.poly([(1280, 596), *spline(rdark)], DEEP)
        for pts in (
            [(84, 120), (70, 210)],
            [(166, 168), (182, 260)],
            [(222, 240), (244, 330)],
            [(1196, 130), (1212, 220)],
            [(1122, 196), (1106, 280)],
            [(1060, 320), (1046, 390)],
        ):
            sheet.line(pts, "#A9B48C", 3.5)

    def sprites(self) -> None:
        """The boat."""
        boat = Sheet(120, 150, scale=4)
        boat.poly(spline([(62, 4), (92, 40), (100, 92)]) + [(62, 92)], PAGE)
        boat.poly(spline([(56, 20), (38, 56), (26, 92)]) + [(56, 92)], "#F1DDB4")
        boat.line([(59, 2), (59, 100)], "#3A2A27", 2.5)
        boat.poly(
            [(10, 98), (110, 98), *spline([(110, 98), (98, 116), (84, 122), (38, 122), (22, 116), (10, 98)])],
            "#3A2A27",
        )
        boat.line([(14, 134), (102, 134)], "#8FB0A4", 3)
        boat.line([(36, 145), (84, 145)], "#8FB0A4", 3)
        self.boat = boat.done()

    def move(self, page: Image.Image, second: float) -> None:
        """The boat comes on, down the river."""
        over(page, self.boat, 560 + 4 * second, 440 + 2.2 * second + 1.5 * math.sin(second * 1.8))


class Shanxing(Picture):
    """山行: a stone path up a cold mountain, clouds, houses, maples."""

    text_at = (430, 60)

    def ground(self, sheet: Sheet) -> None:
        """Mountains, path, houses, maple wood."""
        sheet.hill(
            [(0, 330), (180, 250), (340, 300), (560, 200), (760, 280), (1000, 180), (1280, 260)],
            "#D5D6BE",
            HIGH,
        )
        far = [
            (300, 640),
            (420, 500),
            (560, 340),
            (690, 190),
            (800, 96),
            (870, 60),
            (940, 110),
            (1040, 210),
            (1150, 280),
        ]
        sheet.hill([*far, (1280, 360)], "#8FAA97", HIGH)
        sheet.hill(
            [
                (470, 640),
                (560, 520),
                (700, 360),
                (820, 240),
                (900, 190),
                (980, 260),
                (1120, 350),
                (1280, 420),
            ],
            SOFT,
            HIGH,
        )
        for x, y in ((840, 306), (905, 322)):
            sheet.poly([(x - 8, y), (x + 24, y - 24), (x + 56, y)], "#4B3A33")
            sheet.rect(x, y, 48, 26, PAGE)
            sheet.rect(x + 19, y + 8, 10, 18, "#4B3A33")
        sheet.hill(
            [(0, 560), (200, 520), (420, 540), (640, 470), (900, 430), (1100, 470), (1280, 450)],
            "#C9B583",
            HIGH,
        )
        way = [
            (560, 720),
            (640, 640),
            (780, 600),
            (860, 560),
            (800, 510),
            (740, 470),
            (800, 430),
            (880, 400),
            (868, 360),
            (878, 344),
        ]
        for n, (x, y) in enumerate(spline(way, steps=5)):
            wide = 42 * (y - 300) / 420 + 4
            sheet.disc(x, y, wide, "#E9DFC6", ry=wide * 0.42)
            if n % 3 == 0:
                sheet.disc(x + wide * 0.2, y, wide * 0.55, "#D8CBAA", ry=wide * 0.2)
        trees = (
            (1160, 470, 1.25),
            (1040, 500, 1.0),
            (1240, 520, 1.15),
            (110, 560, 1.1),
            (250, 590, 0.9),
            (1130, 590, 1.2),
            (980, 610, 0.9),
            (30, 620, 1.15),
        )
        reds = ("#B83A26", "#CB5130", "#A8321F", "#D4702F")
        for n, (x, y, k) in enumerate(trees):
            sheet.line([(x, y + 92 * k), (x, y)], "#4B3A33", 9 * k)
            sheet.line([(x, y + 34 * k), (x + 30 * k, y - 6 * k)], "#4B3A33", 5 * k)
            for dx, dy, r, c in ((-34, -8, 42, 0), (32, -14, 46, 1), (0, -48, 50, 2), (4, 0, 38, 3)):
                sheet.disc(x + dx * k, y + dy * k, r * k, reds[(c + n) % 4])
        sheet.hill([(0, 690), (300, 664), (620, 700), (900, 672), (1280, 690)], "#A99563", HIGH)
        for x, y in ((340, 684), (420, 700), (700, 696), (820, 688), (930, 700), (520, 704)):
            sheet.blob([(x - 9, y), (x, y - 6), (x + 10, y), (x, y + 5)], reds[x % 4])

    def sprites(self) -> None:
        """Two clouds and a leaf."""
        self.clouds = []
        for wide in (230, 170):
            cloud = Sheet(wide, 70)
            for x, y, r in ((0.22, 44, 22), (0.42, 32, 30), (0.62, 36, 27), (0.8, 46, 20)):
                cloud.disc(x * wide, y, r, PAGE)
            cloud.rect(wide * 0.13, 44, wide * 0.77, 22, PAGE, round_=11)
            self.clouds.append(cloud.done())
        leaf = Sheet(26, 26, scale=4)
        leaf.blob([(3, 13), (13, 4), (23, 13), (13, 20)], "#C8432E")
        self.leaf = leaf.done()

    def move(self, page: Image.Image, second: float) -> None:
        """Clouds drift; two leaves fall."""
        over(page, self.clouds[0], 640 + 4 * second, 232)
        over(page, self.clouds[1], 985 - 3 * second, 268)
        for n, x in enumerate((1010, 1180)):
            t = (second * 0.16 + n * 0.5) % 1
            over(page, self.leaf, x + 26 * math.sin(6 * t + n), 500 + 150 * t, min(1, 4 - 4 * t))


class Jingye(Picture):
    """静夜思: a window, the moon, light on the floor like frost."""

    text_at = (1120, 84)
    text_colour, name_colour = "#F3F0E3", "#FFD75E"
    card_at = (880, 190)
    size = 52

    def ground(self, sheet: Sheet) -> None:
        """The room at night."""
        sheet.rect(0, 0, WIDE, HIGH, "#22344A")
        sheet.rect(0, 520, WIDE, 200, "#1B2A3D")
        sheet.poly([(150, 530), (560, 530), (720, 720), (130, 720)], "#5F7896", 0.55)
        sheet.poly([(210, 545), (500, 545), (610, 690), (190, 690)], "#C9D6DC", 0.5)
        sheet.rect(110, 70, 470, 400, "#3A2A27", round_=6)
        sheet.rect(128, 88, 434, 364, "#2F4A6B")
        sheet.hill([(128, 410), (220, 372), (330, 398), (430, 360), (562, 400)], "#24405C", 452)
        for x, y, r in (
            (180, 140, 7),
            (250, 250, 5),
            (520, 300, 6),
            (300, 120, 4),
            (500, 130, 5),
            (190, 320, 4),
        ):
            star(sheet, x, y, r, "#D9E1DC")
        for r, a in ((92, 0.07), (78, 0.1), (66, 0.16)):
            sheet.disc(420, 210, r, "#F7E9B8", alpha=a)
        sheet.disc(420, 210, 54, "#F7EBC4")
        for x in (273, 418):
            sheet.rect(x - 4, 88, 8, 364, "#3A2A27")
        sheet.rect(128, 266, 434, 8, "#3A2A27")
        sheet.rect(92, 466, 506, 18, "#4B3A33", round_=4)
        # the bed, and the poet who looks up
        sheet.rect(640, 566, 330, 26, "#6B4A35", round_=5)
        sheet.rect(656, 590, 18, 74, "#5A3D2C")
        sheet.rect(936, 590, 18, 74, "#5A3D2C")
        sheet.rect(650, 546, 310, 26, "#C9B9A0", round_=12)
        sheet.rect(846, 520, 104, 34, "#E9DFC6", round_=16)
        body = [(700, 560), (692, 490), (706, 430), (738, 408), (772, 428), (790, 500), (806, 560)]
        sheet.poly(spline(body), "#B7C4C9")
        sheet.poly(
            spline([(716, 560), (712, 500), (726, 440), (744, 420), (748, 500), (756, 560)]), "#96A9B4"
        )
        sheet.disc(726, 378, 31, "#E7C9A4")
        sheet.pie(730, 374, 34, -20, 165, INK)
        sheet.disc(748, 342, 14, INK)
        sheet.disc(704, 376, 2.6, INK)
        sheet.line([(714, 470), (690, 520), (668, 548)], "#96A9B4", 15)
        self._frost(sheet)

    @staticmethod
    def _frost(sheet: Sheet) -> None:
        for n in range(26):
            x, y = 210 + (n * 97) % 330, 556 + (n * 53) % 120
            sheet.disc(x + (y - 556) * 0.25, y, 2.2, "#F3F0E3", alpha=0.7)

    def sprites(self) -> None:
        """A thin cloud."""
        cloud = Sheet(190, 50)
        cloud.rect(10, 20, 160, 12, "#B7C4D2", round_=6, alpha=0.55)
        cloud.rect(50, 8, 90, 10, "#B7C4D2", round_=5, alpha=0.4)
        self.cloud = cloud.done()

    def move(self, page: Image.Image, second: float) -> None:
        """The cloud passes behind the window's bars."""
        glass = page.crop((132, 92, 269, 262)), page.crop((277, 92, 414, 262)), page.crop((422, 92, 558, 262))
        for n, pane in enumerate(glass):
            left = (132, 277, 422)[n]
            over(pane, self.cloud, 120 + 9 * second - left, 130)
            page.paste(pane, (left, 92))


class Pond(Picture):
    """What 池上 and 小池 share: water, lotus leaves, flowers."""

    @staticmethod
    def leaf(sheet: Sheet, x: float, y: float, r: float, colour: str = MID) -> None:
        """A lotus leaf on the water."""
        sheet.disc(x, y, r, colour, ry=r * 0.36)
        for n in range(7):
            a = n * math.pi * 2 / 7 + 0.3
            sheet.line([(x, y), (x + r * 0.86 * math.cos(a), y + r * 0.31 * math.sin(a))], SOFT, 2)

    @staticmethod
    def lotus(sheet: Sheet, x: float, y: float, k: float, colour: str = PAGE, edge: str = "#E9C9C0") -> None:
        """A lotus flower."""
        sheet.line([(x, y), (x + 6 * k, y + 90 * k)], SOFT, 5 * k)
        for turn, fill in ((-58, edge), (58, edge), (-30, colour), (30, colour), (0, edge), (-12, colour)):
            a = math.radians(turn)
            tip = (x + 62 * k * math.sin(a), y - 62 * k * math.cos(a))
            side = 17 * k
            mid = (x + 32 * k * math.sin(a), y - 32 * k * math.cos(a))
            pts = [
                (x, y),
                (mid[0] - side * math.cos(a), mid[1] - side * math.sin(a)),
                tip,
                (mid[0] + side * math.cos(a), mid[1] + side * math.sin(a)),
            ]
            sheet.blob(pts, fill)


class Chishang(Pond):
    """池上: a child in a small boat, duckweed that opens."""

    text_at = (1150, 70)
    size = 52
    card_at = (640, 70)

    def ground(self, sheet: Sheet) -> None:
        """The pond."""
        sheet.hill([(0, 180), (240, 140), (520, 190), (800, 130), (1050, 180), (1280, 150)], "#C9D2BC", HIGH)
        sheet.hill([(0, 236), (300, 214), (640, 244), (960, 210), (1280, 236)], "#9FB8A8", HIGH)
        sheet.rect(0, 262, WIDE, HIGH, "#DFE4D3")
        for x, y, w in ((80, 300, 160), (460, 290, 200), (780, 320, 160), (200, 350, 120), (620, 372, 150)):
            wave(sheet, x, y, w, "#B4C8B8")
        dice = random.Random(4)
        for n in range(330):
            x, y = dice.uniform(6, 1274), 404 + 300 * dice.random() ** 0.8
            if abs(y - 552) > 34 or x < 300:
                sheet.disc(x, y, 8 + n % 5, ("#8FB68C", "#7DA97F", "#9DC093")[n % 3], ry=4 + n % 2)
        for x, y, r in ((110, 640, 92), (260, 690, 76), (1160, 660, 96), (1010, 700, 70), (80, 420, 60)):
            self.leaf(sheet, x, y, r)
        self.lotus(sheet, 150, 540, 1.0)
        self.lotus(sheet, 1190, 560, 1.1)
        self.lotus(sheet, 1060, 600, 0.7)

    def sprites(self) -> None:
        """The boat with the child and the stolen flowers."""
        b = Sheet(330, 250, scale=2)
        b.line([(250, 20), (170, 232)], "#B98B4E", 5)
        b.poly(spline([(150, 190), (146, 140), (162, 112), (188, 108), (206, 126), (212, 190)]), "#C8432E")
        b.line([(196, 128), (228, 122), (232, 74)], "#E7C9A4", 11)
        b.line([(164, 130), (196, 152), (206, 140)], "#E7C9A4", 11)
        b.disc(180, 82, 29, "#EBCFAC")
        b.pie(180, 78, 31, -95, 95, INK)
        b.disc(160, 50, 9, INK)
        b.disc(200, 50, 9, INK)
        b.disc(170, 86, 2.6, INK)
        b.disc(190, 86, 2.6, INK)
        b.arc(180, 90, 10, 120, 240, "#9C3A2A", 2.5)
        Pond.lotus(b, 96, 158, 0.6)
        Pond.lotus(b, 66, 166, 0.42)
        b.poly(
            [
                (20, 176),
                *spline([(20, 176), (50, 206), (90, 218), (240, 218), (282, 204), (312, 172)]),
                (266, 186),
                (70, 188),
            ],
            "#6B4A35",
        )
        b.line([(24, 178), (70, 188), (266, 187), (308, 174)], "#8A6244", 5)
        self.boat = b.done()

    def move(self, page: Image.Image, second: float) -> None:
        """The boat goes home and leaves a way behind it."""
        over(page, self.boat, 430 - 7 * second, 350 + 1.5 * math.sin(second * 1.7))


class Xiaochi(Pond):
    """小池: a spring, shade, a pointed leaf and a dragonfly."""

    text_at = (1170, 56)
    card_at = (640, 596)

    def ground(self, sheet: Sheet) -> None:
        """Bank, spring, tree, water."""
        sheet.rect(0, 0, WIDE, HIGH, "#F1EBD3")
        sheet.hill([(0, 210), (300, 170), (640, 220), (960, 176), (1280, 210)], "#D3DCBF", HIGH)
        sheet.rect(0, 330, WIDE, HIGH, "#CFE0D6")
        sheet.poly(
            [
                (0, 290),
                *spline([(0, 290), (130, 276), (250, 300), (330, 340), (360, 400), (250, 440), (0, 470)]),
            ],
            "#B7A878",
        )
        for x, y, r in ((220, 336, 44), (290, 366, 34), (150, 320, 38)):
            sheet.disc(x, y, r, "#8C8A78", ry=r * 0.62)
            sheet.disc(x - 5, y - 7, r * 0.75, "#A3A08C", ry=r * 0.36)
        sheet.disc(226, 360, 15, "#3C4A46", ry=9)
        water = spline([(226, 360), (246, 386), (300, 410), (350, 440), (430, 456)])
        sheet.line(water, "#FFFDF8", 7)
        sheet.line([(x, y + 5) for x, y in water], "#9CC4C0", 4)
        sheet.poly(
            spline([(60, 330), (78, 220), (70, 120), (100, 60)])
            + spline([(134, 60), (118, 130), (128, 230), (150, 330)]),
            "#6B5138",
        )
        for x, y, r, c in (
            (60, 90, 92, MID),
            (180, 66, 100, SOFT),
            (290, 96, 74, MID),
            (110, 30, 90, SOFT),
            (230, 20, 84, MID),
            (360, 60, 52, SOFT),
            (20, 160, 60, SOFT),
        ):
            sheet.disc(x, y, r, c, ry=r * 0.74)
        sheet.disc(430, 560, 250, "#A9C7BB", ry=70)
        sheet.disc(250, 520, 150, "#A9C7BB", ry=44)
        for x, y, w in ((520, 420, 160), (700, 470, 120), (420, 620, 180), (900, 430, 140), (250, 670, 150)):
            wave(sheet, x, y, w, "#F4F7EF")
        for x, y, r in ((980, 620, 110), (820, 668, 86), (1140, 560, 80), (1180, 690, 100), (560, 690, 70)):
            self.leaf(sheet, x, y, r)
        sheet.line([(700, 560), (696, 400)], SOFT, 7)
        sheet.poly(
            spline([(696, 300), (716, 356), (714, 410), (697, 428), (680, 408), (680, 356), (696, 300)]),
            "#6FA35F",
        )
        sheet.line([(696, 310), (697, 424)], "#A9CB8F", 3)
        sheet.disc(700, 562, 40, "#F4F7EF", ry=9, alpha=0.6)

    def sprites(self) -> None:
        """The dragonfly, wings up and wings down."""
        self.flies = []
        for lift in (0, 9):
            d = Sheet(170, 110, scale=4)
            for x, y in ((30, 26 + lift), (140, 26 + lift), (38, 66 - lift), (132, 66 - lift)):
                pts = [(85, 48), ((85 + x) / 2, (48 + y) / 2 - 13), (x, y), ((85 + x) / 2, (48 + y) / 2 + 11)]
                d.blob(pts, "#FFFFFF", 0.8)
                d.line([(85, 48), (x, y)], "#8FB0A4", 1.5)
            d.line([(85, 40), (85, 102)], "#B0382B", 6)
            d.disc(85, 48, 9, "#8E2A20", ry=13)
            d.disc(85, 30, 10, "#8E2A20")
            d.disc(78, 26, 4.5, INK)
            d.disc(92, 26, 4.5, INK)
            self.flies.append(d.done())

    def move(self, page: Image.Image, second: float) -> None:
        """The dragonfly hovers in, then sits on the tip."""
        t = min(second / 6, 1)
        t = 1 - (1 - t) ** 2
        x = 980 - (980 - 611) * t
        y = 120 + (222 - 120) * t + (7 * math.sin(second * 2.2) if t < 1 else 0)
        beat = int(second * 8) % 2 if t < 1 else (int(second * 2) % 5 == 0)
        over(page, self.flies[int(beat)], x, y)
