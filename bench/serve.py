"""Serving, side by side: the box's web program, nginx (sendfile on), plain Flask send_file on the same
gunicorn.

`python bench/serve.py [--size MB] [--rounds N]`: one file in memory, 32 clients; open-ended play and 1 MiB
ranges at random places; then pages with and without 120 slow streams. CPU is user + system seconds of the
server's processes; what is compared is interleaved, round by round, and the median taken. Prints Markdown.
Ratios carry over to a Pi, MB/s do not.
"""

from __future__ import annotations

import argparse
import http.client
import multiprocessing
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.box import SmallBox
from tests.e2e.board import WebProcess
from tests.e2e.programs import free_port

CLIENTS, SLOW, RATE, PAGES = 32, 120, 1 << 20, 1500
PLACE = "小学/语文/统编版/三年级/上册"
NGINX = """user root; worker_processes 1; daemon off; pid {dir}/pid; error_log {dir}/error.log;
events {{ worker_connections 1024; }}
http {{ access_log off; sendfile on; tcp_nopush on; keepalive_timeout 75; types {{ video/mp4 mp4; }}
 client_body_temp_path {dir}/a; proxy_temp_path {dir}/b; fastcgi_temp_path {dir}/c; uwsgi_temp_path {dir}/d;
 scgi_temp_path {dir}/e;
 server {{ listen 127.0.0.1:{port}; location = /a.mp4 {{ alias {file}; }} }} }}"""
PLAIN = """
import sys
sys.path.insert(0, {root!r})
from flask import Flask, send_file
from appliance.web.server import Serving, open_sockets, serve
app = Flask(__name__)
@app.get("/<path:name>")
def file(name):
    return send_file({file!r}, mimetype="video/mp4", conditional=True, etag=False)
pages, second = open_sockets("127.0.0.1", {port}, 0)
second.detach()
import socket
serve(lambda again: app, pages, socket.create_server(("127.0.0.1", 0)), Serving())
"""


@dataclass
class Server:
    """A running server: where, what to ask, its first process, how to end it."""

    name: str
    port: int
    path: str
    pid: int
    stop: Callable[[], object]

    def cpu(self) -> float:
        """CPU seconds so far, of all its processes."""
        first = psutil.Process(self.pid)
        times = [process.cpu_times() for process in (first, *first.children(recursive=True))]
        return sum(each.user + each.system for each in times)

    def wait(self) -> None:
        """Until it answers."""
        deadline = time.monotonic() + 60
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port), 5):
                    return
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)


def drain(answer: http.client.HTTPResponse, most: int = 1 << 62) -> int:
    """Read an answer and forget it; how many bytes came."""
    buffer, got = bytearray(1 << 18), 0
    while got < most and (more := answer.readinto(buffer)):
        got += more
    return got


def client(
    port: int, path: str, size: int, kind: str, seed: int, seconds: float, out: multiprocessing.Queue[int]
) -> None:
    """One client process: plays from somewhere to the end, or asks for ranges, until the time is over."""
    chance, got, end = random.Random(seed), 0, time.monotonic() + seconds
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    while time.monotonic() < end:
        start = chance.randrange(size - (1 << 20))
        if kind == "play":
            # as a browser's <video> does: from somewhere to the end, given up after a while
            connection.request("GET", path, headers={"Range": f"bytes={start // 2}-"})
            answer = connection.getresponse()
            while time.monotonic() < end and (more := drain(answer, 8 << 20)):
                got += more
            connection.close()
        else:
            connection.request("GET", path, headers={"Range": f"bytes={start}-{start + (1 << 20) - 1}"})
            answer = connection.getresponse()
            if answer.status != 206:
                raise SystemExit(f"status {answer.status}")
            got += drain(answer)
    out.put(got)


def load(server: Server, size: int, kind: str, seconds: float) -> tuple[float, float]:
    """CPU seconds a GB, and MB/s."""
    out: multiprocessing.Queue[int] = multiprocessing.Queue()
    before, began = server.cpu(), time.monotonic()
    clients = [
        multiprocessing.Process(target=client, args=(server.port, server.path, size, kind, n, seconds, out))
        for n in range(CLIENTS)
    ]
    for process in clients:
        process.start()
    got = sum(out.get(timeout=seconds + 120) for _ in clients)
    for process in clients:
        process.join()
    took = time.monotonic() - began
    return (server.cpu() - before) / (got / 1e9), got / took / 1e6


