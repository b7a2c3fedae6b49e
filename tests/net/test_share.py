"""drop/ as a share: Samba's server with what is written for it, Samba's own client as the receiver's PC."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from appliance.config import BOX_SETTINGS
from appliance.network import shares
from content_sync.settings import Settings
from tests.e2e.programs import let_others_in, wait_until
from tests.net.lan import SchoolLan

pytestmark = [pytest.mark.root, pytest.mark.needs("ip", "smbd", "smbclient", "smbpasswd", "testparm")]
USER = "games"  # as the box has its user `lessonbox`: an account of the system that is not nobody
Client = Callable[..., "tuple[int, str]"]


@contextmanager
def offered(folder: Path, **values: object) -> Iterator[Client]:
    """smbd in a namespace; what carries out smbclient's commands on another machine there."""
    settings, drop, own = (
        Settings(BOX_SETTINGS, {"share_drop": True, **values}),
        folder / "drop",
        folder / "own",
    )
    for one in (drop, *(own / name for name in shares.FOLDERS)):
        one.mkdir(parents=True)
    subprocess.run(["chown", f"{USER}:", drop], check=True)
    let_others_in(folder)
    conf = folder / "smb.conf"
    conf.write_text(shares.smb_conf(settings, drop, own, USER))
    checked = subprocess.run(["testparm", "-s", conf], capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0 and "Unknown parameter" not in checked.stderr, checked.stderr
    if settings.text("share_password"):
        told = f"{settings.text('share_password')}\n" * 2
        subprocess.run(
            ["smbpasswd", "-c", conf, "-s", "-a", USER], input=told, text=True, check=True, timeout=60
        )
    lan = SchoolLan({"box": 1, "pc": 1})
    try:
        lan.start("box", "smbd", "--foreground", "--no-process-group", f"--configfile={conf}")

        def client(command: str, *more: str, share: str = "drop", who: str = "guest%") -> tuple[int, str]:
            words = [
                "smbclient",
                f"//{lan.addresses['box']}/{share}",
                "-U",
                who,
                "-s",
                "/dev/null",
                *more,
                "-c",
                command,
            ]
            done = subprocess.run(
                lan.inside("pc", words), capture_output=True, text=True, timeout=60, cwd=folder
            )
            return done.returncode, done.stdout + done.stderr

        wait_until(lambda: "CONNECTION_REFUSED" not in client("ls")[1], "smbd listens")
        yield client
    finally:
        lan.close()


def test_everyone_may_leave_files_there_and_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "课.ts").write_bytes(b"lesson" * 1000)
    (tmp_path / "secret").write_text("not yours")
    with offered(tmp_path) as client:
        done = client("put 课.ts; mkdir 一月; cd 一月; put 课.ts")
        assert done[0] == 0, done
        for name in ("课.ts", "一月/课.ts"):
            kept = tmp_path / "drop" / name
            assert kept.read_bytes() == b"lesson" * 1000 and kept.owner() == USER
        (tmp_path / "drop" / "out").symlink_to(tmp_path / "secret")
        assert "NT_STATUS" in client("get out stolen")[1] and not (tmp_path / "stolen").exists()
        assert "NT_STATUS" in client("ls ../*")[1] or "secret" not in client("ls ../*")[1]
        assert client("ls", share="IPC$")[0] != 0 and client("ls", share=USER)[0] != 0
        assert client("ls", "-m", "NT1", "--option=client min protocol=NT1")[0] != 0  # not asked for


def test_windows_xp_only_when_asked(tmp_path: Path) -> None:
    (tmp_path / "a.ts").write_bytes(b"x")
    with offered(tmp_path, share_smb1=True) as client:
        old = ("-m", "NT1", "--option=client min protocol=NT1")
        assert client("put a.ts", *old)[0] == 0
        assert (tmp_path / "drop" / "a.ts").exists()


def test_a_password_shuts_guests_out(tmp_path: Path) -> None:
    (tmp_path / "a.ts").write_bytes(b"x")
    with offered(tmp_path, share_password="卫星 1234") as client:
        assert client("put a.ts")[0] != 0
        assert client("put a.ts", who=f"{USER}%wrong")[0] != 0
        assert not (tmp_path / "drop" / "a.ts").exists()
        assert client("put a.ts", who=f"{USER}%卫星 1234")[0] == 0
        assert (tmp_path / "drop" / "a.ts").exists()
