"""What a start of web loads and keeps: nothing that few pages need, templates compiled once."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from urllib.parse import quote

import jinja2
import pytest
from flask import Flask, url_for
from hypothesis import given
from hypothesis import strategies as st

from appliance.web import addresses, areas
from appliance.web.api import file_url
from appliance.web.compiled import Compiled

LATER = {where.partition(":")[0] for area in areas.AREAS.values() for where in area} - {"progress"}
#: Each cost memory and time at every start while one page or none needed it.
RARE = ("psutil", "segno", "cryptography", "requests", "tuf", "libtorrent", "zeroconf", "pypinyin", "opencc",
        "defusedxml", "xml.etree.ElementTree", "gunicorn.arbiter", "appliance.web.quiz",
        "content_sync.engine", "appliance.usage.outbox", "appliance.web.search.build",
        "appliance.web.sharing", *(f"appliance.web.{module}" for module in LATER))  # fmt: skip


def test_a_start_loads_nothing_that_few_pages_need() -> None:
    code = "import sys, appliance.cli, appliance.web.starting, appliance.web.wiring; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(RARE) & set(done.stdout.split())


@pytest.mark.parametrize(("where", "rules"), [item for area in areas.AREAS.values() for item in area.items()])
def test_the_views_of_areas_are_there(where: str, rules: tuple[tuple[str, ...], ...]) -> None:
    module, name = where.split(":")
    views = getattr(import_module(f"appliance.web.{module}"), name)
    for _address, endpoint, _methods, *other in rules:
        assert callable(getattr(views, other[0] if other else endpoint))


def test_what_is_made_later_is_made_once_and_after_a_failure_again() -> None:
    made: list[object] = []

    def make() -> object:
        made.append(object())
        if len(made) == 1:
            raise OSError("not now")
        time.sleep(0.05)
        return made[-1]

    later = areas.Later(make)
    with pytest.raises(OSError, match="not now"):
        later.get()
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda _: later.get(), range(8)))
    assert got == [made[1]] * 8 and len(made) == 2


def environment(folder: Path, **templates: str) -> jinja2.Environment:
    return jinja2.Environment(loader=jinja2.DictLoader(templates), bytecode_cache=Compiled(folder))


def test_templates_are_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "compiled"
    assert environment(folder, a="{{ 1 + n }}").get_template("a").render(n=1) == "2"
    with monkeypatch.context() as patched:
        patched.setattr(jinja2.Environment, "compile", lambda *_: pytest.fail("compiled again"))
        assert environment(folder, a="{{ 1 + n }}").get_template("a").render(n=2) == "3"
    assert environment(folder, a="{{ 2 + n }}").get_template("a").render(n=2) == "4"
    assert len(list(folder.iterdir())) == 1


@pytest.mark.parametrize("cut", [0, 10, 40, 100, -1])
def test_what_power_has_cut_is_not_believed(tmp_path: Path, cut: int) -> None:
    environment(tmp_path, a="{{ n }}!").get_template("a")
    (kept,) = tmp_path.iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(whole[:cut] + bytes(len(whole) - len(whole[:cut])))
    assert environment(tmp_path, a="{{ n }}!").get_template("a").render(n=2) == "2!"
    assert kept.read_bytes() == whole


def test_where_nothing_can_be_written_templates_are_compiled_each_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert environment(tmp_path / "file", a="{{ n }}").get_template("a").render(n=2) == "2"


def test_addresses_are_those_of_flask() -> None:
    rules = ("/", "/a/<rule>", "/b/<values>/<path:self>", "/c/<int:number>")
    found = []
    for kind in (Flask.url_rule_class, addresses.LazyRule):
        app = Flask(__name__, static_folder=None)
        app.url_rule_class = kind
        for rule in rules:
            app.add_url_rule(rule, rule, lambda **_: "")
        with app.test_request_context("/x/"):
            for _ in range(2):
                found.append([
                    url_for("/"), url_for("/", more="1 2"), url_for("/a/<rule>", rule="古诗 /?", page=2),
                    url_for("/c/<int:number>", number=7, rule="r", append="s"),
                    *(app.url_map.bind("h").build(rules[2], {"values": "v", "self": "x/y"}) for _ in "12"),
                ])  # fmt: skip
    assert all(one == found[0] for one in found)


@given(st.text(st.characters(codec="utf-8", exclude_characters="/"), max_size=40))
def test_a_files_address_is_quoted_as_ever(name: str) -> None:
    assert file_url("ab", f"a/{name}") == f"/content/ab/{quote(name, safe='')}"