def slow_clients(
    port: int,
    path: str,
    count: int,
    rate: int,
    stop: multiprocessing.synchronize.Event,
    out: multiprocessing.Queue[float],
) -> None:
    """`count` streams in one process, each read at `rate` bytes a second. Tells the rate that was reached."""
    streams = []
    for _ in range(count):
        one = socket.create_connection(("127.0.0.1", port))
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 17)
        one.sendall(f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
        one.setblocking(False)
        streams.append(one)
    began, got, buffer, turn = time.monotonic(), 0, bytearray(rate // 5), 0
    while not stop.is_set():
        turn += 1
        for one in streams:
            try:
                got += one.recv_into(buffer)
            except BlockingIOError:
                pass
        pause = began + turn / 5 - time.monotonic()
        if pause > 0:
            time.sleep(pause)
    out.put(got / (time.monotonic() - began) / count)


def page_cost(server: Server) -> float:
    """CPU milliseconds of the whole server while pages are asked for one after the other, a page."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    before = server.cpu()
    for _ in range(PAGES):
        connection.request("GET", "/")
        connection.getresponse().read()
    return 1000 * (server.cpu() - before) / PAGES


def pages_beside_streams(server: Server, rate: int) -> tuple[float, float, float, float]:
    """CPU ms a page alone; beside the streams, their own share taken off; that share; the rate reached."""
    alone = page_cost(server)
    stop, out = multiprocessing.Event(), multiprocessing.Queue()
    slow = multiprocessing.Process(
        target=slow_clients, args=(server.port, server.path, SLOW, rate, stop, out)
    )
    slow.start()
    time.sleep(3)
    before, began = server.cpu(), time.monotonic()
    time.sleep(5)
    share = (server.cpu() - before) / (time.monotonic() - began)  # of a core, for the streams alone
    before, began = server.cpu(), time.monotonic()
    page_cost(server)
    took = time.monotonic() - began
    beside = 1000 * (server.cpu() - before - share * took) / PAGES
    stop.set()
    reached = out.get(timeout=60)
    slow.join()
    return alone, beside, share, reached


def start(folder: Path, megabytes: int) -> tuple[list[Server], int]:
    """The three servers on one file."""
    box = SmallBox(folder / "box")
    with open("/dev/urandom", "rb") as noise:
        data = noise.read(1 << 20) * megabytes
    resource = box.resource("r1", "video", "录像", "video/mp4", ("视频.mp4", "main", data))
    size = len(data)
    del data
    box.lesson(PLACE, "第一单元", 1, "大青树下的小学", (resource,))
    for number in range(2, 28):
        picture = box.resource("r1", "picture", "图", "image/png", ("图.png", "main", b"png%d" % number))
        box.lesson(PLACE, f"第{number // 4}单元", number, f"第{number}篇课文", (picture,))
    box.write(int(time.time()))
    web = WebProcess(box, "threads = 200\nstreams = 160\n")
    root = resource.main.file.root
    file = box.paths.objects / root[:2] / root
    port, plain_port = free_port(), free_port()
    conf = folder / "nginx.conf"
    conf.write_text(NGINX.format(dir=folder, port=port, file=file))
    nginx = subprocess.Popen(["nginx", "-p", str(folder), "-c", str(conf)], stderr=subprocess.DEVNULL)
    script = PLAIN.format(root=str(Path(__file__).resolve().parents[1]), file=str(file), port=plain_port)
    plain = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)

    def end(process: subprocess.Popen[bytes]) -> Callable[[], object]:
        return lambda: (process.send_signal(signal.SIGTERM), process.wait(30))

    servers = [
        Server("nginx", port, "/a.mp4", nginx.pid, end(nginx)),
        Server("Lesson Box", web.port, f"/content/{root}/a.mp4", web.process.pid, web.stop),
        Server("plain send_file", plain_port, "/a.mp4", plain.pid, end(plain)),
    ]
    for server in servers:
        server.wait()
    return servers, size


def main() -> None:
    """Measure and print."""
    reader = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    reader.add_argument("--size", type=int, default=1000, help="MiB of the file")
    reader.add_argument("--rounds", type=int, default=3)
    reader.add_argument("--seconds", type=float, default=6)
    chosen = reader.parse_args()
    memory = Path("/dev/shm")
    room = memory.is_dir() and shutil.disk_usage(memory).free > chosen.size * (3 << 20)
    folder = Path(tempfile.mkdtemp(prefix="lessonbox-bench-", dir=memory if room else None))
    servers, size = start(folder, chosen.size)
    try:
        figures: dict[tuple[str, str], list[tuple[float, float]]] = {}
        for _ in range(chosen.rounds):
            for kind in ("play", "ranges"):
                for server in servers:
                    found = load(server, size, kind, chosen.seconds)
                    figures.setdefault((server.name, kind), []).append(found)
        where = "memory" if room else "a disk"
        print(f"\n{CLIENTS} clients, a file of {chosen.size} MiB in {where}, median of {chosen.rounds}\n")
        print("| | CPU s a GB | MB/s | CPU to nginx | MB/s to nginx |\n|---|---|---|---|---|")
        for kind, label in (("play", "open-ended play"), ("ranges", "1 MiB ranges")):
            base = [statistics.median(column) for column in zip(*figures["nginx", kind], strict=True)]
            for server in servers:
                cpu, speed = (
                    statistics.median(column) for column in zip(*figures[server.name, kind], strict=True)
                )
                ratios = f"{cpu / base[0]:.2f} | {speed / base[1]:.3f}"
                print(f"| {label}, {server.name} | {cpu:.3f} | {speed:.0f} | {ratios} |")
        rows = [pages_beside_streams(servers[1], RATE) for _ in range(chosen.rounds)]
        alone, beside, share, reached = (statistics.median(column) for column in zip(*rows, strict=True))
        print(f"\n| home page, {PAGES} times | |\n|---|---|")
        print(f"| CPU ms a page, alone | {alone:.2f} |")
        print(f"| CPU ms a page beside {SLOW} streams (their own share taken off) | {beside:.2f} |")
        print(f"| ratio | {beside / alone:.2f} |")
        print(f"| those streams: asked {RATE / 1e6:.2f} MB/s each, reached | {reached / 1e6:.2f} |")
        print(f"| CPU of the streams alone, share of a core | {share:.3f} |")
    finally:
        for server in servers:
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
