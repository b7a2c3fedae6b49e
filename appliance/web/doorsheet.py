"""The sheet for the classroom's door: how a board or a phone gets to the box, on one page of paper."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import g, render_template, request

from appliance.web.remote import lan_address, qr
from appliance.web.views import Views


class DoorSheet(Views):
    """Everyone may print it: it says what everyone in the school may know."""

    def sheet(self) -> str:
        """The code leads to the number, which every device understands; the name is shorter to type."""
        number = lan_address(request.environ) or request.host_url.rstrip("/")
        name = self.board.status().get("address") or ""
        port = urlsplit(number).port
        named = f"http://{name}{f':{port}' if port else ''}/" if name else ""
        return render_template(
            "school_door.html",
            code=qr(number + "/"),
            number=number + "/",
            named=named,
            wifi=self.board.wifi,
            school=self.reader.meta("school_name") or "",
            box=self.reader.meta("box") or "",
            room=g.place.room.name if g.place.room is not None else "",
        )
