"""Which part may import which (docs/design.md, Layout), held by reading every module's imports."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("content_sync", "appliance", "county")

# Standard modules that read, write, wait, or know the time: not for rules and formats.
IMPURE = (
    "os",
    "io",
    "time",
    "socket",
    "threading",
    "subprocess",
    "sqlite3",
    "tempfile",
    "shutil",
    "asyncio",
    "signal",
    "select",
    "selectors",
    "multiprocessing",
    "concurrent",
    "http",
    "urllib.request",
    "logging",
)
CHANCE = ("random", "secrets")


@dataclass(frozen=True)
class Rule:
    """Modules matching `who` import nothing but `may`, the standard library and RECORDS, and nothing of
    `never`."""

    who: str
    may: tuple[str, ...] = ("*",)
    never: tuple[str, ...] = ()


_F, _C, _P, _E = "content_sync.formats", "content_sync.core", "content_sync.ports", "content_sync.errors"
#: What makes every plain class (docs/decisions/0043); a rule needs not name it.
RECORDS = "msgspec"
RULES = (
    Rule("content_sync.errors", may=()),
    Rule("content_sync.settings", may=(_E,)),
    Rule("content_sync.formats*", may=(_F, _E), never=IMPURE),
    Rule("content_sync.core*", may=(_C, _F, _E), never=IMPURE + CHANCE),
    Rule("content_sync.ports", may=(_C, _F, _E, _P)),
    Rule(
        "content_sync.engine*",
        may=("content_sync.engine", _P, _C, _F, _E),
        never=("time", "threading", "signal"),
    ),
    Rule("content_sync.adapters*", never=("content_sync.engine", "content_sync.testing", "flask")),
    Rule("content_sync*", never=("flask", "gunicorn", "zeroconf", "appliance", "county")),
    Rule("appliance*", never=("county", "content_sync.testing")),
    Rule("county*", never=("appliance", "content_sync.testing")),
)
# One module in the whole wheel knows the library.
# Run by developers alone; what they need stands in the extra `test`.
DEVELOPER_TOOLS = {"appliance.web.catalogue": {"babel"}}
BROUGHT_BY_FLASK = {"werkzeug", "jinja2", "markupsafe"}
# Packages whose module has another name.
OTHER_NAMES = {"raptorq_wheel": "raptorq"}
ONCE = ("libtorrent", "watchdog", "requests", "raptorq")
# Programs: they loop, wait for signals and end. Everything else is called and returns.
PROGRAMS = (
    "content_sync.terminal",
    "appliance.__main__",
    "appliance.cli*",
    "appliance.helper",
    "appliance.update.program",
    "appliance.run",
    "appliance.sync_program",
    "appliance.programs*",
    "county.__main__",
    "county.cli*",
    "county.serve",
)
# Adapters with a life of their own: connections, threads, a file that they alone write.
ENGINES = tuple(
    f"content_sync.adapters.{name}"
    for name in ("libtorrent", "watchdog", "http", "objects", "sqlite_writer", "stash")
)
# Where they are made and handed to what needs them.
WIRING = ("appliance.wiring", "appliance.*.wiring", "county.wiring", "county.*.wiring")


def under(module: str, name: str) -> bool:
    """Whether `module` is `name` or lies in it."""
    return module == name or module.startswith(name + ".")


def imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every module (or name in a module) that the source imports, at whatever depth, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: write imports in full"
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def breaches(module: str, source: str) -> list[str]:
    """What in this module breaks a rule, one line each."""
    found = []
    tree = ast.parse(source)
    for rule in RULES:
        if not fnmatchcase(module, rule.who):
            continue
        for name, line in imports(tree):
            top = name.split(".")[0]
            standard = top in sys.stdlib_module_names or top in ("__future__", RECORDS)
            allowed = standard or "*" in rule.may or any(under(name, ok) for ok in rule.may)
            if not allowed or any(under(name, bad) for bad in rule.never):
                found.append(f"{module}:{line} imports {name} (rule for {rule.who})")
    if not any(fnmatchcase(module, program) for program in PROGRAMS):
        for name, line in imports(tree):
            if under(name, "signal"):
                found.append(f"{module}:{line} handles signals: only programs do")
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and _called(node) in (
                "time.sleep",
                "sleep",
                "input",
                "sys.exit",
                "exit",
            ):
                found.append(f"{module}:{node.lineno} calls {_called(node)}: only programs do")
    return found


def built(module: str, source: str) -> list[str]:
    """Adapters that a module of box or county makes, though only wiring and programs may."""
    if module.startswith("content_sync") or any(fnmatchcase(module, one) for one in (*PROGRAMS, *WIRING)):
        return []
    tree = ast.parse(source)
    adapters = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and any(under(node.module or "", one) for one in ENGINES)
        for alias in node.names
        if alias.name[0].isupper()
    }
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _called(node) in adapters]
    return [f"{module}:{node.lineno} makes a {_called(node)}: only wiring does" for node in calls]


def _called(node: ast.Call) -> str:
    if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
        return f"{node.func.value.id}.{node.func.attr}"
    return node.func.id if isinstance(node.func, ast.Name) else ""


def modules() -> list[tuple[str, Path]]:
    """Every module of the wheel: dotted name, file."""
    found = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found.append((".".join(parts[:-1] if parts[-1] == "__init__" else parts), path))
    return found


def test_imports() -> None:
    found = [line for name, path in modules() for line in breaches(name, path.read_text("utf-8"))]
    assert not found, "\n".join(found)


def test_only_wiring_builds_adapters() -> None:
    found = [line for name, path in modules() for line in built(name, path.read_text("utf-8"))]
    assert not found, "\n".join(found)
    made = "from content_sync.adapters.http import HttpFetcher\nfetcher = HttpFetcher()"
    assert built("county.web.pages", made) and not built("county.wiring", made)
    assert not built("county.web.pages", "from content_sync.adapters.http import HttpFetcher\nx: HttpFetcher")


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("content_sync.formats.lesson", "import flask"),
        ("content_sync.formats.lesson", "from content_sync.core import plan"),
        ("content_sync.core.plan", "from time import monotonic"),
        ("content_sync.core.plan", "def f():\n    import os"),
        ("content_sync.core.plan", "from content_sync import ports"),
        ("content_sync.ports", "from content_sync.adapters.files import write_durable"),
        ("content_sync.engine.sync", "from content_sync.adapters import libtorrent"),
        ("content_sync.engine.sync", "import requests"),
        ("content_sync.adapters.store", "from content_sync.engine.sync import Sync"),
        ("content_sync.adapters.http", "import zeroconf"),
        ("content_sync.settings", "from county.config import COUNTY_SETTINGS"),
        ("appliance.agent", "from county.receive import x"),
        ("county.web.pages", "import appliance"),
        ("appliance.web.app", "from content_sync.testing import FakeSwarm"),
        ("appliance.web.app", "import signal"),
        ("county.publish.tree", "import time\ntime.sleep(1)"),
        ("county.publish.tree", "input('?')"),
    ],
)
def test_the_checker_sees(module: str, source: str) -> None:
    assert breaches(module, source)


def test_the_checker_allows() -> None:
    assert not breaches(
        "content_sync.core.plan", "from msgspec import Struct\nfrom content_sync.formats import lesson"
    )
    assert not breaches(
        "content_sync.adapters.http", "import requests\nfrom content_sync.ports import Fetcher"
    )
    assert not breaches("appliance.cli", "import signal, time\ntime.sleep(1)")


def importers(library: str, sources: list[tuple[str, str]]) -> list[str]:
    """The modules that import the library."""
    return [
        name
        for name, source in sources
        if any(under(used, library) for used, _ in imports(ast.parse(source)))
    ]


@pytest.mark.parametrize("library", ONCE)
def test_one_import_of_each_engine(library: str) -> None:
    sources = [(name, path.read_text("utf-8")) for name, path in modules()]
    assert len(importers(library, sources)) == 1, importers(library, sources)


def test_importers_are_counted() -> None:
    assert importers(
        "requests", [("a", "import requests"), ("b", "from requests import get"), ("c", "")]
    ) == ["a", "b"]


def test_every_library_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    declared = {
        re.split(r"[<>=!~\[; ]", entry)[0].replace("-", "_").lower() for entry in project["dependencies"]
    }
    declared |= {OTHER_NAMES[name] for name in declared & OTHER_NAMES.keys()}
    known = declared | set(PACKAGES) | set(sys.stdlib_module_names) | {"__future__"} | BROUGHT_BY_FLASK
    for name, path in modules():
        used = {module.split(".")[0] for module, _ in imports(ast.parse(path.read_text("utf-8")))}
        used -= known | DEVELOPER_TOOLS.get(name, set())
        assert not used, f"{name} imports {used}: not in pyproject.toml"


def test_package_list_is_what_lies_on_disk() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]["packages"]
    on_disk = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
    }
    assert sorted(listed) == sorted(on_disk)


def package_files() -> set[str]:
    """Every file in the packages that git tracks or would track."""
    command = [
        "git",
        "-C",
        str(ROOT),
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
        *PACKAGES,
    ]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\0")
    return {name for name in listed if name and (ROOT / name).is_file()}


def test_wheel_holds_every_file(tmp_path: Path) -> None:
    """Templates, static files, SQL: all that lies in a package is in the wheel, and nothing else."""
    source, wanted = tmp_path / "source", package_files()
    for name in wanted | {"pyproject.toml", "LICENSE", "README.md"}:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, source / name)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(tmp_path), str(source)]
    subprocess.run(command, check=True, timeout=300)
    with zipfile.ZipFile(next(tmp_path.glob("lessonbox-*.whl"))) as wheel:
        held = set(wheel.namelist())
    assert not wanted - held
    assert any(name.endswith("/licenses/LICENSE") for name in held)
    assert {name for name in held if ".dist-info/" not in name} == wanted
