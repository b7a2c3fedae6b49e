"""Refreshes readings.tsv: the pinyin of every sentence that is spoken (needs pypinyin; not needed to build).

    pip install pypinyin && python samples/readings.py

It keeps what is there (that has been read over by a person) and only adds what is new.
"""

from __future__ import annotations

from kit.lesson import load_all, words_of
from kit.speech import READINGS
from pypinyin import Style, lazy_pinyin, load_phrases_dict

load_phrases_dict(
    {
        "一下": [["yí"], ["xià"]],
        "一样": [["yí"], ["yàng"]],
        "一段": [["yí"], ["duàn"]],
        "山行": [["shān"], ["xíng"]],
        "一半": [["yí"], ["bàn"]],
    }
)
SANDHI_STOP = set("，。、；：？！“”《》0123456789")


def spoken() -> list[str]:
    """Every Chinese sentence that the library speaks."""
    out: dict[str, None] = {}
    for lesson in load_all():
        for film in lesson.list("film"):
            for scene in film["scene"]:
                if scene.get("voice") != "en":
                    out.update(dict.fromkeys(words_of(x) for x in scene["say"]))
        for poem in lesson.list("poem"):
            author = poem["author"].replace("[", "").replace("] ", "代诗人，")
            out.update(dict.fromkeys([poem["name"] + "。", author + "。"]))
            out.update(dict.fromkeys(x + "。" for x in poem["lines"]))
    return list(out)


def reading(words: str) -> str:
    """A first guess at the pinyin: tone figures, the sandhi of 一 and 不, punctuation as pauses."""
    parts = lazy_pinyin(words, style=Style.TONE3, neutral_tone_with_five=True)
    out: list[str] = []
    chars = list(words)
    if len(parts) != len(chars):
        parts = [p for c in words for p in lazy_pinyin(c, style=Style.TONE3, neutral_tone_with_five=True)]
    for n, (c, p) in enumerate(zip(chars, parts, strict=True)):
        follows = parts[n + 1] if n + 1 < len(parts) else ""
        before = chars[n - 1] if n else ""
        if c == "一" and before not in "第十之二三四八的是" and follows[-1:] in "1234" and follows:
            p = "yi2" if follows.endswith("4") else "yi4"
        elif c == "不" and follows.endswith("4"):
            p = "bu2"
        if c in "，、；：":
            out.append(",")
        elif c in "。？！":
            out.append(".")
        elif c not in "“”《》":
            out.append(p)
    return " ".join(out).replace(" ,", ",").replace(" .", ".")


def main() -> None:
    """Adds what is missing and drops what is no longer spoken."""
    old = {}
    if READINGS.exists():
        old = dict(line.split("\t") for line in READINGS.read_text("utf-8").splitlines() if line)
    rows = [f"{words}\t{old.get(words) or reading(words)}" for words in spoken()]
    READINGS.write_text("\n".join(rows) + "\n", "utf-8")
    print(len(rows), "sentences")


if __name__ == "__main__":
    main()
