"""What both console scripts share: error lines and exit codes (contract.md), JSON output, progress."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from content_sync.errors import LessonBoxError, StorageError, UsageError
from content_sync.formats.token import hidden
from content_sync.remedies import line

DONE, FAILED, USAGE, INCOMPLETE = 0, 1, 2, 3


def chinese(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the person at this terminal reads Chinese: by the locale, on Windows by its own
    language."""
    said = next((environment[n] for n in ("LC_ALL", "LC_MESSAGES", "LANG") if environment.get(n)), "")
    if said or sys.platform != "win32":
        return said[:2] == "zh" and environment.get("TERM") != "linux"  # a bare console has no such letters
    import ctypes  # its windll is Windows' alone

    system = getattr(ctypes, "windll", None)
    return system is not None and system.kernel32.GetUserDefaultUILanguage() & 0x3FF == 0x04


class Tokenless(logging.Formatter):
    """Another formatter's lines, tracebacks too, without the tokens of tracker and web seed."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        """As logging.Formatter.format."""
        return hidden(self._inner.format(record))


def run(command: click.Command, prog: str) -> int:
    """Run a click command; an exit code. Errors become one line on stderr, never a traceback
    (LESSONBOX_DEBUG=1 shows it)."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Tokenless(logging.Formatter("%(levelname)s %(name)s: %(message)s")))
    logging.basicConfig(level=os.environ.get("LESSONBOX_LOG", "WARNING"), handlers=[handler])
    try:
        result = command.main(prog_name=prog, standalone_mode=False)
        return result if isinstance(result, int) else DONE
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()  # the command alone: what it can do
        return USAGE
    except click.ClickException as error:
        context = error.ctx if isinstance(error, click.UsageError) else None
        path = context.command_path if context else prog
        print(UsageError(f"{path}: {error.format_message()}").line(), file=sys.stderr)
        return USAGE
    except click.exceptions.Abort:
        return 130
    except LessonBoxError as error:
        if os.environ.get("LESSONBOX_DEBUG"):
            raise
        print(line(error, chinese()), file=sys.stderr)
        return USAGE if isinstance(error, UsageError) else FAILED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as error:
        if os.environ.get("LESSONBOX_DEBUG"):
            raise
        print(
            StorageError(f"{error.filename or ''} {error.strerror or error}".strip()).line(), file=sys.stderr
        )
        return FAILED
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if os.environ.get("LESSONBOX_DEBUG"):
            raise
        print(LessonBoxError(f"{type(error).__name__}: {error}").line(), file=sys.stderr)
        return FAILED


def absolute(_context: click.Context, _parameter: click.Parameter, path: Path) -> Path:
    """A click callback: the folder from the root on, since programs that are started run in other folders."""
    return path.absolute()


def absolute_or_none(_context: click.Context, _parameter: click.Parameter, path: Path | None) -> Path | None:
    """As `absolute`, of an option that may be left out."""
    return None if path is None else path.absolute()


def show(result: dict[str, Any], as_json: bool, text: Callable[[dict[str, Any]], str]) -> None:
    """Print a result: JSON on one line, or the text for people."""
    print(json.dumps(result, ensure_ascii=False, sort_keys=True) if as_json else text(result))


def size_text(number: float) -> str:
    """Bytes for people: 1.5 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" or number >= 100 else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


class Progress:
    """A bar of bytes or things on a terminal; elsewhere a plain line at each tenth."""

    def __init__(self, what: str, total: int, unit: str = "B") -> None:
        self.what, self.total, self.unit = what, max(total, 1), unit
        self.done = 0
        self._tenth = 0
        from tqdm import tqdm  # every program loads this module, few show a bar

        self._bar = (
            tqdm(total=total, desc=what, unit=unit, unit_scale=unit == "B", leave=True, dynamic_ncols=True)
            if sys.stderr.isatty()
            else None
        )

    def to(self, done: int) -> None:
        """Set how much is done."""
        step, self.done = done - self.done, done
        if self._bar is not None:
            self._bar.update(step)
            return
        tenth = 10 * done // self.total
        if tenth > self._tenth:
            self._tenth = tenth
            amount = size_text(done) if self.unit == "B" else f"{done} {self.unit}"
            print(f"{self.what}: {min(100, tenth * 10)}% ({amount})", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Finish the bar."""
        if self._bar is not None:
            self._bar.close()


def ticker(what: str, total: int) -> Callable[[int], None]:
    """A bar of lessons, as a function to tell how many are done."""
    bar = Progress(what, total, "lessons")

    def tick(done: int) -> None:
        bar.to(done)
        if done == total:
            bar.close()

    return tick


def show_exported(made: dict[str, Any], as_json: bool) -> int:
    """Print what `export` wrote (engine/export.py `Exported.plain`); the exit code."""
    for problem in made["problems"]:
        print(f"warning {problem['code']} {problem['subject']}: {problem['message']}", file=sys.stderr)
    show(made, as_json, _exported)
    if made["error"]:
        print(made["error"], file=sys.stderr)
    return INCOMPLETE if made["error"] or made["problems"] else DONE


def _exported(it: dict[str, Any]) -> str:
    return (
        f"release {it['release']}: {it['lessons']} of {it['asked']} lessons are on the stick,"
        f" {it['files']} files, {size_text(it['bytes'])}; written now {size_text(it['written'])}"
        + (f"; left over: {it['left_lessons']} lessons, {size_text(it['left_bytes'])}" if it["error"] else "")
    )
