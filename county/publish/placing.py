"""Where the files of a received tree belong: by a table, lesson.toml, folder names, or in one collection
(formats.md 11.1). Pure."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from content_sync.errors import PathError
from content_sync.formats.paths import check_component
from county.publish.names import grade_volume, nfc, stem
from county.publish.scan import Plan, Planner
from county.publish.tree import LESSON_TOML, Node

#: 学段, 学科, 版本, 年级册次.
Place = tuple[str, str, str, str]
#: The unit of what lies in no folder that could be one.
NO_UNIT = "未分单元"
FILE, TITLE, KIND, PERIODS = "文件", "标题", "类型", "课时"
COLUMNS = ("学段", "学科", "版本", "年级册次", "单元", "课")
_ENTRIES = ("index.html", "assessment.xml")
_STATED = ("stage", "subject", "edition", "volume", "unit")


class Table(Struct, frozen=True):
    """A spreadsheet that places files: its name for messages, and (line, heading -> text) of each line."""

    name: str
    rows: Sequence[tuple[int, Mapping[str, str]]]

    @classmethod
    def of(cls, name: str, rows: Sequence[Sequence[str]]) -> Table:
        """From rows of cells; the first that is not empty holds the headings."""
        found: list[tuple[int, Mapping[str, str]]] = []
        headings: list[str] = []
        for number, row in enumerate(rows, 1):
            cells = [nfc(cell).strip() for cell in row]
            if not any(cells):
                continue
            if headings:
                found.append((number, dict(zip(headings, cells, strict=False))))
            headings = headings or cells
        return cls(name, found)


def place(root: Node, collection: Place | None = None, table: Table | None = None) -> Plan:
    """The lessons of a received tree. What can be placed nowhere is named, and the rest goes on."""
    work = _Placing(root, collection)
    if root.odd:
        work.planner.odd(root.path, root.odd)
    elif table is not None:
        work.by_table(table)
        work.walk(root, (), quiet=True)
    else:
        work.walk(root, ())
    planner = work.planner
    return Plan(tuple(planner.lessons.values()), tuple(planner.problems))


class _Placing:
    def __init__(self, root: Node, collection: Place | None) -> None:
        self.root, self.collection = root, collection
        self.planner = Planner()
        self.taken: set[str] = set()

    # By folder names

    def walk(self, folder: Node, names: tuple[str, ...], quiet: bool = False) -> None:
        """Every folder that holds files is a lesson. `quiet`: what has no place stays out without a word (a
        table tells what is meant)."""
        files: list[Node] = []
        folders: list[Node] = []
        for child in folder.children:
            if child.path in self.taken:
                continue
            (folders if child.folder and not child.odd and not _is_resource(child) else files).append(child)
        usable = [child for child in files if not child.odd and child.name != LESSON_TOML]
        where = "/".join(names)
        if usable:
            found = self.find_place(folder, names)
            if found is not None:
                self.lesson(replace(folder, children=files), found, where or folder.name)
            elif not names and self.collection is not None:
                self.loose(usable)
            elif not quiet:
                self.planner.odd(
                    where or folder.name,
                    "belongs to no collection: its folders do not name one, and no table, lesson.toml or"
                    " --collection does",
                )
        elif not quiet:
            for child in files:
                if child.odd:
                    self.planner.odd(f"{where}/{child.name}".lstrip("/"), child.odd)
        for child in folders:
            self.walk(child, (*names, nfc(child.name).strip()), quiet)

    def find_place(self, folder: Node, names: tuple[str, ...]) -> tuple[str, ...] | None:
        """The six names 学段 to 课 of a folder with files."""
        stated = _stated_place(folder)
        if stated is not None:
            return (*stated, names[-1] if names else folder.name)
        for at in range(3, len(names) - 1):
            if grade_volume(names[at]) is not None:
                below = names[at + 1 :]
                return (*names[at - 3 : at + 1], below[0] if len(below) > 1 else NO_UNIT, below[-1])
        if self.collection is not None and names:
            return (*self.collection, names[-2] if len(names) > 1 else NO_UNIT, names[-1])
        return None

    def loose(self, files: Sequence[Node]) -> None:
        """Files that lie in no folder: each is a lesson, with what has the same stem."""
        assert self.collection is not None
        groups: dict[str, list[Node]] = {}
        for child in files:
            title = nfc(stem(child.name).split(".")[0] if not child.folder else child.name).strip()
            groups.setdefault(title, []).append(child)
        for title, members in groups.items():
            folder = Node(title, f"{self.root.path}/{title}", True, children=members)
            self.lesson(folder, (*self.collection, NO_UNIT, title), title)

    # By a table

    def by_table(self, table: Table) -> None:
        """The lessons that a table names; each line places one file or folder."""
        paths, names = _index(self.root)
        lessons: dict[tuple[str, ...], list[tuple[Node, Mapping[str, str]]]] = {}
        for number, row in table.rows:
            at = f"{table.name}:{number}"
            told = row.get(FILE, "").replace("\\", "/").strip("/")
            node = paths.get(told) or names.get(told)
            place = self._row_place(row)
            if not told:
                self.planner.odd(at, f"the column {FILE} is empty")
            elif node is None:
                self.planner.odd(at, f"there is no file {told!r}, or more than one of this name")
            elif node.path in self.taken:
                self.planner.odd(at, f"{told!r} stands in the table twice")
            elif place is None:
                self.planner.odd(at, f"one of {', '.join(COLUMNS)} is empty or no name of a volume")
            else:
                self.taken.add(node.path)
                lessons.setdefault(place, []).append((node, row))
        for place, members in lessons.items():
            nodes = [node for node, _ in members]
            lesson = Node(place[5], f"{self.root.path}/{place[5]}", True, children=[*nodes, _toml(members)])
            self.lesson(lesson, place, "/".join(place[4:]))

    def _row_place(self, row: Mapping[str, str]) -> tuple[str, ...] | None:
        given = [row.get(name, "") for name in COLUMNS]
        if self.collection is not None:
            given[:4] = [text or known for text, known in zip(given, self.collection, strict=False)]
        given[4] = given[4] or NO_UNIT
        return tuple(given) if all(given) and grade_volume(given[3]) is not None else None

    # Lessons

    def lesson(self, folder: Node, names: tuple[str, ...], where: str) -> None:
        try:
            for name in names:
                check_component(name)
        except PathError as error:
            self.planner.odd(where, error.what)
            return
        if grade_volume(names[3]) is None:
            self.planner.odd(where, f"{names[3]} is not a grade followed by 上册, 下册 or 全一册")
            return
        self.planner.lesson(folder, names, where)


def _is_resource(folder: Node) -> bool:
    return any(child.name in _ENTRIES for child in folder.children if not child.folder)


def _stated_place(folder: Node) -> tuple[str, ...] | None:
    """学段 to 单元 as the folder's lesson.toml states them."""
    toml = next((child for child in folder.children if child.name == LESSON_TOML), None)
    if toml is None or toml.text is None:
        return None
    try:
        said = tomllib.loads(toml.text.decode("utf-8-sig").replace("\r\n", "\n"))
    except (ValueError, RecursionError):
        return None  # named when the lesson is planned
    texts = [said.get(key) for key in _STATED]
    if not all(isinstance(text, str) and text.strip() for text in texts[:4]):
        return None
    return tuple(nfc(str(text or NO_UNIT)).strip() for text in texts)


