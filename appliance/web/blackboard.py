"""The teaching tools, and the blackboard on its own, without a lesson."""

from __future__ import annotations

from flask import render_template, request

from appliance.web.views import Views

#: What it may be ruled with; the first is none.
RULES = ("plain", "tian", "square", "four", "staff")


class Blackboard(Views):
    """Their pages. What is drawn, counted or picked stays in the browser."""

    def blackboard(self) -> str:
        """The page."""
        rule = request.args.get("rule", "")
        return render_template("blackboard.html", rule=rule if rule in RULES else RULES[0])

    def kit(self) -> str:
        """The teaching tools, as a part that a page fetches when a teacher first takes one."""
        return render_template("kit.html")
