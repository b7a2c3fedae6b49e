"""The box on its network: how it is found (Windows' Network folder, shortcuts for a board's desktop), and
behind the PIN its own Wi-Fi, the receiver's share and lines that only lead out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Protocol

from flask import Response, abort, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as Answer

from appliance.network import hotspot, ssdp
from appliance.network.lines import KINDS, Line
from appliance.network.minding import Told
from appliance.network.wanted import Wifi
from appliance.web.remote import lan_address
from appliance.web.views import Guarded
from content_sync.errors import SettingError
from content_sync.settings import Settings, Value

#: One clear pixel (GIF): that it can be loaded says that this box is there.
_PIXEL = bytes.fromhex(
    "47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b"
)
#: Where the first box of a LAN without DHCP is (images/files/etc/systemd/network).
_UNLEASED = "169.254.77.77"
_TEXTS = ("hotspot_name", "hotspot_password", "share_password", "receiver_share", "receiver_user",
          "receiver_password")  # fmt: skip
_FLAGS = ("share_drop", "share_smb1", "receiver_smb1")
#: Shown empty; sent empty they stay as they are, unless the box beside them is ticked.
_SECRETS = ("hotspot_password", "share_password", "receiver_password")


class Network(Protocol):
    """What the pages need of appliance.network.by_page.NetworkByPage."""

    device: str

    def settings(self) -> Settings:
        """As box.toml says now."""

    def told(self) -> Told | None:
        """What `lessonbox lan` sees."""

    def number_name(self) -> str:
        """`lesson-2` where this box is not the only one of that name."""

    def wifi(self) -> Wifi | None:
        """The own Wi-Fi as it would be."""

    def on_air(self) -> bool:
        """Whether it is there now."""

    def helped(self) -> bool:
        """Whether root's part can be asked for."""

    def change(self, values: Mapping[str, Value]) -> bool:
        """Change settings. Raises SettingError, StorageError, BusyError."""


class Lan(Guarded):
    """The pages."""

    @property
    def network(self) -> Network:
        """Ends the request with 404 where there is none."""
        if self.board.network is None:
            abort(404)
        return self.board.network

    # how it is found

    def description(self) -> Response:
        """For SSDP; its name says which box of which school."""
        school, box = self.reader.meta("school_name") or "", self.reader.meta("box") or ""
        told = self.network.told()
        name = " ".join(part for part in ("课箱", school, told.name if told else "") if part)
        text = ssdp.description(self.network.device, name, self._home(), box)
        return Response(text, content_type='text/xml; charset="utf-8"')

    def _home(self) -> str:
        return (lan_address(request.environ) or request.host_url.rstrip("/")) + "/"

    def here(self, device: str) -> Response:
        """A picture of nothing, if this is that box: so a shortcut knows who answers."""
        if device != self.network.device:
            abort(404)
        return Response(_PIXEL, content_type="image/gif")

    def shortcut(self) -> Response:
        """For a Windows desktop: one address."""
        text = f"[InternetShortcut]\r\nURL={self._home()}\r\n"
        return _saved(text, "application/octet-stream", "lesson.url")

    def finder(self) -> Response:
        """For any desktop: a page that looks where this box is now, by all its names and addresses."""
        home = self._home()
        port = home.rstrip("/").rpartition(":")[2]
        tail = f":{port}" if port.isdigit() else ""
        told = self.network.told()
        names = [self.board.status().get("address") or "", told.name if told else ""]
        hosts = [address for line in (told.lines if told else ()) for address in line.lan]
        homes = [
            home,
            *(f"http://{host}{tail}/" for host in (*hosts, *names, hotspot.ADDRESS, _UNLEASED) if host),
        ]
        text = render_template(
            "finder.html",
            homes=json.dumps(list(dict.fromkeys(homes))).replace("<", "\\u003c"),
            device=self.network.device,
            school=self.reader.meta("school_name") or "",
            home=home,
        )
        return _saved(text, "application/octet-stream", "lesson.html")

    # behind the PIN

    def page(self, said: str = "", status: int = 200) -> tuple[str, int]:
        """The settings of the network, and how it stands."""
        secret, network = self.guard.require(), self.network
        settings, told = network.settings(), network.told()
        uplinks = dict(text.split(None, 1) for text in settings.texts("uplinks"))
        known = {line.name: line for line in (told.lines if told else ())}
        return render_template(
            "school_lan.html",
            secret=secret,
            settings=settings,
            told=told,
            wifi=network.wifi(),
            on_air=network.on_air(),
            helped=network.helped(),
            lines=[known.get(name) or Line(name, False, ()) for name in sorted({*known, *uplinks})],
            uplinks=uplinks,
            modes=hotspot.MODES,
            kinds=KINDS,
            said=said,
            see="share" if request.values.get("see") == "share" or self._shares() else "",
        ), status

    @staticmethod
    def _shares() -> bool:
        return request.form.get("part", "") in ("share", "receiver")

    def change(self) -> Answer | tuple[str, int]:
        """Change them."""
        self.guard.require()
        form, settings = request.form, self.network.settings()
        part = form.get("part", "")
        values: dict[str, Value] = {}
        if part == "hotspot":
            values["hotspot"] = form.get("hotspot", "")
        if part == "lines":
            marks = ((name.removeprefix("line-"), kind) for name, kind in form.items() if name[:5] == "line-")
            values["uplinks"] = tuple(f"{name} {kind}" for name, kind in sorted(marks) if kind)
        names = [name for name in (*_TEXTS, *_FLAGS) if name.startswith(part + "_")] if part else []
        for name in names:
            text = form.get(name, "").strip()
            if name in _FLAGS:
                values[name] = text == "yes"
            elif name not in _SECRETS or text or form.get(f"no-{name}"):
                values[name] = text if name in _SECRETS or name in form else settings[name]
        if not values:
            abort(400)
        try:
            self.network.change(values)
        except SettingError as error:
            return self.page(error.what.partition(" ")[0].rstrip(":"), 400)
        return redirect(url_for("lan.page", see="share" if self._shares() else None), 303)


def _saved(text: str, kind: str, name: str) -> Response:
    answer = Response(text, content_type=kind)
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer
