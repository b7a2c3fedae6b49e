"""The county's web application: files, tracker, web seed, reports, pages. One JSON shape for errors."""

from __future__ import annotations

import logging

from flask import Flask, Response, jsonify
from werkzeug.exceptions import HTTPException

from content_sync import errors
from content_sync.errors import LessonBoxError
from county.distribute import announces, files
from county.distribute.visitors import Proxied, parse_networks
from county.receive import routes
from county.services import Services
from county.web import pages

log = logging.getLogger(__name__)
_STATUS: tuple[tuple[type[LessonBoxError], int], ...] = (
    (errors.TooBigError, 413),
    (errors.FormatError, 400),
    (errors.SignatureError, 401),
    (errors.EnrolError, 403),
    (errors.TokenError, 403),
    (errors.TooManyError, 429),
    (errors.SequenceConflictError, 409),
    (errors.NotFoundError, 404),
)


def _error(status: int, code: str, message: str) -> Response:
    answer: Response = jsonify(error={"code": code, "message": message})
    answer.status_code = status
    answer.headers["Cache-Control"] = "no-store"
    if status in (429, 503):
        answer.headers["Retry-After"] = "5"
    return answer


def _named_error(error: LessonBoxError) -> Response:
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    if error.retryable and status == 500:
        status = 503
    if status >= 500:
        log.error("%s", error.line())
    return _error(status, error.code, error.what)


def _http_error(error: HTTPException) -> Response:
    status = error.code or 500
    by_status = {404: "E-NOT-FOUND", 413: "E-TOO-BIG"}
    code = by_status.get(status, "E-FORMAT" if status < 500 else "E-INTERNAL")
    answer = _error(status, code, error.description or error.name)
    for name, value in error.get_headers():
        if name in ("Allow", "Retry-After"):
            answer.headers[name] = value
    return answer


def create_app(services: Services) -> Flask:
    """A WSGI application over `services`."""
    app = Flask(__name__, static_folder=None)
    app.url_map.merge_slashes = False
    app.register_error_handler(LessonBoxError, _named_error)
    app.register_error_handler(HTTPException, _http_error)

    @app.get("/healthz")
    def healthz() -> Response:
        answer: Response = jsonify(ok=True)
        answer.headers["Cache-Control"] = "no-store"
        return answer

    app.register_blueprint(files.blueprint(services))
    app.register_blueprint(announces.blueprint(services))
    app.register_blueprint(routes.blueprint(services))
    pages.attach(app, services)
    proxies = parse_networks(services.settings.texts("trusted_proxies"))
    app.wsgi_app = Proxied(app.wsgi_app, proxies)  # type: ignore[assignment, method-assign]
    return app
