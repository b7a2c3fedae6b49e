"""OPDS 1.2 and 2.0: what the specifications ask of a feed, walked from its root to every file."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin

import pytest
from defusedxml.ElementTree import fromstring
from werkzeug.test import Client

from appliance.web import opds
from content_sync.formats.local import Heading, lesson_of
from content_sync.formats.paths import collection_id
from tests.unit.test_web_app import NOW, Small

ATOM, SEARCH = "{http://www.w3.org/2005/Atom}", "{http://a9.com/-/spec/opensearch/1.1/}"
HOST = "http://lesson.local"
OPEN = "http://opds-spec.org/acquisition/open-access"


ANY = "不分版本/不分年级/全一册"
TEXTBOOKS = {"古诗三首", "富饶的西沙群岛", "笔算乘法", "静夜思"}
BESIDE = {"六个不去", "第一次用", "冬季修剪", "同课异构", "看云识天气", "我们的校园"}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    """A box with something on every shelf that the pages show."""
    made = Small(tmp_path_factory.mktemp("opds"))
    box = made.box
    note = (box.resource("r1", "other", "资料", "text/plain", ("a.txt", "main", b"beside")),)
    film = (box.resource("r1", "recorded", "实录", "video/mp4", ("实录.mp4", "main", b"class")),)
    box.lesson(f"专题教育/防溺水/{ANY}", "游泳前要知道", None, "六个不去", note)
    box.lesson(f"教师培训/课箱怎么用/{ANY}", "第一期", None, "第一次用", note)
    box.lesson(f"农民实用技术/核桃栽培/{ANY}", "核桃栽培", None, "冬季修剪", note)
    box.lesson(f"社区教育/没有到/{ANY}", "一", None, "还没到的", (), "wanted")
    box.lesson(f"名师课堂/语文/{ANY}", "第一讲", None, "同课异构", film)
    box.lesson("小学/科学/教科版/三年级/上册", "第一单元", 1, "看云识天气", film)
    own = lesson_of(f"local-{'a' * 16}", Heading("我们的校园", "语文", "三年级"), note)
    box.lessons.append((own, "present", 0))
    box.write(NOW)
    with closing(sqlite3.connect(box.paths.state_db)) as db, db:
        db.execute("INSERT INTO local VALUES (?, 0, 0, '', '[]')", (own.id,))
        file = box.store(b"<b>from afar")
        db.execute(
            "INSERT INTO received VALUES (?, ?, '农技 & 天气.pdf', '/d/x', ?)", (file.root, file.length, NOW)
        )
    return made


def feed(small: Small, path: str) -> Any:
    """A feed that keeps the rules of RFC 4287 and OPDS 1.2."""
    answer = Client(small.app).get(path, base_url=HOST)
    assert answer.status_code == 200 and answer.content_type.startswith(
        "application/atom+xml;profile=opds-catalog"
    )
    root = fromstring(answer.data)
    assert root.tag == f"{ATOM}feed"
    for thing in (root, *root.iter(f"{ATOM}entry")):
        for name in ("id", "title", "updated"):
            found = thing.findall(ATOM + name)
            assert len(found) == 1 and (found[0].text or "").strip(), f"{path}: {name}"
        assert thing.findtext(f"{ATOM}updated").endswith("Z")
    assert root.find(f"{ATOM}author/{ATOM}name").text
    rels = [link.get("rel") for link in root.findall(f"{ATOM}link")]
    assert rels.count("self") == 1 and rels.count("start") == 1 and "search" in rels
    assert root.find(f"{ATOM}link[@rel='self']").get("type") == answer.content_type.partition(";charset")[0]
    ids = [entry.findtext(f"{ATOM}id") for entry in root.iter(f"{ATOM}entry")]
    assert len(ids) == len(set(ids))
    for entry in root.iter(f"{ATOM}entry"):
        assert all(link.get("href") and link.get("type") for link in entry.findall(f"{ATOM}link"))
        acquired = entry.findall(f"{ATOM}link[@rel='{OPEN}']")
        assert bool(acquired) == ("kind=acquisition" in answer.content_type), "never both in one feed"
    return root


def walk(small: Small, path: str = "/opds") -> Iterator[tuple[str, Any]]:
    """All feeds below a feed."""
    root = feed(small, path)
    yield path, root
    for link in root.iter(f"{ATOM}link"):
        if link.get("rel") == "subsection":
            yield from walk(small, urljoin(path, link.get("href")))


def test_what_xml_forbids_stands_in_no_feed(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    for sign in ("\x0b", "\x00", "\x1f", "\ufffe", "\uffff"):
        feed(small, f"/opds/search?q=x{quote(sign)}<")
    monkeypatch.setattr(opds.words, "called", lambda place: "三\x0b年\ufffe级 <\ud800&\U0001f4d6\t")
    names = {entry.findtext(f"{ATOM}title") for _, root in walk(small) for entry in root.iter(f"{ATOM}entry")}
    assert "三年级 <&\U0001f4d6\t" in names


def test_every_feed_and_every_file_can_be_reached(small: Small) -> None:
    files = {}
    titles = []
    for _, root in walk(small):
        for entry in root.iter(f"{ATOM}entry"):
            for link in entry.findall(f"{ATOM}link"):
                if link.get("rel") == OPEN:
                    files[link.get("href")] = link.get("type")
                    titles.append(entry.findtext(f"{ATOM}title"))
    assert set(titles) == TEXTBOOKS | BESIDE | {"农技 & 天气.pdf"}, "what is here, nothing else"
    for href, kind in files.items():
        if href.startswith("/received/"):
            continue  # content.py sends it, beside the pages
        answer = Client(small.app).get(href, base_url=HOST, buffered=True)
        assert answer.status_code == 200, href
        assert answer.content_type.partition(";")[0] in (kind, "application/octet-stream", "text/plain"), href
    assert files[opds.file_url(small.file("r1").file.root, small.file("r1").path)] == "video/mp4"


def test_every_shelf_of_the_pages_is_linked(small: Small) -> None:
    page = Client(small.app).get("/browse", base_url=HOST).text
    shelves = set(re.findall(r'<a href="(/shelf/[a-z]+|/received|/local)">', page))
    assert shelves >= {"/shelf/recorded", "/shelf/topics", "/shelf/training", "/shelf/community"}
    linked = {link.get("href") for link in feed(small, "/opds").iter(f"{ATOM}link")}
    assert {f"/opds{shelf}" for shelf in shelves - {"/local"}} <= linked and "/opds/shelf/own" in linked

    def called(path: str) -> list[str | None]:
        return [e.findtext(f"{ATOM}title") for e in feed(small, path).iter(f"{ATOM}entry")]

    assert called("/opds/shelf/training") == ["教师培训 课箱怎么用"]
    assert called("/opds/shelf/community") == ["农民实用技术 核桃栽培"], "nothing that is not here"
    assert called("/opds/shelf/recorded") == ["名师课堂 语文", "课本里的课堂实录"]
    assert called("/opds/recorded") == ["看云识天气"] and called("/opds/shelf/own") == ["语文 三年级"]
    training = collection_id("教师培训", "课箱怎么用", *ANY.split("/"))
    series = feed(small, f"/opds/volume/{training}")
    assert series.findtext(f"{ATOM}title") == "教师培训 课箱怎么用"
    terms = [c.get("term") for c in series.iter(f"{ATOM}category")]
    assert terms == ["教师培训", "课箱怎么用"]
    ours = [c.get("term") for _, root in walk(small, "/opds/shelf/own") for c in root.iter(f"{ATOM}category")]
    assert ours == ["语文", "三年级"]


def test_the_same_bytes_until_something_changes(small: Small) -> None:
    paths = [path for path, _ in walk(small)]
    for path in [*paths, "/opds/v2", *(path.replace("/opds", "/opds/v2") for path in paths)]:
        first, second = (Client(small.app).get(path, base_url=HOST).data for _ in range(2))
        assert first == second, path


def test_search_by_its_own_description(small: Small) -> None:
    answer = Client(small.app).get("/opds/search.xml", base_url=HOST)
    root = fromstring(answer.data)
    assert root.tag == f"{SEARCH}OpenSearchDescription" and root.findtext(f"{SEARCH}ShortName")
    template = root.find(f"{SEARCH}Url").get("template")
    assert template.startswith(HOST) and "{searchTerms}" in template
    address = template.replace("{searchTerms}", quote("古诗")).replace("{startPage?}", "")
    found = feed(small, address.removeprefix(HOST))
    assert [e.findtext(f"{ATOM}title") for e in found.iter(f"{ATOM}entry")] == ["古诗三首"]
    assert found.findtext(f"{SEARCH}totalResults") == "1"
    for query in ("<script>&\"'", "没有这样的课", "%00", ""):
        feed(small, f"/opds/search?q={quote(query)}")


def test_pages_and_kinds(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opds, "_PER_PAGE", 1)
    path = f"/opds/volume/{small.main.collection}"
    first = feed(small, path)
    links = {link.get("rel"): link.get("href") for link in first.findall(f"{ATOM}link")}
    assert "previous" not in links and links["next"].endswith("?page=2") and links["last"].endswith("?page=2")
    second = feed(small, links["next"])
    links = {link.get("rel"): link.get("href") for link in second.findall(f"{ATOM}link")}
    assert links["previous"] == path and "next" not in links and links["self"].endswith("page=2")
    facets = [
        link for link in first.findall(f"{ATOM}link") if link.get("rel") == "http://opds-spec.org/facet"
    ]
    active = [link for link in facets if link.get("{http://opds-spec.org/2010/catalog}activeFacet") == "true"]
    assert len(facets) > 3 and len(active) == 1
    only = feed(small, f"{path}?kind=video")
    assert [e.findtext(f"{ATOM}title") for e in only.iter(f"{ATOM}entry")] == ["古诗三首"]
    assert feed(small, f"{path}?page=999") is not None


def test_json_says_the_same(small: Small) -> None:
    seen, waiting = set(), ["/opds/v2"]
    while waiting:
        path = waiting.pop()
        answer = Client(small.app).get(path, base_url=HOST)
        assert answer.status_code == 200 and answer.content_type == "application/opds+json"
        told = json.loads(answer.data)
        assert told["metadata"]["title"] and [one["rel"] for one in told["links"]].count("self") == 1
        assert set(told) & {"navigation", "publications", "groups"}, "a feed holds one of them"
        waiting += [urljoin(path, one["href"]) for one in told.get("navigation", ())]
        for one in told.get("publications", ()):
            assert one["metadata"]["title"] and one["metadata"]["identifier"].startswith("urn:")
            assert any(link["rel"] == OPEN and link["type"] for link in one["links"])
            assert any(image["type"] in ("image/png", "image/jpeg") for image in one["images"])
            assert all(one["metadata"].get("subject", ["-"]))
            own = next(link for link in one["links"] if link["rel"] == "self")
            alone = Client(small.app).get(own["href"], base_url=HOST)
            assert alone.content_type == own["type"] == "application/opds-publication+json"
            assert json.loads(alone.data) == one
            seen.add(one["metadata"]["title"])
    assert seen == TEXTBOOKS | BESIDE | {"农技 & 天气.pdf"}


def test_json_is_searched_by_the_name_that_the_specification_gives(small: Small) -> None:
    client = Client(small.app)
    links = json.loads(client.get("/opds/v2", base_url=HOST).data)["links"]
    template = next(link["href"] for link in links if link["rel"] == "search")
    assert template.endswith("{?query}")
    for name in ("query", "q"):
        address = template.replace("{?query}", f"?{name}={quote('古诗')}")
        told = json.loads(client.get(address, base_url=HOST).data)
        assert [one["metadata"]["title"] for one in told["publications"]] == ["古诗三首"]
        own = next(link["href"] for link in told["links"] if link["rel"] == "self")
        assert json.loads(client.get(own, base_url=HOST).data) == told


def test_what_is_not_there(small: Small, tmp_path: Path) -> None:
    for path in (
        "/opds/volume/none",
        "/opds/subject/none",
        "/opds/v2/volume/none",
        "/opds/volume/<b>",
        "/opds/shelf/none",
        "/opds/v2/shelf/x",
        "/opds/v2/publication/none",
    ):
        assert Client(small.app).get(path, base_url=HOST).status_code == 404
    page = Client(small.app).get("/", base_url=HOST).text
    assert 'rel="alternate" type="application/atom+xml;profile=opds-catalog;kind=navigation"' in page
