"""Door labels: a page to print, ten labels on A4, each with a school's name, the address and its QR code."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import segno

_STYLE = """
@page { size: A4; margin: 12mm 10mm; }
* { box-sizing: border-box; margin: 0; }
body { font-family: "Noto Sans CJK SC", "Microsoft YaHei", "PingFang SC", "WenQuanYi Micro Hei", sans-serif;
  color: #14303a; width: 190mm; margin: 0 auto; }
.label { width: 93mm; height: 53mm; float: left; margin: 0 2mm 1.5mm 0; padding: 4mm;
  border: .3mm dashed #9aa9ae; overflow: hidden; position: relative;
  page-break-inside: avoid; break-inside: avoid; }
.label:nth-child(2n) { margin-right: 0; }
svg { position: absolute; right: 3.5mm; top: 9mm; width: 35mm; height: 35mm; }
.what { font-size: 8.5pt; color: #4b646d; letter-spacing: .02em; }
h2 { font-size: 15pt; line-height: 1.25; width: 49mm; margin-top: 1.5mm; max-height: 2.5em;
  overflow: hidden; }
.long h2 { font-size: 11pt; max-height: 3.75em; }
.how { position: absolute; left: 4mm; bottom: 11.5mm; width: 50mm; font-size: 8.5pt; color: #4b646d; }
.address { display: block; color: #14303a; font-size: 12pt; font-weight: bold; overflow-wrap: anywhere; }
.small .address { font-size: 9pt; }
.code { position: absolute; left: 4mm; right: 4mm; bottom: 3.5mm; font-size: 8pt; color: #4b646d;
  font-family: "DejaVu Sans Mono", Consolas, monospace; white-space: nowrap; }
@media screen { body { padding: 10mm 0; } }
"""
_LONG_NAME, _LONG_ADDRESS = 16, 24


@dataclass(frozen=True)
class Label:
    """What one label says."""

    school: str
    code: str
    box: str
    address: str


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
    classes += ["long"] if len(label.school) > _LONG_NAME else []
    classes += ["small"] if len(label.address) > _LONG_ADDRESS else []
    return (
        f'<div class="{" ".join(classes)}"><p class="what">课箱 Lesson Box</p>'
        f"<h2>{escape(label.school)}</h2>{code.getvalue().decode()}"
        '<p class="how">白板或手机打开 Open on the board'
        f'<span class="address">{escape(label.address)}</span></p>'
        f'<p class="code">{escape(label.code)} · {escape(label.box)}</p></div>\n'
    )
