"""Pictures of the main pages for docs/screens: `python -m tests.e2e.screens [--data DIR] [--out DIR] [NAME]`.

DIR is a box's data folder; without it a box is made: the sample library is built, published and synced by
the real programs. Without names all are taken. Small PNGs: the board's few colours fit a palette.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from tests.e2e.board import WebProcess
from tests.e2e.browser import BOARD, PHONE, Tab, launch

ROOT = Path(__file__).resolve().parents[2]
#: A machine without KaiTi draws its titles with a Kai font of Debian's (fonts-arphic-ukai), if that is here.
FONTS = """<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig>
<include>/etc/fonts/fonts.conf</include><match target="pattern">
<test name="family"><string>KaiTi</string></test>
<edit name="family" mode="assign" binding="strong"><string>AR PL UKai CN</string></edit>
</match></fontconfig>"""


def run(*words: object) -> None:
    """One of our programs, to its end."""
    subprocess.run([sys.executable, *map(str, words)], cwd=ROOT, check=True)


def make_box(folder: Path) -> Path:
    """A box that holds the sample library, by drop folder: no county needs to run."""
    library, county, box, paper = (folder / name for name in ("library", "county", "box", "enrolment.json"))
    run("samples/build.py", "--out", library)
    run("-m", "county", "init", "--data", county, "--name", "青川县", "--url", "http://127.0.0.1:9")
    run("-m", "county", "publish", "--data", county, library)
    run(
        "-m",
        "county",
        "enrol",
        "--data",
        county,
        "--school-code",
        "001",
        "--name",
        "溪口教学点",
        "--out",
        paper,
    )
    run("-m", "appliance", "init", "--data", box, "--enrolment", paper)
    run("-m", "appliance", "import", "--data", box, county)
    return box


def save(shot: bytes, path: Path) -> None:
    """A PNG of 1280 pixels at most, with a palette."""
    image = Image.open(io.BytesIO(shot)).convert("RGB")
    if image.width > 1280:
        image = image.resize((1280, round(image.height * 1280 / image.width)), Image.Resampling.LANCZOS)
    # Fitted twice to the picture: a first palette forgets a small green dot.
    image.quantize(192, kmeans=2, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path.name}: {path.stat().st_size // 1000} kB")


def pages(url: str) -> dict[str, str]:
    """The addresses to show, of the fullest lesson that has a video."""
    with urllib.request.urlopen(f"{url}/api/v1/lessons?state=present") as answer:
        lessons = json.load(answer)["lessons"]
    best = max(
        lessons,
        key=lambda lesson: (
            lesson["subject"] == "语文",
            lesson["volume"] == "上册",
            lesson["unit"],
            len(lesson["resources"]),
        ),
    )
    kinds = {resource["kind"]: resource["id"] for resource in reversed(best["resources"])}
    lesson = f"/lesson/{best['id']}"
    found = {
        "home": "/",
        "volume": f"/volume/{best['id'].rpartition('-')[0]}",
        "search": "/search?q=诗",
        "status": "/status",
        "blackboard": "/blackboard",
        "school": "/school",
        "browse": "/browse",
        "television": "/tv",
    }
    for name, kind, more in (
        ("lesson", "video", ""),
        ("quiz", "quiz", "?q=1&a=1"),
        ("slides", "courseware", "?page=2"),
        ("strokes", "interactive", ""),
    ):
        if kind in kinds:
            found[name] = f"{lesson}/{kinds[kind]}{more}"
    return found


def main() -> None:
    """Take them all."""
    reader = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    reader.add_argument("--data", type=Path)
    reader.add_argument("--out", type=Path, default=ROOT / "docs" / "screens")
    reader.add_argument("names", nargs="*")
    chosen = reader.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="lessonbox-screens-") as name:
        fonts = Path(name) / "fonts.conf"
        fonts.write_text(FONTS, "utf-8")
        os.environ["FONTCONFIG_FILE"] = str(fonts)
        from tests.box import SmallBox

        web = WebProcess(SmallBox(chosen.data or make_box(Path(name))))
        try:
            with sync_playwright() as playwright:
                browser = launch(playwright)
                found = pages(web.url)
                visited = Tab(browser)  # a board that taught yesterday: home shows where it stopped
                visited.page.goto(web.url + found["lesson"])
                for page, path in [*sorted(found.items()), ("phone", "/")]:
                    if chosen.names and page not in chosen.names:
                        continue
                    tab = (
                        visited
                        if page in ("home", "television")
                        else Tab(browser, viewport=PHONE if page == "phone" else BOARD)
                    )
                    tab.page.goto(web.url + path)
                    if page == "lesson":
                        tab.until("document.getElementById('media').duration > 0")
                        tab.page.evaluate(
                            "m => { m.pause(); m.currentTime = 0.42 * m.duration }",
                            tab.page.query_selector("#media"),
                        )
                        tab.until("!document.getElementById('media').seeking")
                    tab.page.wait_for_timeout(1500)  # a courseware draws itself; nothing tells when
                    save(tab.page.screenshot(), chosen.out / f"{page}.png")
                browser.close()
        finally:
            web.stop()


if __name__ == "__main__":
    main()
