"""The county's pages: a login, and one plain page that says how things are. No script, rendered here."""

from __future__ import annotations

import hmac
import secrets
from datetime import timedelta

from flask import Flask, Response, redirect, render_template, request, session
from werkzeug.security import check_password_hash, generate_password_hash
from werkzeug.wrappers import Response as AnyResponse

from county.services import Services
from county.web.attempts import Attempts
from county.web.status import gather

_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
_MAX_FORM = 16_384


def attach(app: Flask, services: Services) -> None:
    """Add the pages to the application."""
    app.secret_key = services.secret
    app.static_folder = "web/static"
    app.template_folder = "web/templates"
    app.config.update(
        SESSION_COOKIE_NAME="county",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        PERMANENT_SESSION_LIFETIME=timedelta(hours=12),
    )
    app.add_url_rule("/static/<path:filename>", "static", app.send_static_file)
    attempts = Attempts()
    # A name that nobody has costs as long as a wrong password: names can't be probed.
    nobody = generate_password_hash(secrets.token_hex(8))

    def page(template: str, status: int = 200, **values: object) -> Response:
        body = render_template(template, county=services.settings.text("name"), token=_token(), **values)
        headers = {
            "Content-Security-Policy": _POLICY,
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "X-UA-Compatible": "IE=edge",
            "Referrer-Policy": "same-origin",
        }
        return Response(body, status, headers, mimetype="text/html")

    def signed_in() -> str | None:
        """The account, as long as its password is the one that was given."""
        name = session.get("staff")
        kept = services.library().staff_password(name) if isinstance(name, str) else None
        return name if kept is not None and session.get("password") == kept[-16:] else None

    def form_is_ours() -> bool:
        return hmac.compare_digest(request.form.get("token", "").encode(), session.get("token", "-").encode())

    @app.before_request
    def cap_forms() -> None:
        if request.endpoint in ("login", "logout"):
            request.max_content_length = _MAX_FORM

    @app.get("/")
    def home() -> Response:
        name = signed_in()
        if name is None:
            return page("login.html")
        return page("status.html", staff=name, **gather(services))

    @app.post("/login")
    def login() -> AnyResponse:
        address, now = request.remote_addr or "", services.clock.monotonic()
        wait = attempts.wait(address, now)
        if wait:
            answer = page("login.html", 429, message=f"试得太多了，请{_minutes(wait)}后再试。")
            answer.headers["Retry-After"] = str(wait)
            return answer
        if not form_is_ours():
            return page("login.html", 400, message="这一页放得太久了，请再登录一次。")
        name, given = request.form.get("name", "").strip()[:100], request.form.get("password", "")[:1000]
        kept = services.library().staff_password(name)
        if not check_password_hash(kept or nobody, given) or kept is None:
            attempts.wrong(address, now)
            return page("login.html", 403, message="名字或密码不对。", name=name)
        attempts.right(address)
        session.clear()
        session.permanent = True
        session["staff"], session["password"] = name, kept[-16:]
        return redirect("/", 303)

    @app.post("/logout")
    def logout() -> AnyResponse:
        if form_is_ours():
            session.clear()
        return redirect("/", 303)


def _token() -> str:
    if "token" not in session:
        session["token"] = secrets.token_hex(16)
    token: str = session["token"]
    return token


def _minutes(seconds: int) -> str:
    return f"{-(-seconds // 60)}分钟" if seconds >= 60 else f"{seconds}秒"
