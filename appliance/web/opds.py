"""The shelves for other readers: OPDS 1.2 (Atom, /opds) and OPDS 2.0 (JSON, /opds/v2).

Nothing in a feed comes from the clock: what is new says when it arrived, else when the release was issued, so
that a reader which asks again gets the same bytes until something has changed.
"""

from __future__ import annotations

import datetime
import html
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from flask import Response, abort, current_app, jsonify, request, url_for
from msgspec import Struct, field

from appliance.web import shelves, words
from appliance.web.aisles import SHELVES
from appliance.web.api import file_url
from appliance.web.content import media_type
from appliance.web.i18n import gettext
from appliance.web.received import received_url
from appliance.web.views import Views, page_number
from content_sync.errors import LessonBoxError
from content_sync.formats.lesson import Lesson, Resource
from content_sync.formats.received import ReceivedItem
from content_sync.formats.shelf import LOCAL, shelf_of
from content_sync.ports import CollectionRow, LessonRow

_ATOM = "application/atom+xml;profile=opds-catalog"
NAVIGATION, ACQUISITION = f"{_ATOM};kind=navigation", f"{_ATOM};kind=acquisition"
JSON2, PUBLICATION2 = "application/opds+json", "application/opds-publication+json"
SEARCH = "application/opensearchdescription+xml"
_OPEN = "http://opds-spec.org/acquisition/open-access"
_THUMB = "http://opds-spec.org/image/thumbnail"
_IMAGE = "http://opds-spec.org/image"
_FACET = "http://opds-spec.org/facet"
_PER_PAGE = 50
OWN = "own"
#: What stands beside the textbooks, as the pages' shelves do.
_ASIDE = {shelf: name for shelf, (name, _) in SHELVES.items()} | {OWN: words.OWN_SHELF}
_NAMESPACES = (
    'xmlns="http://www.w3.org/2005/Atom" xmlns:dc="http://purl.org/dc/terms/"'
    ' xmlns:opds="http://opds-spec.org/2010/catalog" xmlns:opensearch="http://a9.com/-/spec/opensearch/1.1/"'
    ' xmlns:thr="http://purl.org/syndication/thread/1.0"'
)


#: What XML 1.0 has no way to write, not even escaped.
_NEVER = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Link(Struct, frozen=True):
    """A link of a feed or of an entry."""

    rel: str
    href: str
    type: str
    title: str = ""
    more: tuple[tuple[str, str], ...] = ()


class Shelf(Struct, frozen=True):
    """An entry that leads to another feed."""

    id: str
    title: str
    href: str
    said: str
    kind: str
    count: int


class Book(Struct, frozen=True):
    """A lesson that is here."""

    collection: CollectionRow
    row: LessonRow
    lesson: Lesson


