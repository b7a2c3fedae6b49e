"""Words in the board's language: Chinese as written in the source, others by gettext."""

from __future__ import annotations

import functools
import gettext as gnu
from pathlib import Path

from flask import Flask, g, has_request_context, request

LOCALE = Path(__file__).parent / "locale"
LANGUAGES = {"zh": "zh-CN", "en": "en"}
COOKIE = "lang"


@functools.cache
def _catalogue(language: str) -> gnu.NullTranslations:
    return gnu.translation("messages", LOCALE, languages=[language], fallback=language == "zh")


def language() -> str:
    """The language of the page being made."""
    return str(g.language) if has_request_context() and hasattr(g, "language") else "zh"


def gettext(text: str) -> str:
    """`text` (Chinese) in the page's language."""
    return _catalogue(language()).gettext(text)


def ngettext(one: str, many: str, number: int) -> str:
    """As gettext, by number."""
    return _catalogue(language()).ngettext(one, many, number)


def N_(text: str) -> str:
    """Mark a word for the catalogue that is translated where it is shown."""
    return text


def install(app: Flask, default: str) -> None:
    """Choose the language of each request (`?lang=`, then the cookie, then `default`) and give it to
    templates.
    """
    app.jinja_env.add_extension("jinja2.ext.i18n")
    app.jinja_env.install_gettext_callables(gettext, ngettext, newstyle=True)  # type: ignore[attr-defined]

    @app.before_request
    def choose() -> None:
        wished = request.args.get("lang", "")
        kept = request.cookies.get(COOKIE, "")
        g.language = next((name for name in (wished, kept, default) if name in LANGUAGES), "zh")
        g.keep_language = wished in LANGUAGES and wished != kept
