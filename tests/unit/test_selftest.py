"""The self-test of a training as the browser counts it."""

from __future__ import annotations

from flask import Flask
from werkzeug.wrappers import Response

from appliance.web import selftest

TAP, OTHER = "a" * 16, "b" * 16


def after(cookie: str, tap: str, number: int, right: bool, quiz: str = "1-2-3.r4") -> str:
    """The cookie after a question was answered."""
    with Flask("x").test_request_context(headers={"Cookie": f"selftest={cookie}"}):
        response = Response()
        selftest.answered(response, tap, quiz, number, right)
        told = response.headers.get("Set-Cookie", "")
        return told.partition("=")[2].partition(";")[0] if told else cookie


def figures(cookie: str, tap: str) -> tuple[int, int]:
    with Flask("x").test_request_context(headers={"Cookie": f"selftest={cookie}"}):
        return selftest.figures(tap)


def test_the_first_answer_counts_under_its_own_tap() -> None:
    cookie = ""
    for number, right in ((1, True), (2, False), (2, True), (200, True)):
        cookie = after(cookie, TAP, number, right)
    assert figures(cookie, TAP) == (3, 2) and figures(cookie, OTHER) == (0, 0)
    cookie = after(after(cookie, OTHER, 1, True), TAP, 1, True, "1-2-3.r5")
    assert figures(cookie, TAP) == (4, 3) and figures(cookie, OTHER) == (1, 1)
    for n in range(9):
        cookie = after(cookie, TAP, 1, True, f"quiz.r{n}")
    assert figures(cookie, TAP) == (4, 4), "the four last quizzes"


def test_a_cookie_of_somebodys_own_making_is_nothing() -> None:
    for bad in ("x", "~~~", f"{TAP}-zz-1-q", f"{TAP}-{'f' * 65}-1-q", "a" * 4000):
        assert figures(bad, TAP) == (0, 0)
    assert figures(f"{TAP}-2-ff-q", TAP) == (1, 1), "never more solved than tried"
    assert after("", TAP, 1, True, "a;b") == ""
