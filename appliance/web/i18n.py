"""Words in the board's language: Chinese as written in the source, others by GNU gettext's catalogues.

A language is a folder of `locale/` with a catalogue (docs/languages.md). Two of its words say how pages are
made: `language-name` is what the language calls itself (name.txt beside the catalogue), `ltr` the
direction of its writing.
"""

from __future__ import annotations

import functools
import gettext as gnu
from contextvars import ContextVar
from pathlib import Path

from flask import Flask, g, request

LOCALE = Path(__file__).parent / "locale"
SOURCE = "zh"
COOKIE = "lang"
#: The language of the page being made. Asked some hundred times a page, so it does not stand in flask.g.
_SPOKEN: ContextVar[str] = ContextVar("language", default=SOURCE)


def found() -> dict[str, str]:
    """The languages that there are words in, Chinese first: folder -> what `lang` says on a page."""
    folders = sorted(path.parts[-3] for path in LOCALE.glob("*/LC_MESSAGES/messages.mo"))
    return {SOURCE: "zh-CN"} | {name: name.replace("_", "-") for name in folders if name != SOURCE}


LANGUAGES = found()


@functools.cache
def _catalogue(language: str) -> gnu.NullTranslations:
    return gnu.translation("messages", LOCALE, languages=[language], fallback=language == SOURCE)


def language() -> str:
    """The language of the page being made."""
    return _SPOKEN.get()


def speak(name: str) -> None:
    """Make the page in this language."""
    g.language = name
    _SPOKEN.set(name)


def gettext(text: str) -> str:
    """`text` (Chinese) in the page's language."""
    name = _SPOKEN.get()
    return text if name == SOURCE else _catalogue(name).gettext(text)


def ngettext(one: str, many: str, number: int) -> str:
    """As gettext, by number."""
    return _catalogue(_SPOKEN.get()).ngettext(one, many, number)


def N_(text: str) -> str:
    """Mark a word for the catalogue that is translated where it is shown."""
    return text


@functools.cache
def name_of(language: str) -> str:
    """What a language calls itself. It stands on every page: no reason to read all of a catalogue."""
    if language == SOURCE:
        return "中文"
    try:
        return (LOCALE / language / "LC_MESSAGES" / "name.txt").read_text("utf-8").strip()
    except FileNotFoundError:
        return _catalogue(language).gettext(N_("language-name"))


def right_to_left() -> bool:
    """Whether the page's language is written from the right."""
    return gettext(N_("ltr")) == "rtl"


def next_language() -> str:
    """The language that the page offers: from one to the next, and round."""
    names = list(LANGUAGES)
    return names[(names.index(language()) + 1) % len(names)]


def install(app: Flask, default: str) -> None:
    """Choose the language of each request (`?lang=`, then the cookie, then `default`) and give it to
    templates.
    """
    app.jinja_env.add_extension("jinja2.ext.i18n")
    app.jinja_env.install_gettext_callables(gettext, ngettext, newstyle=True)  # type: ignore[attr-defined]
    app.jinja_env.globals.update(
        languages=LANGUAGES, next_language=next_language, name_of=name_of, right_to_left=right_to_left
    )

    @app.before_request
    def choose() -> None:
        wished = request.args.get("lang", "")
        kept = request.cookies.get(COOKIE, "")
        speak(next((name for name in (wished, kept, default) if name in LANGUAGES), SOURCE))
        g.keep_language = wished in LANGUAGES and wished != kept

    @app.teardown_request
    def fall_silent(error: BaseException | None) -> None:
        speak(SOURCE)  # what is said outside of a request is of no reader's language
