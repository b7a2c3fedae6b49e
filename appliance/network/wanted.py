"""What box.toml asks of the network, checked: nothing of it may be taken for something else later."""

from __future__ import annotations

import re

from msgspec import Struct

from appliance.network import hotspot
from appliance.network.lines import parse_uplinks
from content_sync.errors import SettingError
from content_sync.formats.enrolment import Enrolment
from content_sync.formats.hotspot import hotspot_name, hotspot_password, psk
from content_sync.settings import Settings

#: Said instead of a password by who wants a Wi-Fi that everyone may use.
OPEN = "open"
_SHARE = re.compile(r"//[A-Za-z0-9][A-Za-z0-9._-]{0,252}(?:/[^/\\,\x00-\x1f\x7f]{1,100}){1,8}")


def check_network(settings: Settings) -> None:
    """Raises SettingError for what cannot be."""
    parse_uplinks(settings.texts("uplinks"))
    name, password = settings.text("hotspot_name"), settings.text("hotspot_password")
    if len(name.encode()) > 32 or not name.isprintable():
        raise SettingError("hotspot_name has at most 32 bytes")
    if password not in ("", OPEN) and not (8 <= len(password) <= 63 and _plain(password)):
        raise SettingError("hotspot_password has 8 to 63 ASCII characters")
    if not re.fullmatch(r"[A-Z]{2}", settings.text("wifi_country")):
        raise SettingError("wifi_country is two letters, like CN")
    share = settings.text("receiver_share")
    if share and not _SHARE.fullmatch(share):
        raise SettingError("receiver_share is not like //192.168.1.20/recv")
    for one in ("receiver_user", "receiver_password", "share_password"):
        text = settings.text(one)
        if len(text) > 120 or not text.isprintable() or text != text.strip():
            raise SettingError(f"{one} has at most 120 characters on one line")


def _plain(text: str) -> bool:
    return text.isascii() and text.isprintable()


class Wifi(Struct, frozen=True):
    """The own Wi-Fi. `password`: empty when it is open."""

    name: str
    password: str
    country: str

    @property
    def key(self) -> str:
        """See formats/hotspot.py; empty when it is open."""
        return psk(self.password, self.name) if self.password else ""

    @property
    def code(self) -> str:
        """What a telephone's camera takes for this Wi-Fi."""
        name, password = (re.sub(r'([\\;,:"])', r"\\\1", text) for text in (self.name, self.password))
        return f"WIFI:T:WPA;S:{name};P:{password};;" if password else f"WIFI:T:nopass;S:{name};;"


def wifi(settings: Settings, enrolment: Enrolment | None) -> Wifi | None:
    """The own Wi-Fi as it would be; None: nobody said a password, and it is never open unasked."""
    password = settings.text("hotspot_password") or (hotspot_password(enrolment) if enrolment else "")
    if not password or settings.text("hotspot") == hotspot.OFF:
        return None
    name = settings.text("hotspot_name") or hotspot_name(enrolment.box if enrolment else "box")
    return Wifi(name, "" if password == OPEN else password, settings.text("wifi_country"))
