"""The school's own lessons (本校资料): a shelf for everybody, and with the PIN pages to add, change and take
away. Web leaves uploads and requests; sync alone makes lessons of them (formats.md 15)."""

from __future__ import annotations

import hmac
import itertools
import secrets
from pathlib import Path
from typing import Any

from flask import Response, abort, g, jsonify, make_response, redirect, render_template, request, url_for
from msgspec.structs import asdict
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge
from werkzeug.formparser import FormDataParser
from werkzeug.wrappers import Response as Answer
from werkzeug.wsgi import get_input_stream

from appliance.school import uploads
from appliance.school.films import starts_late
from appliance.school.uploads import Receiving, Uploads
from appliance.web import shelves, troubles, words
from appliance.web.i18n import N_, gettext
from appliance.web.views import Guarded
from content_sync.adapters.files import read_capped
from content_sync.errors import (
    BusyError,
    DiskFullError,
    FormatError,
    LessonBoxError,
    LocalError,
    NotFoundError,
)
from content_sync.formats import bag
from content_sync.formats.lesson import KINDS, MAX_LESSON, NAME, Resource
from content_sync.formats.local import (
    ANY_GRADE,
    MOST_FILES,
    PREFIX,
    SOURCES,
    Heading,
    LocalRequest,
    Source,
    check_local_id,
    guess,
    heading,
    parse_local,
)
from content_sync.ports import LocalRow

GRADES = tuple(f"{n}年级" for n in "一二三四五六七八九")
OTHER = N_("综合")
_MOST_SHOWN = 300
_PROBLEMS = (LocalError.code, DiskFullError.code)
#: What the browsers of old boards play.
_PLAYED = ("video/mp4", "audio/mpeg", "audio/mp4", "audio/wav")
#: A form beside its files.
_MOST_TEXT = 512 << 10


