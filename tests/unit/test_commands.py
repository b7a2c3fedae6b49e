"""What every command has in common (contract.md): `--data`, `--help`, exit codes, the error line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from appliance.cli import cli as lessonbox
from content_sync import terminal
from county.cli import cli as county

GROUPS = {"lessonbox": lessonbox, "county": county}


def commands(group: click.Group, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


COMMANDS = [path for prog, group in GROUPS.items() for path in commands(group, (prog,))]


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr("sys.argv", list(words))
    return terminal.run(GROUPS[words[0]], words[0])


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_helps_and_takes_its_data_folder_from_the_root_on(
    path: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # ffprobe and LibreOffice run in other folders: a relative --data would name nothing there.
    monkeypatch.chdir(tmp_path)
    command: click.Command = GROUPS[path[0]]
    for name in path[1:]:
        assert isinstance(command, click.Group)
        command = command.commands[name]
    (data,) = (parameter for parameter in command.params if parameter.name == "data")
    context = click.Context(command)
    for given in ("c", "./c/", str(tmp_path / "c")):
        assert data.process_value(context, given) == tmp_path / "c"
    assert run(monkeypatch, *path, "--help") == terminal.DONE
    assert "--data DIRECTORY" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        ("county", "frob"),
        ("county", "init"),
        ("county", "init", "--name", "县", "--url", "nonsense"),
        ("county", "init", "--name", "", "--url", "http://127.0.0.1"),
        ("county", "publish", "/there/is/no/such/folder"),
        ("county", "stats", "--from", "2026-02-30", "--to", "2026-03-01"),
        ("county", "serve", "--listen", "80"),
        ("lessonbox", "import"),
        ("lessonbox", "status", "--frob"),
        ("lessonbox", "run", "--listen", "0.0.0.0:65536"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_one_line_and_exit_2(
    words: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COUNTY_DATA", str(tmp_path / "new"))
    monkeypatch.setenv("LESSONBOX_DATA", str(tmp_path / "new"))
    assert run(monkeypatch, *words) == terminal.USAGE
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("error E-USAGE: ") and err.count("\n") == 1
    assert not (tmp_path / "new").exists()
