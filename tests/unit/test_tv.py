"""The box's own screen: what display and sound there are, and the command that shows the lessons."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.tv import begin_anew, connected, draws, kiosk, sound
from appliance.tv_watch import Watch
from content_sync.errors import SetupError

ELD = "monitor_present\t\t{0}\neld_valid\t\t{0}\nmonitor_name\t\tSONY TV\n"


def output(drm: Path, name: str, status: str) -> None:
    (drm / name).mkdir(parents=True)
    (drm / name / "status").write_text(f"{status}\n")


def test_only_outputs_with_a_display_count(tmp_path: Path) -> None:
    output(tmp_path, "card1-HDMI-A-1", "disconnected")
    output(tmp_path, "card1-HDMI-A-2", "connected")
    output(tmp_path, "card1-DP-1", "unknown")
    assert connected(tmp_path) == ["card1-HDMI-A-2"]
    assert connected(tmp_path / "none") == []
    assert not draws(tmp_path)
    (tmp_path / "renderD128").mkdir()
    assert draws(tmp_path)


def card(asound: Path, number: int, name: str, **elds: bool) -> None:
    folder = asound / f"card{number}"
    folder.mkdir(parents=True)
    (folder / "id").write_text(f"{name}\n")
    (asound / name).symlink_to(folder.name)
    for eld, there in elds.items():
        file = folder / eld.replace("eld", "eld#").replace("_", ".")
        file.write_text(ELD.format(int(there)))


def test_sound_goes_where_the_display_hears(tmp_path: Path) -> None:
    card(tmp_path, 0, "PCH", eld2_0=False, eld2_1=True)
    assert sound(["card0-DP-1"], tmp_path) == "plug:SLAVE='hdmi:CARD=PCH,DEV=1'"
    other = tmp_path / "silent"
    card(other, 0, "PCH", eld2_0=False)
    assert sound(["card0-HDMI-A-1"], other) == ""
    assert sound([], tmp_path / "none") == ""


def test_a_pi_has_a_sound_card_for_each_socket(tmp_path: Path) -> None:
    card(tmp_path, 0, "vc4hdmi0")
    card(tmp_path, 1, "vc4hdmi1")
    assert sound(["card1-HDMI-A-2"], tmp_path) == "plug:SLAVE='hdmi:CARD=vc4hdmi1'"
    assert sound(["card1-Composite-1"], tmp_path) == ""


def test_a_browser_begins_anew_and_knows_its_room(tmp_path: Path) -> None:
    default = tmp_path / "Default"
    (default / "Cache").mkdir(parents=True)
    (default / "Cache" / "entry").write_text("x")
    for name in ("Cookies", "Cookies-journal", "Preferences"):
        (default / name).write_text(name)
    (tmp_path / "Local State").write_text("{}")
    (tmp_path / "SingletonLock").symlink_to("another-box-1234")
    begin_anew(tmp_path)
    assert {path.name for path in tmp_path.rglob("*")} == {"Default", "Cookies", "Cookies-journal"}
    begin_anew(tmp_path / "none")


def test_the_command(tmp_path: Path) -> None:
    def which(name: str) -> str | None:
        return f"/usr/bin/{name}" if name in ("chromium", "cage") else None

    bare = kiosk("http://127.0.0.1/tv", tmp_path, {}, which=which)
    assert bare[0] == "/usr/bin/cage" and bare[bare.index("--") + 1] == "/usr/bin/chromium"
    assert bare[-1] == "http://127.0.0.1/tv" and "--ozone-platform=wayland" in bare
    assert not any(
        word.startswith(("--disable-gpu", "--alsa", "--disk-cache", "--no-sandbox")) for word in bare
    )
    assert {"--remote-debugging-pipe", "--ipc-connection-timeout=600"} < set(bare)
    assert "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1" in bare
    unit = kiosk("u", tmp_path, {"RUNTIME_DIRECTORY": "/run/tv"}, drawn=False, speakers="plug:x", which=which)
    assert {"--disable-gpu", "--alsa-output-device=plug:x", "--disk-cache-dir=/run/tv/cache"} <= set(unit)
    assert kiosk("u", tmp_path, {"DISPLAY": ":0"}, which=which)[0] == "/usr/bin/chromium"
    with pytest.raises(SetupError, match="cage"):
        kiosk("u", tmp_path, {}, which=lambda name: which(name) if name == "chromium" else None)
    with pytest.raises(SetupError, match="chromium"):
        kiosk("u", tmp_path, {}, which=lambda _: None)


def test_a_browser_without_a_page_is_helped_and_then_given_up() -> None:
    watch = Watch(0.0)
    assert [watch.look(None, now) for now in (10.0, 300.0)] == ["", ""]  # a slow one comes up still
    assert [watch.look(False, now) for now in (310.0, 360.0, 371.0)] == ["", "", "open"]
    assert [watch.look(False, now) for now in (440.0, 492.0)] == ["", "open"]  # twice as long
    assert watch.look(True, 500.0) == ""
    assert [watch.look(False, now) for now in (510.0, 571.0)] == ["", "open"]
    assert [watch.look(None, now) for now in (1399.0, 1401.0)] == ["", "end"]
