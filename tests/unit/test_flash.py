# ruff: noqa: E501 (rows and markup)
"""Flash on the courseware's origin: which Ruffle is taken, what its page holds, what its files are sent as."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from werkzeug.test import Client

from appliance.web.flash import VERSION, Flash, find_ruffle

CODE = b"code " * 400


def put(folder: Path, version: str = VERSION) -> Path:
    folder.mkdir()
    (folder / "package.json").write_text(json.dumps({"version": version}))
    (folder / "ruffle.js").write_bytes(CODE)
    for name in ("a.wasm.gz", "b.wasm.gz"):
        (folder / name).write_bytes(gzip.compress(CODE))
    return folder


@pytest.fixture
def client(tmp_path: Path) -> Client:
    flash = Flash(put(tmp_path / "ruffle"))
    return Client(lambda environ, start: flash(environ, start, "sandbox allow-scripts"))


def test_only_a_whole_one_of_the_tried_version_is_taken(tmp_path: Path) -> None:
    good = put(tmp_path / "good")
    assert find_ruffle(tmp_path / "none", put(tmp_path / "old", "0.1.0"), good) == good
    (good / "b.wasm.gz").unlink()
    assert find_ruffle(good) is None
    (good / "package.json").write_text("{")
    assert find_ruffle(good) is None


def test_its_files_are_packed_where_they_may_be(client: Client) -> None:
    packed = client.get(f"/ruffle/{VERSION}/a.wasm", headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip" and gzip.decompress(packed.data) == CODE
    assert (
        packed.headers["Content-Type"] == "application/wasm"
        and packed.headers["Access-Control-Allow-Origin"] == "*"
    )
    plain = client.get(f"/ruffle/{VERSION}/ruffle.js", headers={"Accept-Encoding": "gzip"})
    assert plain.data == CODE and "Content-Encoding" not in plain.headers
    assert client.get(f"/ruffle/{VERSION}/a.wasm").status_code == 404, "no plain one is here"
    assert client.head(f"/ruffle/{VERSION}/ruffle.js").headers["Content-Length"] == str(len(CODE))


@pytest.mark.parametrize(
    "path",
    ["/ruffle/0.1/ruffle.js", f"/ruffle/{VERSION}/package.json", f"/ruffle/{VERSION}/../package.json",
     f"/ruffle/{VERSION}/..%2fpackage.json", f"/ruffle/{VERSION}/x/ruffle.js", "/flash/zh/l/r", "/flash/fr/l/r/a.swf",
     "/flash/zh/l/r/a.exe", "/flash/zh//r/a.swf"],
)  # fmt: skip
def test_nothing_else_is_there(client: Client, path: str) -> None:
    assert client.get(path).status_code == 404
    assert client.post(path).status_code == 405


def test_a_name_can_not_leave_the_script(client: Client) -> None:
    page = client.get("/flash/zh/l/r/</script><script>alert('1')\\u2028.swf").get_data(as_text=True)
    assert page.count("<script>") == 1 and "alert('1')" not in page and "%3C/script%3E" in page
    answer = client.get("/flash/en/l/r/a.swf")
    assert "too old to play Flash" in answer.text and "/c/l/r/a.swf" in answer.text
    assert answer.headers["Content-Security-Policy"] == "sandbox allow-scripts"
