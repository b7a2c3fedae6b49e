"""The page for who stands before the box with a telephone: no PIN, no network, a number to read out."""

from __future__ import annotations

import logging
from importlib.metadata import version

from flask import Response, abort, render_template

from appliance.health.faults import WELL, fault_of, spoken, urgency
from appliance.web import troubles
from appliance.web.remote import qr
from appliance.web.views import Guarded
from content_sync.errors import LessonBoxError

log = logging.getLogger(__name__)
_SHOWN = 4


class Help(Guarded):
    """Says what is worst in a short number and a code to scan; the diagnosis itself wants the PIN."""

    def page(self) -> str:
        """The number, what it means, and the code."""
        text = ""
        try:
            from appliance.health.bundles import summary  # rare, and heavy

            status = self.board.status()
            found = status["problems"]
            text = summary(status, version("lessonbox"))
        except LessonBoxError as error:  # where nothing else can be read, this page still says so
            log.error("status: %s", error.line())
            found = [{"code": error.code, "subject": "status", "message": error.what, "since": 0}]
        listed: dict[str, tuple[str, troubles.Fix]] = {}
        for problem in sorted(found, key=lambda p: urgency(p["code"])):
            listed.setdefault(problem["code"], (fault_of(problem["code"]), troubles.fix(problem)))
        codes = [number for number, _ in listed.values()]
        return render_template(
            "help.html",
            worst=next(iter(listed.values()), None),
            number=codes[0] if codes else spoken(WELL),
            others=list(listed.values())[1 : 1 + _SHOWN],
            more=max(0, len(listed) - 1 - _SHOWN),
            code=qr(text or f"LESSONBOX\nfault={' '.join(codes)}"),
            enrol="E-UNENROLLED" in listed,
        )

    def diagnosis(self) -> Response:
        """The zip for the county's technician."""
        self.guard.require()
        if self.board.diagnosis is None:
            abort(404)
        answer = Response(self.board.diagnosis(), mimetype="application/zip")
        answer.headers["Content-Disposition"] = 'attachment; filename="lessonbox-diagnosis.zip"'
        return answer
