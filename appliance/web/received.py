"""The received shelf's pages: what a person put there, and with the PIN what else lies in drop folders. Never
mixed with the county's lessons."""

from __future__ import annotations

import secrets
from urllib.parse import quote

from flask import abort, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as Answer

from appliance.web.views import Guarded
from content_sync.adapters.files import read_capped, write_durable
from content_sync.errors import FormatError, LessonBoxError
from content_sync.formats.canonical import is_hex
from content_sync.formats.received import (
    MAX_ITEM,
    ReceivedItem,
    ReceivedRequest,
    dump_request,
    parse_request,
)

_PER_PAGE = 50
_MOST_WAITING = 200


def received_url(item: ReceivedItem) -> str:
    """Where a received file's bytes are."""
    return f"/received/file/{item.file.root}/{quote(item.name, safe='')}"


class Received(Guarded):
    """The pages."""

    def _waiting(self) -> list[ReceivedRequest]:
        found = []
        if self.board.incoming is not None:
            for path in sorted(self.board.incoming.glob("received-*.json"))[:_MOST_WAITING]:
                try:
                    found.append(parse_request(read_capped(path, MAX_ITEM)))
                except LessonBoxError:
                    continue
        return found

    def shelf(self) -> str:
        items = self.reader.received()
        return render_template(
            "received.html",
            items=items,
            total=sum(item.file.length for item in items),
            url=received_url,
            day=self.local,
            known=self.guard.secret() is not None,
        )

    def manage(self) -> str:
        secret = self.guard.require()
        page = request.args.get("page", "1")
        number = min(max(int(page), 1), 10_000) if page.isascii() and page.isdigit() and len(page) < 6 else 1
        files, count = self.reader.foreign_drops((number - 1) * _PER_PAGE, _PER_PAGE)
        return render_template(
            "received_manage.html",
            items=self.reader.received(),
            files=files,
            count=count,
            page=number,
            more=count > number * _PER_PAGE,
            waiting={asked.accept or asked.remove for asked in self._waiting()},
            secret=secret,
        )

    def change(self) -> Answer:
        """Leave word for sync, which alone writes what pages show."""
        self.guard.require()
        accept, remove = request.form.get("accept", ""), request.form.get("remove", "")
        asked = ReceivedRequest(accept, "" if accept else remove)
        if not accept and not is_hex(remove, 64):
            abort(400)
        try:
            data = dump_request(asked)
            parse_request(data)
        except (FormatError, UnicodeEncodeError):
            abort(400)
        assert self.board.incoming is not None
        if len(self._waiting()) >= _MOST_WAITING:
            abort(503)
        if asked not in self._waiting():
            write_durable(self.board.incoming / f"received-{secrets.token_hex(8)}.json", data)
        return redirect(url_for("received.manage"), 303)
