"""box.toml as a person may have left it: every wrong value is named before anything is started."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from click.testing import CliRunner

from appliance.config import BOX_SETTINGS, county_urls, load_settings
from appliance.health.doctor import diagnose
from appliance.health.machine import Machine
from appliance.setting_file import change
from content_sync.adapters.clock import SystemClock
from content_sync.adapters.http import Answer
from content_sync.errors import NetworkError, SettingError
from content_sync.settings import Setting, toml_value
from county.config import COUNTY_SETTINGS


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('urls = ["ftp://x"]', "urls: "),
        ('urls = [""]', "urls: "),
        ('drop_folders = ["data/rx"]', "drop_folders: 'data/rx'"),
        ('drop_folders = [""]', "drop_folders: ''"),
        ('sources = ["floppy"]', "sources may hold drop, torrent, webseed"),
        ('host_name = "课箱"', "host_name"),
        ('host_name = "lesson.local"', "host_name"),
        ("torrent_port = true", "torrent_port"),
        ("threads = 7", "threads must be 8 to 1000"),
        ("\x00", "not TOML"),
    ],
)
def test_a_wrong_setting_is_named(line: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "box.toml").write_text(line, encoding="utf-8")
    with pytest.raises(SettingError, match=".") as caught:
        load_settings(tmp_path)
    assert said in caught.value.what


def test_a_setting_of_a_newer_version_is_passed_over_and_told(tmp_path: Path) -> None:
    """An update wrote it, was tried and gone back from: the box must not stay dark for it."""
    (tmp_path / "box.toml").write_text('frob = 1\nsources = ["drop"]\n', encoding="utf-8")
    assert load_settings(tmp_path).texts("sources") == ("drop",)
    assert change(tmp_path / "box.toml", {"host_name": "lesson-2"})
    assert "frob = 1" in (tmp_path / "box.toml").read_text("utf-8")
    checks = diagnose(tmp_path, SystemClock(), lambda proxy: Nobody(), Machine(tmp_path))
    found = {check.name: check for check in checks}
    assert found["settings"].code == "E-SETTING" and "frob" in found["settings"].message


class Nobody:
    """No line."""

    def ask(self, *words: object, **more: object) -> Answer:
        raise NetworkError("no line")


def test_right_settings_are_taken(tmp_path: Path) -> None:
    text = 'urls = ["http://县.example:8080/x/"]\ndrop_folders = ["/srv/rx"]\nsources = ["drop"]\n'
    (tmp_path / "box.toml").write_text(text, encoding="utf-8")
    settings = load_settings(tmp_path)
    assert county_urls(settings, ("http://a",)) == ("http://县.example:8080/x",)
    assert settings.texts("drop_folders") == ("/srv/rx",) and settings.texts("sources") == ("drop",)


@pytest.mark.parametrize(
    ("group", "table"), [("appliance.cli", BOX_SETTINGS), ("county.cli", COUNTY_SETTINGS)]
)
def test_help_names_every_setting(group: str, table: tuple[Setting, ...]) -> None:
    shown = CliRunner().invoke(importlib.import_module(group).cli, ["--help"]).output
    for setting in table:
        assert f"{setting.name} = {toml_value(setting.default)}" in shown
