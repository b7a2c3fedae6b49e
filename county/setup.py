"""`county init` and `county enrol`: a county's data folder, its staff, and enrolment files for boxes."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace
from werkzeug.security import generate_password_hash

from content_sync.adapters.files import make_folder, read_capped, storage_errors, sync_folder, write_durable
from content_sync.errors import FormatError, NotFoundError, SettingError, SetupError, UsageError
from content_sync.formats.enrolment import (
    MAX_ENROLMENT,
    Enrolment,
    check_url,
    dump_enrolment,
    new_box_id,
    new_claim,
    parse_enrolment,
)
from content_sync.formats.paths import check_id, collection_id, subject_id
from content_sync.formats.token import holder_key
from content_sync.settings import Settings, toml_value
from county.config import COUNTY_SETTINGS, CountyPaths
from county.distribute.tokens import token_secret
from county.library import BoxRow, Library
from county.publish.names import grade_volume, nfc
from county.publish.signing import Repository
from county.receive.database import Reader

ADMIN = "admin"
_MOST_NAME = 100
_UNFINISHED = "init.unfinished"
_MADE = ("keys", "public", "objects", "library.db", "library.db-wal", "library.db-shm")


class Made(Struct, frozen=True):
    """What `init` made: where the root key lies, and the new staff account."""

    root_key: Path
    account: str
    password: str


def plain_name(text: str, what: str) -> str:
    """A name for people, NFC, one line. Raises UsageError."""
    text = nfc(text).strip()
    if not text or len(text) > _MOST_NAME or not text.isprintable():
        raise UsageError(f"{what} must be 1 to {_MOST_NAME} characters on one line")
    return text


def default_root_key(data: Path) -> Path:
    """Beside the data folder, so that a copy of the folder never holds it."""
    data = data.absolute()
    return data.with_name(f"{data.name}.root-key.pem")


def init(
    paths: CountyPaths,
    name: str,
    urls: Sequence[str],
    now: int,
    root_key: Path | None = None,
    password: str | None = None,
) -> Made:
    """Make a county in `paths.data`. county.toml comes last: without it an `init` that was cut off begins
    anew.

    Raises SetupError for a county or root key that is there already, UsageError, DiskFullError,
    StorageError.
    """
    name = plain_name(name, "the county's name")
    urls = tuple(dict.fromkeys(_url(url) for url in urls))
    root_key = (root_key or default_root_key(paths.data)).absolute()
    if root_key.is_relative_to(paths.data.absolute()):
        raise UsageError(f"the root key must not lie in the data folder: {root_key}")
    if paths.config.exists():
        raise SetupError(f"{paths.data} is a county already; nothing was changed")
    marker = paths.data / _UNFINISHED
    with storage_errors(str(paths.data)):
        make_folder(paths.data, 0o750)
        if marker.exists():
            _remove_unfinished(paths, Path(os.fsdecode(marker.read_bytes())))
        foreign = [entry for entry in paths.data.iterdir() if entry.name in _MADE]
        if foreign or root_key.exists():
            raise SetupError(f"{foreign[0] if foreign else root_key} is there already; nothing was changed")
        write_durable(marker, os.fsencode(root_key))
        for folder in (paths.objects, paths.public / "targets"):
            make_folder(folder)
        settings = Settings(COUNTY_SETTINGS, {"name": name, "urls": urls})
        Repository.create(paths.public, paths.keys, root_key, name, now, settings.number("expire_days"))
        password = password or secrets.token_urlsafe(9)
        with Library.create(paths.library_db) as library:
            library.put_staff(ADMIN, password_hash(password))
        paths.library_db.chmod(0o600)  # it holds the claims of boxes that are not yet enrolled
        config = f"# Every setting: docs/settings.md\nname = {toml_value(name)}\nurls = {toml_value(urls)}\n"
        write_durable(paths.config, config.encode())
        marker.unlink()
        sync_folder(paths.data)
    return Made(root_key, ADMIN, password)


def _remove_unfinished(paths: CountyPaths, root_key: Path) -> None:
    # Nothing was ever signed for a box by what is removed here: a county without county.toml can't publish.
    root_key.unlink(missing_ok=True)
    for name in _MADE:
        path = paths.data / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _url(text: str) -> str:
    try:
        return check_url(text)
    except FormatError as error:
        raise UsageError(error.what) from None


def password_hash(password: str) -> str:
    """As the county's pages check it (scrypt)."""
    return generate_password_hash(password, method="scrypt")


def set_password(paths: CountyPaths, name: str, password: str | None) -> str:
    """Make a staff account or give it a new password; the password. Raises SetupError."""
    name = plain_name(name, "the account's name")
    password = password or secrets.token_urlsafe(9)
    with Library.open(paths.library_db, write=True) as library:
        library.put_staff(name, password_hash(password))
    return password