class LocalPages(Guarded):
    """The views."""

    # What everybody sees

    def shelf(self) -> str:
        """Lessons of the school's own, by subject."""
        rows = self.reader.local_lessons()
        places = self.reader.places()
        groups: dict[str, list[tuple[Any, LocalRow, Any]]] = {}
        for row in rows:
            place = places.get(row.row.collection)
            if place is not None:
                lesson = self.reader.present_lesson(row.row.id)
                groups.setdefault(place.subject, []).append((place, row, lesson))
        return render_template("local.html", groups=groups, count=len(rows))

    # With the PIN

    def _facts(self) -> dict[str, Any]:
        """What each of these pages shows."""
        subjects = [c.subject for c in self.reader.collections() if shelves.is_textbook(c)]
        return {
            "subjects": list(dict.fromkeys([*subjects, *words.SUBJECT_NAMES, OTHER])),
            "grades": [*GRADES, ANY_GRADE],
            "kind_names": {kind: words.KIND_WORDS[kind][0] for kind in KINDS if kind != "interactive"},
            "problems": [
                ("" if one.subject.startswith("local") else one.subject, troubles.fix(asdict(one)))
                for one in self.reader.problems()
                if one.code in _PROBLEMS
            ],
        }

    def _incoming(self) -> Path:
        if self.board.incoming is None:
            abort(404)
        return self.board.incoming

    def _uploads(self) -> Uploads:
        if self.board.uploads is None:
            abort(404)
        return self.board.uploads

    def manage(self) -> str:
        """All of them, to be changed."""
        secret = self.guard.require()
        waiting = uploads.waiting(self._incoming())
        known = self.reader.local_lessons()
        ids = {row.row.id for row in known}
        return render_template(
            "local_manage.html",
            rows=known,
            places=self.reader.places(),
            coming=[w for w in waiting if w.lesson not in ids and w.heading is not None],
            going={w.lesson for w in waiting if w.do == "delete"},
            busy=bool(waiting),
            unreadable=self.reader.status("local_unreadable") or [],
            secret=secret,
            **self._facts(),
        )

    def new(self) -> Answer | str:
        """A lesson that does not exist yet."""
        secret = self.guard.require()
        return self._form(PREFIX + secrets.token_hex(8), secret)

    def _form(
        self, lesson: str, secret: str, said: str = "", head: Heading | None = None, status: int = 200
    ) -> Answer:
        head = head or Heading("", "", self.grade())
        values = {"lesson": lesson, "secret": secret, "said": said, "head": head, **self._facts()}
        return Response(render_template("local_new.html", **values), status)

    def grade(self) -> str:
        """The first grade of the room that asks."""
        room = g.place.room
        return room.grades[0] if room is not None and room.grades else ""

    def _row(self, lesson: str) -> LocalRow | None:
        return next((row for row in self.reader.local_lessons() if row.row.id == lesson), None)

    def edit(self, lesson: str) -> Answer | str:
        """One of them: its files, its name, the county's switch."""
        secret = self.guard.require()
        return self._edit_page(lesson, secret)

    def _edit_page(self, lesson: str, secret: str, said: str = "", status: int = 200) -> Answer:
        row = self._row(lesson)
        waiting = [w for w in uploads.waiting(self._incoming()) if w.lesson == lesson]
        if row is None and not waiting:
            return redirect(url_for("local.manage"))
        named = next((w.heading for w in waiting if w.heading is not None), None)
        place = self.reader.places().get(row.row.collection) if row is not None else None
        shown = self.reader.present_lesson(lesson)
        return Response(
            render_template(
                "local_edit.html",
                lesson=lesson,
                row=row,
                place=place,
                shown=shown,
                head=Heading(row.row.title, place.subject, place.grade) if row and place else named,
                coming=sum(len(w.files) for w in waiting),
                busy=bool(waiting),
                secret=secret,
                said=said,
                hints={r.id: hint for r in shown.resources if (hint := self._hint(r))} if shown else {},
                **self._facts(),
            ),
            status,
        )

    def _hint(self, resource: Resource) -> str:
        """What to know of a file before a class sees it."""
        file, kind = resource.main.file, resource.media_type
        if kind == "video/mp4" and starts_late(self.board.objects / file.root[:2] / file.root):
            return gettext("这段视频的目录在最后，有的白板要等一会儿才开始放。")
        if kind.startswith(("video/", "audio/")) and kind not in _PLAYED:
            return gettext("这种格式很多白板放不了，最好先在手机或电脑上转成MP4。")
        if kind.startswith("application/vnd.") or kind == "application/msword":
            return gettext("PPT、Word在白板上要下载了才能打开；先存成PDF再放，就能直接看。")
        return ""

    def add(self, lesson: str) -> Answer | str:
        """Files from a form: each goes to the disk as it comes. Those that a script sent before are named."""
        secret = self.guard.secret()
        if secret is None:
            return redirect(url_for("guard.pin", next=url_for("local.manage")), 303)
        if request.mimetype != "multipart/form-data":
            self.guard.require()
            abort(400)
        try:
            check_local_id(lesson)
        except FormatError:
            abort(404)
        received: list[Receiving] = []
        head: Heading | None = None
        try:
            form, sent = self._read_form(received)
            if not hmac.compare_digest(form.get("secret", "").encode(), secret.encode()):
                abort(403)
            if "title" in form:
                head = heading(
                    form.get("title", "") or self._titled(form, sent),
                    form.get("subject", ""),
                    form.get("grade", ""),
                )
            sources = [Source("upload", file.keep(), name) for name, file in sent if file.size]
            for upload, name in zip(form.getlist("upload"), form.getlist("name"), strict=False):
                if self._uploads().at(upload)[1]:
                    sources.append(Source("upload", upload, name))
            if not sources:
                raise LocalError("no file was chosen, or they are empty")
            uploads.leave(self._incoming(), LocalRequest("add", lesson, head, files=tuple(sources)))
        except (ClientDisconnected, OSError):
            abort(400)
        except RequestEntityTooLarge:
            return self._again(lesson, secret, LocalError("the form is too large"), head)
        except LessonBoxError as error:
            return self._again(lesson, secret, error, head)
        finally:
            for file in received:
                file.close()
        return redirect(url_for("local.edit", lesson=lesson), 303)

    def _again(self, lesson: str, secret: str, error: LessonBoxError, head: Heading | None) -> Answer:
        said = self.sentence(error)
        status = 507 if isinstance(error, DiskFullError) else 503 if isinstance(error, BusyError) else 400
        if any(row.row.id == lesson for row in self.reader.local_lessons()):
            return self._edit_page(lesson, secret, said, status)
        return self._form(lesson, secret, said, head, status)

    @staticmethod
    def sentence(error: LessonBoxError) -> str:
        """What to say of a refusal."""
        if isinstance(error, DiskFullError):
            return gettext("课箱里放不下了。请先删掉一些本校资料，或者找管理员。什么都没有留下一半。")
        if isinstance(error, BusyError):
            return gettext("正在收别的文件，请过一会儿再试。")
        if "title" in error.what:
            return gettext("请给这一课起个名字。")
        if "empty" in error.what or "no file" in error.what:
            return gettext("没有选文件，或者选的是空文件。")
        if "too large" in error.what or "at most" in error.what or "allowed" in error.what:
            return gettext("文件太大或太多了，请分几次来。")
        return gettext("没有办成，请再试一次。")

    @staticmethod
    def _titled(form: Any, sent: list[tuple[str, Receiving]]) -> str:
        names = [name for name, file in sent if file.size] or form.getlist("name")
        return guess(names[0])[1] if names and names[0] else ""

    def _read_form(self, received: list[Receiving]) -> tuple[Any, list[tuple[str, Receiving]]]:
        """The form's texts, and its files as (name, file); each is on the disk already."""
        box = self._uploads()
        box.sweep({f.where for w in uploads.waiting(self._incoming()) for f in w.files})
        length = request.content_length
        if length is None:
            abort(400)
        box.check_space(length)

        def receive(*_: Any, **__: Any) -> Any:
            if len(received) >= MOST_FILES:
                raise LocalError(f"a lesson holds at most {MOST_FILES} files")
            received.append(box.receive())
            return received[-1]

        parser = FormDataParser(
            stream_factory=receive,
            max_form_memory_size=_MOST_TEXT,
            max_form_parts=4 * MOST_FILES,
            silent=False,
        )
        stream = get_input_stream(request.environ, max_content_length=uploads.MOST)
        try:
            _, form, files = parser.parse(stream, request.mimetype, length, request.mimetype_params)
        except ValueError:
            abort(400)
        return form, [(f.filename or "", f.stream) for f in files.getlist("files")]  # type: ignore[misc]

    def upload(self, upload: str) -> Answer:
        """A piece of a file that a script sends; GET says how much of it is here."""
        secret = self.guard.secret()
        given = request.headers.get("X-Secret", "")
        if secret is None or not hmac.compare_digest(given.encode("latin-1", "replace"), secret.encode()):
            return jsonify(error={"code": "E-PIN", "message": gettext("请重新输入密码。")}), 403  # type: ignore[return-value]
        box = self._uploads()
        try:
            if request.method == "GET":
                box.sweep({f.where for w in uploads.waiting(self._incoming()) for f in w.files})
                at, whole = box.at(upload)
            else:
                offset, size = request.args.get("at", ""), request.args.get("size", "")
                if not (offset.isascii() and offset.isdigit() and size.isascii() and size.isdigit()):
                    abort(400)
                if len(offset) > 15 or len(size) > 15:
                    raise LocalError("the file is too large")
                stream = get_input_stream(request.environ, max_content_length=uploads.PIECE)
                at, whole = box.append(upload, int(offset), int(size), stream)
        except NotFoundError:
            abort(404)
        except (ClientDisconnected, RequestEntityTooLarge):
            abort(400)
        except LessonBoxError as error:
            status = 507 if isinstance(error, DiskFullError) else 409 if error.retryable else 400
            return jsonify(error={"code": error.code, "message": self.sentence(error)}), status  # type: ignore[return-value]
        return jsonify(at=at, whole=whole)

    def save(self, lesson: str) -> Answer:
        """Name, order and kinds of its files; one is moved up, or taken out after a second tap."""
        secret = self.guard.require()
        form = request.form
        shown = self.reader.present_lesson(lesson)
        ids = [r for r in form.getlist("resource") if shown and any(r == one.id for one in shown.resources)]
        up = form.get("up", "")
        if up in ids and ids.index(up):
            at = ids.index(up)
            ids[at - 1], ids[at] = ids[at], ids[at - 1]
        removed = tuple(r for r in ids if r == form.get("remove"))
        if removed and shown is not None and form.get("sure") != "1":
            one = next(resource for resource in shown.resources if resource.id == removed[0])
            carried = [pair for pair in form.items(multi=True) if pair[0] != "secret"]
            row = self._row(lesson)
            values = {"lesson": lesson, "one": one, "carried": carried, "basket": row and row.basket}
            return make_response(render_template("local_out.html", secret=secret, **values))
        order = tuple((r, form.get(f"kind-{r}", ""), form.get(f"title-{r}", "")[:200]) for r in ids)
        try:
            head = heading(form.get("title", ""), form.get("subject", ""), form.get("grade", ""))
            uploads.leave(self._incoming(), LocalRequest("edit", lesson, head, order=order, removed=removed))
        except FormatError:
            abort(400)
        except LessonBoxError as error:
            return self._edit_page(lesson, secret, self.sentence(error), 400)
        return redirect(url_for("local.edit", lesson=lesson), 303)

    def offer(self, lesson: str) -> Answer:
        """Whether the school would give it to the county."""
        self.guard.require()
        self._leave(LocalRequest("offer", lesson, offered=request.form.get("offered") == "1"))
        return redirect(url_for("local.edit", lesson=lesson), 303)

    def delete(self, lesson: str) -> Answer:
        """Take it away, after a second tap. What was taught with it stays counted."""
        secret = self.guard.require()
        if request.method == "GET":
            row = self._row(lesson)
            if row is None and lesson not in (self.reader.status("local_unreadable") or []):
                return redirect(url_for("local.manage"))
            shown = self.reader.present_lesson(lesson)
            page = render_template("local_gone.html", secret=secret, lesson=lesson, row=row, shown=shown)
            return make_response(page)
        self._leave(LocalRequest("delete", lesson))
        return redirect(url_for("local.manage"), 303)

    def _leave(self, asked: LocalRequest) -> None:
        try:
            uploads.leave(self._incoming(), asked)
        except FormatError:
            abort(400)

    # From sticks, drop folders and the received shelf

    def others(self, lesson: str) -> str:
        """Files that lie on a stick, in a drop folder or on the received shelf; and lessons that another
        school has put on the stick."""
        from content_sync.adapters.stick import StickFiles  # rare, and heavy

        secret = self.guard.require()
        files: list[tuple[str, str, str, int]] = []
        packages: list[tuple[str, str, str]] = []
        for stick in self.board.machine.sticks() if self.board.machine is not None else ():
            top = Path(stick.path)
            for found in itertools.islice(StickFiles([top]).scan(), _MOST_SHOWN):
                inside = found.path[len(stick.path) :].lstrip("/")
                if not inside.startswith(("lessonbox/", ".", "System Volume")):
                    files.append(("stick", found.path, f"{stick.name}/{inside}", found.size))
            packages += self._packages(top, stick.name)
        files += [("received", i.file.root, i.name, i.file.length) for i in self.reader.received()]
        drops, _ = self.reader.foreign_drops(0, _MOST_SHOWN)
        files += [("drop", path, path.rpartition("/")[2], size) for path, size in drops if "//" not in path]
        return render_template(
            "local_others.html",
            lesson=lesson,
            exists=any(row.row.id == lesson for row in self.reader.local_lessons()),
            files=files,
            packages=packages,
            secret=secret,
            head=Heading("", "", self.grade()),
            **self._facts(),
        )

    @staticmethod
    def _packages(top: Path, name: str) -> list[tuple[str, str, str]]:
        found = []
        try:
            places = sorted((top / bag.LOCAL).iterdir())[:_MOST_SHOWN]
        except OSError:
            return []
        for place in places:
            try:
                lesson = parse_local(read_capped(place / NAME, 2 * MAX_LESSON)).lesson
            except LessonBoxError:
                continue
            found.append((str(place), lesson.id, f"{lesson.title}（{name}）"))
        return found

    def take(self, lesson: str) -> Answer:
        """Those that were ticked become a lesson or part of one."""
        self.guard.require()
        form = request.form
        if form.get("package"):
            path = form["package"]
            self._leave(LocalRequest("import", path.rpartition("/")[2], path=path))
            return redirect(url_for("local.manage"), 303)
        sources = []
        for ticked in form.getlist("file")[:MOST_FILES]:
            kind, _, where = ticked.partition(":")
            if kind not in SOURCES or kind == "upload":
                abort(400)
            name = where.rpartition("/")[2]
            if kind == "received":
                name = next((i.name for i in self.reader.received() if i.file.root == where), "")
            sources.append(Source(kind, where, name))
        if not sources:
            return redirect(url_for("local.others", lesson=lesson), 303)
        try:
            head = None
            if "title" in form:
                title = form.get("title", "") or guess(sources[0].name)[1]
                head = heading(title, form.get("subject", ""), form.get("grade", ""))
            uploads.leave(self._incoming(), LocalRequest("add", lesson, head, files=tuple(sources)))
        except (FormatError, LocalError):
            abort(400)
        return redirect(url_for("local.edit", lesson=lesson), 303)
