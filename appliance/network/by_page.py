"""What the school's page does with the network, behind the PIN (web/lan.py): shows and changes box.toml, and
has root's part done anew."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from appliance.asked import ask_restart
from appliance.config import BoxPaths, load_settings, read_enrolment
from appliance.helped import Helper
from appliance.network.minding import Told, device_of_machine, on_air, read_lan
from appliance.network.wanted import Wifi, wifi
from appliance.setting_file import change
from content_sync.errors import LessonBoxError
from content_sync.settings import Settings, Value

#: What changes the own Wi-Fi, what root's part, and what sync has to begin anew for.
_AIR = ("hotspot_name", "hotspot_password", "wifi_country")
_ROOT = ("uplinks", "lan_gateway", "share_drop", "share_password", "share_smb1", "receiver_share",
         "receiver_user", "receiver_password", "receiver_smb1")  # fmt: skip
_SYNC = ("uplinks", "receiver_share", "metered")


class NetworkByPage:
    """web.lan.Network for the box whose data folder this is."""

    def __init__(self, data: Path, helper: Helper | None = None) -> None:
        self._data, self._paths, self._helper = data, BoxPaths(data), helper or Helper()
        self.device = device_of_machine()
        self._seen = 0, ""

    def settings(self) -> Settings:
        """As box.toml says now. Raises SetupError, SettingError."""
        return load_settings(self._data)

    def told(self) -> Told | None:
        """What `lessonbox lan` sees; None where it does not run."""
        return read_lan(self._paths.lan)

    def number_name(self) -> str:
        """`lesson-2` where this box is not the only one of that name; empty where it is. Cheap."""
        try:
            stamp = self._paths.lan.stat().st_mtime_ns
        except OSError:
            return ""
        if stamp != self._seen[0]:
            told = self.told()
            name = told.name if told is not None else ""
            self._seen = stamp, name if re.search(r"-\d+$", name) else ""
        return self._seen[1]

    def wifi(self) -> Wifi | None:
        """The own Wi-Fi as it would be; None: it has no password, or is off."""
        try:
            enrolment = read_enrolment(self._paths)
        except LessonBoxError:
            enrolment = None
        with suppress(LessonBoxError):
            return wifi(self.settings(), enrolment)
        return None

    def on_air(self) -> bool:
        """Whether it is there now."""
        return on_air()

    def helped(self) -> bool:
        """Whether root's part can be asked for."""
        return self._helper.there()

    def change(self, values: Mapping[str, Value]) -> bool:
        """Give settings other values and have them done; whether anything changed. Raises SettingError,
        StorageError, BusyError."""
        before = self.settings()
        changed = {name for name, value in values.items() if before[name] != value}
        if not change(self._paths.config, values):
            return False
        if changed & set(_SYNC):
            ask_restart(self._paths.incoming, "sync")
        if self._helper.there():
            if changed & set(_ROOT):
                self._helper.ask("network")
            if changed & set(_AIR) and on_air():
                self._helper.ask("hotspot-off")  # `lessonbox lan` has it begin anew
        return True