def collection_pattern(text: str) -> str:
    """A policy pattern (formats.md 5): `*`, an id, `<subject id>-*`, or a path as in a source tree.

    小学/语文 is the subject, 小学/语文/统编版/三年级上册 one volume. Raises UsageError.
    """
    text = nfc(text).strip().rstrip("/")
    parts = [part.strip() for part in text.split("/")]
    if len(parts) == 2:
        return subject_id(*parts) + "-*"
    if len(parts) == 4:
        found = grade_volume(parts[3])
        if found is None:
            raise UsageError(f"{parts[3]} is not a grade followed by 上册, 下册 or 全一册")
        return collection_id(parts[0], parts[1], parts[2], *found)
    try:
        if text != "*":
            check_id(text.removesuffix("-*"))
    except FormatError:
        raise UsageError(
            f"{text!r} is neither *, an id, <subject id>-*, nor a path like 小学/语文/统编版/三年级上册"
        ) from None
    return text


def enrol(
    paths: CountyPaths,
    settings: Settings,
    school_code: str,
    school_name: str,
    collections: Sequence[str],
    out: Path,
    now: int,
) -> Enrolment:
    """Give a school a box: a row in library.db, then its enrolment file, readable by its owner only.

    Raises SetupError when `out` is there already (it may be another box's only claim), SettingError,
    DiskFullError, StorageError.
    """
    patterns = _patterns(settings, collections)
    if out.exists():
        raise SetupError(f"{out} is there already and may be another box's; choose another name")
    repository = Repository(paths.public, paths.keys, settings.number("expire_days"))
    box = new_box_id()
    enrolment = Enrolment(
        county=settings.text("name"),
        urls=settings.texts("urls"),
        box=box,
        school_code=plain_name(school_code, "the school's code"),
        school_name=plain_name(school_name, "the school's name"),
        claim=new_claim(),
        root=repository.root(),
        token_key=holder_key(token_secret(paths), box),
    )
    data = dump_enrolment(enrolment)
    assert len(data) <= MAX_ENROLMENT and enrolment.claim is not None
    row = BoxRow(enrolment.box, enrolment.school_code, enrolment.school_name, enrolment.claim, patterns, now)
    with Library.open(paths.library_db, write=True) as library:
        library.add_box(row)
        try:
            write_durable(out, data, 0o600)
        except BaseException:
            library.remove_box(enrolment.box)
            raise
    return enrolment


def enrol_as_now(
    paths: CountyPaths,
    settings: Settings,
    school_name: str,
    collections: Sequence[str],
    out: Path,
    now: int,
) -> Enrolment:
    """The enrolment file `out`, whose claim no box has used, with what it would say if it were made now:
    the school's name, what it mirrors, addresses, root. Box and claim stay.

    Raises NotFoundError when there is none; SettingError, FormatError, DiskFullError, StorageError.
    """
    before = parse_enrolment(read_capped(out, MAX_ENROLMENT))
    patterns = _patterns(settings, collections)
    repository = Repository(paths.public, paths.keys, settings.number("expire_days"))
    made = replace(
        before,
        county=settings.text("name"),
        urls=settings.texts("urls"),
        school_name=plain_name(school_name, "the school's name"),
        root=repository.root(),
    )
    with Library.open(paths.library_db, write=True) as library:
        if library.box(made.box) is None and made.claim is not None:  # forgotten, or an older backup
            school = (made.school_code, made.school_name)
            library.add_box(BoxRow(made.box, *school, made.claim, patterns, now))
        library.correct_box(made.box, made.school_name, patterns)
    if made != before:
        write_durable(out, dump_enrolment(made), 0o600)
    return made


def forget(paths: CountyPaths, box: str) -> BoxRow:
    """Take back an enrolment whose claim was never used; the box that it was for.

    Raises NotFoundError, SetupError for a box that has reported: what it told stays, and it goes on.
    """
    with Library.open(paths.library_db, write=True) as library:
        row = library.box(box)
        if row is None:
            raise NotFoundError(f"box {box[:40]!r}")
        reports = Reader(paths.reports_db)
        if paths.reports_db.is_file() and reports.one("SELECT 1 FROM box_key WHERE box = ?", (box,)):
            raise SetupError(f"{box} has reported and is in use: `county token {box} --shut-out` ends that")
        library.remove_box(box)
    return row


def _patterns(settings: Settings, collections: Sequence[str]) -> tuple[str, ...]:
    if not settings.texts("urls"):
        raise SettingError("urls is empty: boxes could not reach this county")
    return tuple(dict.fromkeys(collection_pattern(text) for text in collections)) or ("*",)
