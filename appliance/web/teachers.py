"""The list of teachers, behind the school's PIN."""

from __future__ import annotations

from flask import abort, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as Answer

from appliance.school.database import School
from appliance.school.teachers import check_pin, remove, save, set_pin, teachers
from appliance.web.views import OfSchool
from content_sync.errors import FormatError, NotFoundError, UsageError


class Teachers(OfSchool):
    """The page, and what its forms change."""

    def page(self) -> Answer:
        """The list; a POST changes one line of it."""
        school = self.school
        secret = self.guard.require()
        said, status = "", 200
        if request.method == "POST":
            try:
                self._change(school)
                return redirect(url_for("classes.teachers"), 303)
            except UsageError:
                said, status = "pin", 400
            except (FormatError, NotFoundError) as error:
                said, status = "same" if "has this name" in error.what else "name", 400
        page = render_template(
            "teachers.html",
            people=teachers(school, gone=True),
            secret=secret,
            said=said,
            typed=request.form if said else None,
        )
        return make_response(page, status)

    def _change(self, school: School) -> None:
        form, what = request.form, request.form.get("do", "")
        who = form.get("teacher", "")
        if what == "save":
            check_pin(form.get("pin", ""))  # before anything is kept
            made = save(school, form.get("name", ""), form.get("subjects", ""), who)
            if form.get("pin"):
                set_pin(school, made, form["pin"])
        elif what == "open":
            set_pin(school, who, "")
        elif what in ("remove", "back"):
            remove(school, who, what == "remove")
        else:
            abort(400)
