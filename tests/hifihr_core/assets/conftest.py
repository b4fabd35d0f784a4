"""A small web server that serves one file, with the faults that real ones have."""

import hashlib
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

CONTENT = bytes(range(256)) * 4096


class Handler(BaseHTTPRequestHandler):
    """Serves `CONTENT` as the server's `mode` says and remembers the ranges asked for."""

    def do_GET(self):
        server = self.server
        asked = self.headers.get("Range")
        server.ranges.append(asked)
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and server.mode != "no ranges" else 0
        if server.mode == "gone":
            self.send_error(404, "Not Found")
            return
        if start >= len(CONTENT):
            self.send_error(416, "Range Not Satisfiable")
            return
        self.send_response(206 if start else 200)
        lengths = {"no length": None, "endless": None, "odd length": "9" * 6000}
        if (length := lengths.get(server.mode, str(len(CONTENT) - start))) is not None:
            self.send_header("Content-Length", length)
        self.end_headers()
        body = CONTENT[start:]
        if server.mode == "cut":
            body = body[: len(body) // 2]
        if server.mode == "wrong bytes":
            body = body[:-1] + b"!"
        with suppress(ConnectionError):  # the reader leaves when it has had enough
            while True:
                self.wfile.write(body)
                if server.mode != "endless":
                    break

    def log_message(self, *args):
        """Stay silent."""


@pytest.fixture
def content():
    return CONTENT


@pytest.fixture
def web():
    """Yield the server; set `mode` to one of its faults, read `ranges` and `url`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.mode, server.ranges = "good", []
    server.url = f"http://127.0.0.1:{server.server_port}/file.bin"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def served(web, home):
    """Return a free asset whose file is on the server."""
    from hifihr_core.assets.registry import Asset, Source

    return Asset(
        id="served",
        kind="metric weights",
        title="a file",
        licence="free",
        terms="none",
        homepage="http://localhost",
        file="file.bin",
        source=Source(url=web.url, size=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest()),
        needed_by="tests",
        citation="none",
    )
