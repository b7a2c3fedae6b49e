"""A lesson for somebody with an ordinary BitTorrent client: its .torrent with the county's tracker, a guest's
token in it."""

from __future__ import annotations

import hashlib
from typing import Any

from content_sync.adapters.files import read_capped
from content_sync.errors import NotFoundError, SettingError, TorrentError
from content_sync.formats import torrent
from content_sync.formats.token import announce_url, seed_url
from content_sync.settings import Settings
from county.config import CountyPaths
from county.distribute.tokens import Tokens
from county.library import Library


def lesson_torrent(
    paths: CountyPaths, settings: Settings, library: Library, lesson: str, token: str, web_seed: bool
) -> bytes:
    """The bytes of the .torrent file of a published lesson, named by its id or its title.

    `web_seed`: name that too. Not by default: libtorrent up to 2.1.1 takes bytes of a package of several
    files from the wrong place there (decision 0012), and bans whom it got the rest of the piece from. Raises
    NotFoundError, TorrentError, SettingError.
    """
    urls = settings.texts("urls")
    if not urls:
        raise SettingError("urls is empty: nobody could reach this county's tracker")
    row = library.lesson(lesson)
    if row is None:
        named = [found for found in library.lessons() if found.title == lesson]
        if len(named) > 1:
            raise NotFoundError(f"one lesson {lesson!r}: there are {', '.join(found.id for found in named)}")
        row = named[0] if named else None
    package = None if row is None or row.withdrawn is not None else library.package(row.infohash)
    if package is None:
        raise NotFoundError(f"published lesson {lesson[:80]!r}")
    name = f"{package.torrent_sha256}.{package.infohash}.torrent"
    data = read_capped(paths.public / "targets" / "packages" / name, torrent.MAX_TORRENT)
    made: dict[Any, Any] = torrent.bdecode(data)
    trackers = [announce_url(url, token).encode() for url in urls]
    made |= {b"announce": trackers[0], b"announce-list": [[url] for url in trackers]}
    if web_seed:
        made[b"url-list"] = [seed_url(url, token, package.infohash).encode() for url in urls]
    if hashlib.sha256(torrent.bencode(made[b"info"])).hexdigest() != package.infohash:
        raise TorrentError(f"{name} is damaged")
    return torrent.bencode(made)


def open_tokens(paths: CountyPaths, library: Library) -> Tokens:
    """The county's tokens, for a command."""
    return Tokens(paths, lambda box: library.box(box) is not None)
