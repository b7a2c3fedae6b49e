"""The receiver's PC and the box by SMB: its folder read here, or drop/ offered there. What mount.cifs,
systemd and smbd are told. Pure: wanted.check_network has looked at every text that gets here."""

from __future__ import annotations

from pathlib import Path

from content_sync.settings import Settings

#: Where the folder of the receiver's PC is looked at, and what systemd calls that place.
RECEIVED = Path("/run/lessonbox-receiver")
MOUNT = "run-lessonbox\\x2dreceiver"


def credentials(settings: Settings) -> str:
    """For mount.cifs(8), in a file that root alone reads; empty: as guest."""
    user, password = settings.text("receiver_user"), settings.text("receiver_password")
    return f"username={user}\npassword={password}\n" if user else ""


def mount_units(settings: Settings, secret: Path, uid: int, gid: int) -> dict[str, str]:
    """The units that read the receiver's folder whenever somebody looks into it; none where none is wanted.

    Nothing waits for the PC: it may be off for days. `soft`: who looks then hears of it and does not hang.
    """
    share = settings.text("receiver_share")
    if not share:
        return {}
    options = ["ro", "nosuid", "nodev", "noexec", "soft", "echo_interval=10", "iocharset=utf8", "noserverino"]
    options += [f"uid={uid}", f"gid={gid}", "forceuid", "forcegid", "file_mode=0440", "dir_mode=0550"]
    options += [f"credentials={secret}"] if settings.text("receiver_user") else ["guest"]
    options += ["vers=1.0"] if settings.flag("receiver_smb1") else []
    mount = (
        "[Unit]\nDescription=Lesson Box: the folder of the receiver's PC\nStartLimitIntervalSec=0\n"
        f"\n[Mount]\nWhat={share.replace('%', '%%')}\nWhere={RECEIVED}\nType=cifs\n"
        f"Options={','.join(options)}\nTimeoutSec=20\n"
    )
    automount = (
        "[Unit]\nDescription=Lesson Box: the folder of the receiver's PC, when it is looked into\n"
        f"\n[Automount]\nWhere={RECEIVED}\nTimeoutIdleSec=10min\nDirectoryMode=0755\n"
    )
    return {f"{MOUNT}.mount": mount, f"{MOUNT}.automount": automount}


def smb_conf(settings: Settings, drop: Path, own: Path, user: str) -> str:
    """smb.conf(5): one share, in which everyone (or who knows the password) may write, and nothing else."""
    locked, old = bool(settings.text("share_password")), settings.flag("share_smb1")
    lines = [
        "[global]",
        "server role = standalone server",
        "server string = Lesson Box",
        "disable netbios = yes",  # the box's own answerer has port 137
        "smb ports = 445",
        f"server min protocol = {'NT1' if old else 'SMB2_02'}",
        f"ntlm auth = {'ntlmv1-permitted' if old else 'ntlmv2-only'}",
        f"map to guest = {'Never' if locked else 'Bad User'}",
        "guest account = nobody",
        "hosts allow = 10. 172.16.0.0/12 192.168. 169.254. 127. fe80::/10 fc00::/7",
        "hosts deny = ALL",
        "load printers = no",
        "printing = bsd",
        "printcap name = /dev/null",
        "disable spoolss = yes",
        "usershare max shares = 0",
        "unix extensions = no",
        "wide links = no",
        "max smbd processes = 20",
        "logging = systemd",
        "log level = 0",
        f"private dir = {own}/private",
        f"state directory = {own}/state",
        f"cache directory = {own}/cache",
        f"lock directory = {own}/lock",
        f"pid directory = {own}/pid",
        f"ncalrpc dir = {own}/ncalrpc",
        f"passdb backend = tdbsam:{own}/private/passdb.tdb",
        "",
        "[drop]",
        "comment = what the receiver's PC has for the school",
        f"path = {drop}",
        "read only = no",
        "follow symlinks = no",
        "guest ok = no" if locked else "guest only = yes",
        *([f"valid users = {user}"] if locked else ["guest ok = yes"]),
        f"force user = {user}",
        "create mask = 0640",
        "directory mask = 0750",
        "veto files = /._*/.DS_Store/Thumbs.db/desktop.ini/",
        "delete veto files = yes",
    ]
    return "\n".join([*lines, ""])


FOLDERS = ("private", "state", "cache", "lock", "pid", "ncalrpc")
