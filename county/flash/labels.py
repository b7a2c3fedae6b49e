"""Door labels: a page to print, six labels on A4, each with a school's name, the address and its QR code.

Drawn with borders and text alone: a browser prints no backgrounds unless it is told to.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from html import escape

import segno
from msgspec import Struct

_KAI = 'KaiTi, STKaiti, "AR PL UKai CN", serif'
_STYLE = f"""
@page {{ size: A4; margin: 9mm 10mm; }}
* {{ box-sizing: border-box; margin: 0; }}
body {{ font-family: "Noto Sans CJK SC", "Microsoft YaHei", "PingFang SC", "WenQuanYi Micro Hei", sans-serif;
  color: #14303a; width: 190mm; margin: 0 auto; }}
.label {{ width: 95mm; height: 92mm; float: left; position: relative; overflow: hidden;
  border: .2mm dashed #b9c4c8; page-break-inside: avoid; break-inside: avoid; }}
.label > * {{ position: absolute; left: 7mm; right: 7mm; }}
.brand {{ top: 6mm; font: 11pt/1 {_KAI}; letter-spacing: .3em; color: #4b646d; }}
.brand b {{ font: 7.5pt/1 "DejaVu Sans", Arial, sans-serif; letter-spacing: .08em; }}
h2 {{ top: 12.5mm; height: 18mm; font: 21pt/1.2 {_KAI}; overflow: hidden; overflow-wrap: anywhere; }}
.long h2 {{ font-size: 15.5pt; }}
.longer h2 {{ font-size: 10pt; line-height: 1.25; }}
.label svg {{ top: 30mm; left: 5.2mm; right: auto; width: 36mm; height: 36mm; }}
ol {{ top: 32mm; padding: 0; list-style: none; font: 14pt/10.6mm {_KAI}; }}
.label ol {{ left: 46mm; right: 5mm; }}
.way {{ bottom: 10.5mm; height: 15.5mm; padding-top: 1.2mm; border-top: .5mm solid #14303a; }}
.way b {{ display: block; font: bold 17pt/1.2 "DejaVu Sans", Arial, sans-serif; white-space: nowrap; }}
.tiny .way b {{ font-size: 11pt; }}
.way span {{ display: block; font-size: 8.5pt; line-height: 1.45; }}
.way i {{ font: bold 8.5pt/1.45 "DejaVu Sans Mono", Consolas, monospace; }}
.foot {{ bottom: 3.5mm; padding-top: 1.2mm; border-top: .2mm solid #b9c4c8; font-size: 7pt; color: #4b646d; }}
.foot i {{ font-style: normal; float: right; font-family: "DejaVu Sans Mono", Consolas, monospace; }}
@media screen {{ body {{ padding: 10mm 0; }} }}
"""
#: Names of more letters are set smaller: beyond the first one 28 in two lines, beyond the other in four.
_LONG, _LONGER, _LONG_ADDRESS = 20, 28, 26
_STEPS = ("手机扫一扫", "白板输下面的地址", "点今天的课，上课")


class Label(Struct, frozen=True):
    """What one label says; `also`: another address of the same box; `wifi`: name and password of its own
    Wi-Fi, for where there is no other network."""

    school: str
    code: str
    box: str
    address: str
    also: str = ""
    wifi: tuple[str, str] | None = None


def label_page(labels: Sequence[Label]) -> str:
    """The page, whole in one file."""
    return (
        '<!doctype html>\n<html lang="zh-CN"><head><meta charset="utf-8">'
        "<title>课箱门牌 Lesson Box labels</title>"
        f"<style>{_STYLE}</style></head>\n<body>\n{''.join(map(_label, labels))}</body></html>\n"
    )


def _label(label: Label) -> str:
    code = io.BytesIO()
    segno.make(label.address, error="m", micro=False).save(
        code, kind="svg", xmldecl=False, omitsize=True, border=2, dark="#14303a", nl=False
    )
    classes = ["label"]
    classes += ["longer"] if len(label.school) > _LONGER else ["long"] if len(label.school) > _LONG else []
    classes += ["tiny"] if len(label.address) > _LONG_ADDRESS else []
    more = [f"或者 or&ensp;{escape(label.also)}"] if label.also else []
    if label.wifi is not None:
        name, password = map(escape, label.wifi)
        key = f"密码 <i>{password}</i>" if password else "没有密码"
        more.append(f"没有网？连无线 Wi-Fi <i>{name}</i> {key}")
    steps = "".join(f"<li>{step}</li>" for step in _STEPS)
    return (
        f'<div class="{" ".join(classes)}"><p class="brand">课箱 <b>LESSON BOX</b></p>'
        f"<h2>{escape(label.school)}</h2>{code.getvalue().decode()}<ol>{steps}</ol>"
        f'<p class="way"><b>{escape(label.address)}</b>{"".join(f"<span>{one}</span>" for one in more)}</p>'
        f'<p class="foot"><i>{escape(label.code)}&ensp;{escape(label.box)}</i>'
        "打不开？看课箱的灯和网线。</p></div>\n"
    )
