"""The library's views by name, and still pictures of them."""

from __future__ import annotations

from PIL import Image

from . import views_class as vc
from . import views_poem as vp
from .lesson import Lesson, Spec
from .look import PAPER
from .paint import Sheet
from .views import Chars, Cover, Graph, Moment, Notes, View

VIEWS: dict[str, type[View]] = {
    "cover": Cover,
    "notes": Notes,
    "chars": Chars,
    "graph": Graph,
    "tianmen": vp.Tianmen,
    "shanxing": vp.Shanxing,
    "jingye": vp.Jingye,
    "chishang": vp.Chishang,
    "xiaochi": vp.Xiaochi,
    "clock": vc.Clock,
    "fraction": vc.Fraction,
    "parts": vc.Parts,
    "bars": vc.Bars,
    "heat": vc.Heat,
    "freeze": vc.Freeze,
    "colours": vc.Colours,
}


def view(lesson: Lesson, spec: Spec) -> View:
    """The view that a scene asks for."""
    return VIEWS[spec["view"]](lesson, spec)


def _four_colours(lesson: Lesson) -> Image.Image:
    sheet = Sheet(fill=PAPER)
    spots = (
        ("kite", "red", 330, 190),
        ("sun", "yellow", 950, 180),
        ("leaf", "green", 330, 540),
        ("boat", "blue", 950, 530),
    )
    for name, word, x, y in spots:
        small = Sheet(480, 520)
        vc.thing(small, name, 240, 230, vc.TONES[word])
        art = small.done()
        art = art.resize((round(art.width * 0.66), round(art.height * 0.66)), Image.Resampling.LANCZOS)
        sheet.paste(art, x - art.width / 2 - 60, y - art.height / 2)
        sheet.text(x + 110, y, word, 62, vc.TONES[word] if word != "yellow" else "#9C6A00")
    return sheet.done()


def still(lesson: Lesson, name: str) -> Image.Image:
    """A picture by name: a view at its most telling moment."""
    if name == "colours":
        return _four_colours(lesson)
    if name == "bars":
        return vc.bars_page(lesson.colour, "", 3)
    if name == "clock3":
        spec: Spec = {"view": "clock", "start": "3:00", "say": [{"at": "3:00", "cap": "3时  3:00"}]}
        return view(lesson, spec).paint(Moment(9, 9, 0, 1, 1))
    for film in lesson.list("film"):
        for scene in film["scene"]:
            if scene["view"] == name:
                spec = {k: v for k, v in scene.items() if k not in ("ask", "poem")}
                last = len(spec["say"]) - 1
                if name == "freeze":
                    last -= 1
                if name == "clock":
                    last = 2
                if name == "fraction":
                    last = 2
                return view(lesson, spec).paint(Moment(8.5, 9, last, 1, len(spec["say"])))
    raise KeyError(name)