class Feed(Struct):
    """What both formats say in their own way. `path` is below /opds or /opds/v2."""

    id: str
    title: str
    path: str
    shelves: list[Shelf] = field(default_factory=list)
    books: list[Book] = field(default_factory=list)
    files: list[ReceivedItem] = field(default_factory=list)
    page: int = 1
    total: int = 0
    facets: list[tuple[str, str, int, bool]] = field(default_factory=list)

    @property
    def pages(self) -> int:
        """How many pages there are."""
        return max(1, -(-self.total // _PER_PAGE))


def _time(seconds: int) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _address(path: str, **query: Any) -> str:
    told = [f"{key}={escape_query(value)}" for key, value in query.items() if value]
    return path + (f"?{'&'.join(told)}" if told else "")


def escape(text: str) -> str:
    """Text for a document that every parser reads."""
    return html.escape(_NEVER.sub("", text))


def escape_query(value: object) -> str:
    """A value of a query string."""
    return quote(str(value), safe="")


class Opds(Views):
    """The feeds."""

    def _issued(self) -> int:
        return int(self.reader.meta("issued") or 0)

    def _updated(self, book: Book) -> int:
        return book.row.arrived or book.row.added or self._issued()

    def _root(self) -> Feed:
        school = self.reader.meta("school_name") or gettext("课箱")
        feed = Feed("root", f"{school} {gettext('课箱')}" if school != gettext("课箱") else school, "")
        fresh = shelves.arrivals(self.reader, self.board.clock.wall())
        if fresh:
            said = gettext("最近新到的课")
            feed.shelves.append(Shelf("new", gettext("最近新到"), "/new", said, "acquisition", len(fresh)))
        here = self._here()
        for first in shelves.subjects(here):
            subject = shelves.subject_of(first)
            own = [c for c in here if shelves.subject_of(c) == subject]
            said = gettext("%(n)s册") % {"n": len(own)}
            name = f"{words.known(first.stage)} {words.subject(first.subject).name}"
            feed.shelves.append(Shelf(subject, name, f"/subject/{subject}", said, "navigation", len(own)))
        for shelf, name in _ASIDE.items():
            lessons = sum(entry.count for entry in self._entries(shelf))
            if lessons:
                said = _lessons(lessons)
                feed.shelves.append(
                    Shelf(shelf, gettext(name), f"/shelf/{shelf}", said, "navigation", lessons)
                )
        files = len(self.reader.received())
        if files:
            said = gettext("非县里签发，由本校自己留下")
            feed.shelves.append(
                Shelf("received", gettext("收到的文件"), "/received", said, "acquisition", files)
            )
        return feed

    def _here(self) -> list[CollectionRow]:
        return [c for c in self.reader.places().values() if c.present]

    def _subject(self, subject: str) -> Feed:
        own = [c for c in self._here() if shelves.subject_of(c) == subject and shelves.is_textbook(c)]
        if not own:
            abort(404)
        feed = Feed(subject, words.subject(own[0].subject).name, f"/subject/{subject}")
        for c in shelves.in_order(own):
            said = f"{words.known(c.edition)} {_lessons(c.present)}"
            feed.shelves.append(
                Shelf(c.id, words.called(c), f"/volume/{c.id}", said, "acquisition", c.present)
            )
        return feed

    def _entries(self, shelf: str) -> list[Shelf]:
        """What stands on a shelf beside the textbooks."""
        found = []
        for c in self._here():
            if shelf == OWN and c.id.startswith(LOCAL):
                name = f"{words.subject(c.subject).name} {words.known(c.grade)}"
            elif shelf_of(c.stage) == shelf:
                name = words.called(c)
            else:
                continue
            found.append(Shelf(c.id, name, f"/volume/{c.id}", _lessons(c.present), "acquisition", c.present))
        if shelf == "recorded" and (lessons := len(self._recorded())):
            name, said = gettext("课本里的课堂实录"), _lessons(lessons)
            found.append(Shelf("recorded:volumes", name, "/recorded", said, "acquisition", lessons))
        return found

    def _shelf(self, shelf: str) -> Feed:
        entries = self._entries(shelf) if shelf in _ASIDE else []
        if not entries:
            abort(404)
        return Feed(f"shelf:{shelf}", gettext(_ASIDE[shelf]), f"/shelf/{shelf}", entries)

    def _recorded(self) -> list[LessonRow]:
        """Lessons of textbooks that hold a recorded class."""
        books = {c.id for c in self._here() if shelves.is_textbook(c)}
        return [row for row in self.reader.with_kind("recorded") if row.present and row.collection in books]

    def _of_volumes(self) -> Feed:
        return self._paged(
            Feed("recorded:volumes", gettext("课本里的课堂实录"), "/recorded"), self._recorded()
        )

    def _received(self) -> Feed:
        feed, items = Feed("received", gettext("收到的文件"), "/received"), self.reader.received()
        feed.total = len(items)
        feed.page = page_number("page", feed.pages)
        feed.files = items[(feed.page - 1) * _PER_PAGE : feed.page * _PER_PAGE]
        return feed

    def _books(self, rows: Iterable[LessonRow]) -> list[Book]:
        places = self.reader.places()
        found = []
        for row in rows:
            lesson = self.reader.present_lesson(row.id)
            if lesson is not None and row.collection in places:
                found.append(Book(places[row.collection], row, lesson))
        return found

    def _volume(self, collection: str) -> Feed:
        place = self.reader.places().get(collection)
        if place is None:
            abort(404)
        kind = request.args.get("kind", "")
        rows = self.reader.lessons(collection, "present")
        kinds = dict.fromkeys(name for row in rows for name in row.kinds if name in words.KIND_WORDS)
        feed = Feed(collection, words.called(place), f"/volume/{collection}")
        feed.facets = [("", gettext("全部"), len(rows), kind not in kinds)] + [
            (one, gettext(words.KIND_WORDS[one][0]), sum(one in row.kinds for row in rows), one == kind)
            for one in kinds
        ]
        return self._paged(feed, [row for row in rows if kind not in kinds or kind in row.kinds])

    def _paged(self, feed: Feed, rows: Sequence[LessonRow]) -> Feed:
        feed.total = len(rows)
        feed.page = page_number("page", feed.pages)
        feed.books = self._books(rows[(feed.page - 1) * _PER_PAGE : feed.page * _PER_PAGE])
        return feed

    def _new(self) -> Feed:
        rows = shelves.arrivals(self.reader, self.board.clock.wall())
        return self._paged(Feed("new", gettext("最近新到"), "/new"), rows)

    def _search(self) -> Feed:
        query = _searched().strip()
        feed = Feed(f"search:{escape_query(query)}", gettext("找课") + f" {query}", "/search")
        page = page_number("page", 100)
        try:
            found = self.board.index.find(query, offset=(page - 1) * _PER_PAGE, limit=_PER_PAGE)
        except LessonBoxError:
            abort(503)
        feed.total, feed.page = found.total, min(page, max(1, -(-found.total // _PER_PAGE)))
        feed.books = self._books(self.reader.rows(found.ids))
        return feed

    def feed(self, where: str, name: str = "") -> Feed:
        """The feed of an address."""
        makers = {"subject": self._subject, "volume": self._volume, "shelf": self._shelf}
        if name:
            return makers[where](name)
        lists = {"": self._root, "new": self._new, "search": self._search}
        return (lists | {"recorded": self._of_volumes, "received": self._received})[where]()

    # OPDS 1.2

    def atom(self, where: str = "", name: str = "") -> Response:
        """A feed as Atom."""
        feed = self.feed(where, name)
        kind = NAVIGATION if feed.shelves or not where else ACQUISITION
        query = _query(feed)
        updated = max(
            [self._issued(), *map(self._updated, feed.books), *(int(item.at) for item in feed.files)]
        )
        base = "/opds"
        lines = [
            '<?xml version="1.0" encoding="UTF-8"?>',
            f"<feed {_NAMESPACES}>",
            f"<id>urn:lessonbox:opds:{escape(feed.id)}</id>",
            f"<title>{escape(feed.title)}</title>",
            f"<updated>{_time(updated)}</updated>",
            f"<author><name>{escape(self._publisher())}</name></author>",
            _atom_link(Link("self", _address(base + feed.path, **query, page=_beyond(feed.page)), kind)),
            _atom_link(Link("start", base, NAVIGATION)),
            _atom_link(Link("search", f"{base}/search.xml", SEARCH)),
        ]
        if feed.total:
            lines.append(f"<opensearch:totalResults>{feed.total}</opensearch:totalResults>")
            lines.append(f"<opensearch:itemsPerPage>{_PER_PAGE}</opensearch:itemsPerPage>")
        for rel, number in _turns(feed):
            lines.append(_atom_link(Link(rel, _address(base + feed.path, **query, page=number), kind)))
        for value, title, count, active in feed.facets if len(feed.facets) > 2 else ():
            more = [("opds:facetGroup", gettext("类型")), ("thr:count", str(count))]
            more += [("opds:activeFacet", "true")] if active else []
            where_to = _address(base + feed.path, kind=value)
            lines.append(_atom_link(Link(_FACET, where_to, ACQUISITION, title, tuple(more))))
        for shelf in feed.shelves:
            shelf_kind = NAVIGATION if shelf.kind == "navigation" else ACQUISITION
            lines += [
                f"<entry><id>urn:lessonbox:opds:{escape(shelf.id)}</id><title>{escape(shelf.title)}</title>",
                f'<updated>{_time(updated)}</updated><content type="text">{escape(shelf.said)}</content>',
                _atom_link(
                    Link("subsection", base + shelf.href, shelf_kind, "", (("thr:count", str(shelf.count)),))
                ),
                "</entry>",
            ]
        lines += [self._entry(book) for book in feed.books]
        lines += [self._file_entry(item) for item in feed.files]
        return Response("\n".join([*lines, "</feed>\n"]), mimetype=None, content_type=f"{kind};charset=utf-8")

    def _publisher(self) -> str:
        return self.reader.meta("county") or gettext("课箱")

    def _entry(self, book: Book) -> str:
        row, lesson, place = book.row, book.lesson, book.collection
        lines = [
            "<entry>",
            f"<id>urn:lessonbox:lesson:{escape(row.id)}</id><title>{escape(row.title)}</title>",
            f"<updated>{_time(self._updated(book))}</updated><published>{_time(row.added)}</published>",
            f"<author><name>{escape(lesson.source or self._publisher())}</name></author>",
            f"<dc:language>{escape(lesson.language or 'zh')}</dc:language>",
            f"<dc:publisher>{escape(self._publisher())}</dc:publisher>",
            f'<summary type="text">{escape(_summary(book))}</summary>',
        ]
        if lesson.licence:
            lines.append(f"<rights>{escape(lesson.licence)}</rights>")
        for term in _terms(place):
            lines.append(f'<category term="{escape(term)}" label="{escape(words.known(term))}"/>')
        for link in _links(lesson):
            lines.append(_atom_link(link))
        page = url_for("pages.lesson", lesson=row.id)
        lines.append(_atom_link(Link("alternate", page, "text/html", gettext("打开这课"))))
        return "\n".join([*lines, "</entry>"])

    def _school(self) -> str:
        return self.reader.meta("school_name") or gettext("课箱")

    def _file_entry(self, item: ReceivedItem) -> str:
        more = (("length", str(item.file.length)),)
        return "\n".join(
            [
                f"<entry><id>{escape(_file_id(item))}</id><title>{escape(item.name)}</title>",
                f"<updated>{_time(int(item.at))}</updated>",
                f"<author><name>{escape(self._school())}</name></author>",
                f'<summary type="text">{escape(gettext("非县里签发"))}</summary>',
                _atom_link(Link(_OPEN, received_url(item), media_type(item.name), item.name, more)),
                "</entry>",
            ]
        )

    def description(self) -> Response:
        """OpenSearch: how to search."""
        root = request.url_root.rstrip("/")
        told = (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            '<OpenSearchDescription xmlns="http://a9.com/-/spec/opensearch/1.1/">\n'
            f"<ShortName>{escape(gettext('课箱'))}</ShortName>\n"
            f"<Description>{escape(gettext('找课：写一个字或几个字'))}</Description>\n"
            "<InputEncoding>UTF-8</InputEncoding><OutputEncoding>UTF-8</OutputEncoding>\n"
            f'<Url type="{escape(ACQUISITION)}"'
            f' template="{escape(root + "/opds/search?q={searchTerms}&page={startPage?}")}"/>\n'
            "</OpenSearchDescription>\n"
        )
        return Response(told, content_type=f"{SEARCH};charset=utf-8")

    # OPDS 2.0

    def json(self, where: str = "", name: str = "") -> Response:
        """A feed as JSON."""
        feed, base = self.feed(where, name), "/opds/v2"
        query = _query(feed)
        own = _address(base + feed.path, **query, page=_beyond(feed.page))
        made: dict[str, Any] = {
            "metadata": {"title": feed.title, "modified": _time(self._issued())},
            "links": [
                {"rel": "self", "href": own, "type": JSON2},
                {"rel": "start", "href": base, "type": JSON2},
                {"rel": "search", "href": f"{base}/search{{?query}}", "type": JSON2, "templated": True},
                *(
                    {"rel": rel, "href": _address(base + feed.path, **query, page=number), "type": JSON2}
                    for rel, number in _turns(feed)
                ),
            ],
        }
        if feed.total:
            made["metadata"] |= {
                "numberOfItems": feed.total,
                "itemsPerPage": _PER_PAGE,
                "currentPage": feed.page,
            }
        if feed.shelves:
            made["navigation"] = [
                {
                    "href": base + shelf.href,
                    "title": shelf.title,
                    "type": JSON2,
                    "rel": "subsection",
                    "properties": {"numberOfItems": shelf.count},
                }
                for shelf in feed.shelves
            ]
        if len(feed.facets) > 2:
            made["facets"] = [
                {
                    "metadata": {"title": gettext("类型")},
                    "links": [
                        {
                            "href": _address(base + feed.path, kind=value),
                            "type": JSON2,
                            "title": title,
                            "properties": {"numberOfItems": count},
                        }
                        | ({"rel": "self"} if active else {})
                        for value, title, count, active in feed.facets
                    ],
                }
            ]
        if feed.books or feed.files or not feed.shelves:
            made["publications"] = [
                *map(self._publication, feed.books),
                *map(self._file_publication, feed.files),
            ]
        return Response(jsonify(made).get_data(), content_type=JSON2)

    def publication(self, name: str) -> Response:
        """A lesson or a received file by itself."""
        row = self.reader.lesson(name)
        books = self._books([row]) if row is not None else []
        files = [item for item in self.reader.received() if item.file.root == name]
        if not books and not files:
            abort(404)
        made = self._publication(books[0]) if books else self._file_publication(files[0])
        return Response(jsonify(made).get_data(), content_type=PUBLICATION2)

    def _publication(self, book: Book) -> dict[str, Any]:
        row, lesson, place = book.row, book.lesson, book.collection
        links = _links(lesson)
        metadata: dict[str, Any] = {
            "@type": "http://schema.org/LearningResource",
            "identifier": f"urn:lessonbox:lesson:{row.id}",
            "title": row.title,
            "author": lesson.source or self._publisher(),
            "publisher": self._publisher(),
            "language": lesson.language or "zh",
            "modified": _time(self._updated(book)),
            "published": _time(row.added),
            "description": _summary(book),
            "subject": _terms(place),
            "belongsTo": {"collection": {"name": words.called(place)}},
        }
        if row.no is not None:
            metadata["belongsTo"]["collection"]["position"] = row.no
        return {
            "metadata": metadata,
            "links": [
                {"rel": link.rel, "href": link.href, "type": link.type, "title": link.title}
                for link in links
                if link.rel == _OPEN
            ]
            + [
                {"rel": "alternate", "href": url_for("pages.lesson", lesson=row.id), "type": "text/html"},
                _self(row.id),
            ],
            "images": [{"href": link.href, "type": link.type} for link in links if link.rel == _IMAGE]
            or [_icon()],
        }

    def _file_publication(self, item: ReceivedItem) -> dict[str, Any]:
        return {
            "metadata": {
                "@type": "http://schema.org/CreativeWork",
                "identifier": _file_id(item),
                "title": item.name,
                "author": self._school(),
                "modified": _time(int(item.at)),
                "description": gettext("非县里签发"),
            },
            "links": [
                {"rel": _OPEN, "href": received_url(item), "type": media_type(item.name), "title": item.name},
                _self(item.file.root),
            ],
            "images": [_icon()],
        }


def _lessons(number: int) -> str:
    return gettext("%(n)s课") % {"n": number}


def _icon() -> dict[str, str]:
    shared: Mapping[str, Any] = current_app.jinja_env.globals
    return {"href": shared["asset"]("icon.png"), "type": "image/png"}


def _self(name: str) -> dict[str, str]:
    return {"rel": "self", "href": url_for("opds.publication", name=name), "type": PUBLICATION2}


def _file_id(item: ReceivedItem) -> str:
    return f"urn:lessonbox:received:{item.file.root}"


def _terms(place: CollectionRow) -> list[str]:
    """What a lesson is filed under: of a series its shelf and name, else subject, grade and volume."""
    series = bool(shelf_of(place.stage))
    terms = (place.stage, place.subject) if series else (place.subject, place.grade, place.volume)
    return list(dict.fromkeys(filter(None, terms)))  # the school's own are of no volume


def _beyond(page: int) -> int:
    """The page's number where an address has to say it."""
    return page if page > 1 else 0


def _searched() -> str:
    """What is looked for: OPDS 2.0 calls it `query`."""
    return (request.args.get("query") or request.args.get("q", ""))[:64]


def _query(feed: Feed) -> dict[str, str]:
    kept = {"q": _searched()} if feed.path == "/search" else {}
    active = next((value for value, _, _, on in feed.facets if on), "")
    return kept | ({"kind": active} if active else {})


def _turns(feed: Feed) -> list[tuple[str, int]]:
    """first, previous, next, last, where there are several pages."""
    if feed.pages == 1:
        return []
    turns = [("first", 0), ("previous", feed.page - 1 if feed.page > 2 else 0), ("next", feed.page + 1)]
    kept = [(rel, n) for rel, n in turns if rel == "first" or rel == "next" and feed.page < feed.pages]
    if feed.page > 1:
        kept.append(turns[1])
    return [*kept, ("last", feed.pages)]


def _summary(book: Book) -> str:
    kinds = dict.fromkeys(r.kind if r.kind in words.KIND_WORDS else "other" for r in book.lesson.resources)
    held = gettext("、").join(gettext(words.KIND_WORDS[kind][0]) for kind in kinds)
    return f"{book.row.unit} {held}".strip()


def _type(resource: Resource) -> str:
    """The type that the box itself sends the file with, where that says more than the package does."""
    sent = media_type(resource.main.path)
    return resource.media_type if sent == "application/octet-stream" else sent


def _links(lesson: Lesson) -> list[Link]:
    """What of a lesson can be fetched, in teaching order, and a picture of it."""
    made = []
    steps, beside = shelves.lay_out(lesson)
    for resource in [*(step.resource for step in steps), *beside]:
        if resource.kind == "interactive" or shelves.view_of(resource) == "quiz":
            continue  # of many files: it opens on the box's own page
        file = resource.main.file
        more = (("length", str(file.length)),)
        made.append(
            Link(_OPEN, file_url(file.root, resource.main.path), _type(resource), resource.title, more)
        )
    if not made:  # both formats ask for something to open
        made.append(Link(_OPEN, url_for("pages.lesson", lesson=lesson.id), "text/html", lesson.title))
    pages = [page for resource in lesson.resources for page in resource.with_role("page")]
    if pages:
        href, kind = file_url(pages[0].file.root, pages[0].path), media_type(pages[0].path)
        made += [Link(_IMAGE, href, kind), Link(_THUMB, href, kind)]
    return made


def _atom_link(link: Link) -> str:
    told = [("rel", link.rel), ("href", link.href), ("type", link.type), ("title", link.title), *link.more]
    shown = " ".join(f'{name}="{escape(value)}"' for name, value in told if value)
    return f"<link {shown}/>"
