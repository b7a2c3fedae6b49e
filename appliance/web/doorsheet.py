"""The sheet for the classroom's door: how a board or a phone gets to the box, on one page of paper."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from flask import g, render_template, request

from appliance.network import hotspot
from appliance.web.remote import lan_address, qr
from appliance.web.views import Guarded


class DoorSheet(Guarded):
    """Everyone may print it: it says what everyone in the school may know. The password of the box's own
    Wi-Fi stands on it only for who knows the PIN."""

    def own_wifi(self) -> dict[str, Any] | None:
        """The own Wi-Fi, where `lessonbox lan` would make one."""
        network = self.board.network
        found = network.wifi() if network is not None and network.told() is not None else None
        if found is None:
            return None
        shown = bool(self.guard.secret())
        return {
            "name": found.name,
            "password": found.password if shown else "",
            "locked": bool(found.password) and not shown,
            "code": qr(found.code) if shown else "",
            "address": f"http://{hotspot.ADDRESS}/",
        }

    def short(self, port: int | None) -> str:
        """`http://lesson/`, for boards that know no mDNS; empty where nobody answers for it."""
        told = self.board.network.told() if self.board.network is not None else None
        return f"http://{told.name}{f':{port}' if port else ''}/" if told is not None and told.name else ""

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
            own=self.own_wifi(),
            short=self.short(port),
            school=self.reader.meta("school_name") or "",
            box=self.reader.meta("box") or "",
            room=g.place.room.name if g.place.room is not None else "",
        )
