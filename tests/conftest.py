"""What every test shares: markers that ask for root, a browser or a program; in CI a skip is a failure."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Generator
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, settings

IN_CI = bool(os.environ.get("CI"))
ROOT = Path(__file__).resolve().parent.parent
MEMORY = Path("/dev/shm")
#: No test is about how fast this machine is: it may be shared.
settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")


def pytest_configure(config: pytest.Config) -> None:
    """Folders of tests lie in memory, where there is plenty: many tests did little but wait for the disk.
    What boots and cuts the power (tests/image) has gigabytes, and stays on the disk."""
    images = ROOT / "tests" / "image"
    asked = [Path(arg.partition("::")[0]).resolve() for arg in config.args]
    whole = any(images.is_relative_to(path) for path in asked) and not config.getoption("ignore")
    if whole or any(path.is_relative_to(images) for path in asked) or not os.access(MEMORY, os.W_OK):
        return
    if os.statvfs(MEMORY).f_flag & os.ST_NOEXEC:  # some containers: scripts of tests would not start there
        return
    if min(shutil.disk_usage(MEMORY).free, psutil.virtual_memory().available) > 4 << 30:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip, with the reason, what this machine cannot run."""
    if item.get_closest_marker("root") and os.geteuid() != 0:
        pytest.skip("needs root")
    if item.get_closest_marker("browser") and not shutil.which("chromium"):
        pytest.skip("needs Debian's chromium")
    for marker in item.iter_markers("needs"):
        absent = [command for command in marker.args if not shutil.which(command)]
        if absent:
            pytest.skip(f"needs {', '.join(absent)}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In CI what depends on a real browser or a real line may try once more: two cores are shared.
    A second try is printed (RERUN) and counted in the closing line; what is broken fails twice."""
    for item in items:
        if IN_CI and (item.get_closest_marker("browser") or item.path.parent.name == "net"):
            item.add_marker(pytest.mark.flaky(reruns=1))


_Report = pytest.TestReport | pytest.CollectReport


def _fail_skips(report: _Report) -> _Report:
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"CI skips nothing, and this was skipped: {reason}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, _Report, _Report]:
    """In CI a skipped test is a failure: a missing tool must not pass for a green run."""
    return _fail_skips((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, _Report, _Report]:
    """The same for a whole file that skips itself."""
    return _fail_skips((yield))


@pytest.fixture
def free_port() -> Callable[[], int]:
    """A function that gives a TCP port of the loopback that nothing uses at that moment."""
    from tests.e2e import programs

    return programs.free_port


@pytest.fixture
def wait_until() -> Callable[..., None]:
    """A function that waits for a condition: wait_until(check, seconds, what)."""

    def wait(check: Callable[[], object], seconds: float = 60, what: str = "condition") -> None:
        deadline = time.monotonic() + seconds
        while not check():
            assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
            time.sleep(0.05)

    return wait


@pytest.fixture
def disk_path() -> Generator[Path, None, None]:
    """A folder on the disk, for what is about the disk itself."""
    with tempfile.TemporaryDirectory(prefix="lesson-box-") as made:
        yield Path(made)


@pytest.fixture
def memory_path(tmp_path: Path) -> Generator[Path, None, None]:
    """A folder whose fsyncs cost nothing, where the machine has a file system in memory: thousands of small
    lives are lived there."""
    if not os.access(MEMORY, os.W_OK) or shutil.disk_usage(MEMORY).free < 1 << 30:
        yield tmp_path
        return
    made = Path(tempfile.mkdtemp(prefix="lesson-box-", dir=MEMORY))
    yield made
    shutil.rmtree(made, ignore_errors=True)