def _index(root: Node) -> tuple[dict[str, Node], dict[str, Node | None]]:
    """Files and folders by path, and by name where it stands for one alone."""
    paths: dict[str, Node] = {}
    names: dict[str, Node | None] = {}

    def visit(folder: Node, prefix: str) -> None:
        for child in folder.children:
            name = nfc(child.name)
            paths[prefix + name] = child
            names[name] = None if name in names else child
            if child.folder:
                visit(child, f"{prefix}{name}/")

    visit(root, "")
    return paths, names


def _toml(members: Sequence[tuple[Node, Mapping[str, str]]]) -> Node:
    """A lesson.toml of what a table says beside places."""
    lines = []
    periods = next((row[PERIODS] for _, row in members if row.get(PERIODS, "").isdecimal()), None)
    if periods is not None:
        lines.append(f"periods = {int(periods)}")
    for node, row in members:
        stated = {"title": row.get(TITLE), "kind": row.get(KIND)}
        if any(stated.values()):
            lines.append(f"[resource.{_text(nfc(node.name))}]")
            lines += [f"{key} = {_text(value)}" for key, value in stated.items() if value]
    return Node(LESSON_TOML, LESSON_TOML, text="\n".join(lines).encode())


def _text(value: str) -> str:
    return json.dumps(value).replace("\x7f", "\\u007f")
