"""Every example in Python, as its page says to run it, on a real cluster."""

from __future__ import annotations

import contextlib
import http.server
import json
import re
import sys
import threading
from pathlib import Path
from typing import Iterator, List

import pytest
from live_cluster import EXAMPLES, SOURCE, connection, flmctl, needs_cluster, output_of, remove, short_folder

import flamepy

__all__ = ["connection"]

pytestmark = needs_cluster


@contextlib.contextmanager
def registered(connection: flamepy.Connection, manifest: str, more: str = "") -> Iterator[Path]:
    """Registers an example by its own file, put where it is and with the Python of this test. Yields its folder."""
    file = EXAMPLES / manifest
    with short_folder() as folder:
        python = folder / "python3"
        python.write_text(f'#!/bin/sh\nPYTHONPATH={SOURCE} exec {sys.executable} "$@"\n')
        python.chmod(0o755)
        text = file.read_text().replace("/opt/examples", str(EXAMPLES))
        text, places = re.subn("command: python3$", f"command: {python}", text, flags=re.MULTILINE)
        assert places == 1, text
        flmctl("register", "-f", "-", stdin=text + more)
        match = re.search(r"name: (\S+)", text)
        assert match is not None
        try:
            yield file.parent
        finally:
            remove(connection, match[1])


def client(folder: Path, *words: str) -> List[str]:
    """What the client of an example prints."""
    return output_of([sys.executable, str(folder / "client.py"), *words]).splitlines()


def test_echo(connection: flamepy.Connection) -> None:
    with registered(connection, "echo/python/echo-app.yaml") as folder:
        assert client(folder, "hello", "world") == ["hello", "world"]


def test_pi(connection: flamepy.Connection) -> None:
    with registered(connection, "pi/python/pi-app.yaml") as folder:
        (line,) = client(folder, "40", "5000")
        match = re.fullmatch(r"pi is about (3\.\d{5}), by 40 tasks of 5000 points each", line)
        assert match is not None, line
        assert 3.1 < float(match[1]) < 3.2
        assert client(folder, "40", "5000") == [line], "the points are the same every time"


def test_crawler(connection: flamepy.Connection) -> None:
    pytest.importorskip("markitdown", reason="examples/crawler/requirements.txt is not installed")

    def crawls() -> List[flamepy.Session]:
        return [one for one in connection.list_sessions() if one.application == "crawler-app"]

    with site(9) as address, short_folder() as output:
        where = f"\n  # the test's\n  environments: {{ CRAWLER_OUTPUT: {output} }}\n"
        # A manifest has each key once.
        with registered_crawler(connection, where) as folder:
            # The cluster may remember sessions of earlier runs.
            before = {one.id for one in crawls()}
            urls = [f"{address}/page-{number}.html" for number in range(9)]
            assert client(folder, *urls) == [f"Crawled {url}" for url in urls]
            files = sorted(output.iterdir())
            assert len(files) == 9 and {file.suffix for file in files} == {".md"}
            texts = [file.read_text() for file in files]
            for number in range(9):
                (text,) = [text for text in texts if f"# Page {number}" in text]
                assert f"[the next](page-{number + 1}.html)" in text and "<h1>" not in text
            (session,) = [one for one in crawls() if one.id not in before]
            assert (session.state, session.succeed, session.failed) == (flamepy.SessionState.CLOSED, 9, 0)
            view = flmctl("view", "-s", session.id, "-t", "1")
            assert "Succeed" in view and "crawler-app" in view
            # Once more: the same files, replaced.
            client(folder, *urls)
            assert sorted(output.iterdir()) == files


@contextlib.contextmanager
def registered_crawler(connection: flamepy.Connection, environments: str) -> Iterator[Path]:
    file = EXAMPLES / "crawler/crawler-app.yaml"
    text = file.read_text()
    start, end = text.index("  environments:"), text.index("  command:")
    with short_folder() as folder:
        # The same file, with another folder for the pages.
        (folder / "crawler-app.yaml").write_text(text[:start] + environments.strip("\n") + "\n" + text[end:])
        with registered(connection, str(folder / "crawler-app.yaml")):
            yield file.parent


@contextlib.contextmanager
def site(pages: int) -> Iterator[str]:
    """A site of pages on the loopback."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            match = re.fullmatch(r"/page-(\d+)\.html", self.path)
            if match is None or int(match[1]) >= pages:
                self.send_error(404)
                return
            number = int(match[1])
            body = (
                f"<html><head><title>P</title></head><body><h1>Page {number}</h1>"
                f'<p>See <a href="page-{number + 1}.html">the next</a>.</p></body></html>'
            ).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def test_agent_session(connection: flamepy.Connection) -> None:
    with registered(connection, "agent-session/agent-app.yaml") as folder:
        assert client(folder) == [
            "You: My name is Ada.",
            "Socrates: I will remember your name.",
            "You: My city is London.",
            "Socrates: I will remember your city.",
            "You: What is my name?",
            "Socrates: it is Ada.",
            "You: What is my city?",
            "Socrates: it is London.",
        ]
        assert client(folder, "What is my name?")[1] == "Socrates: you never told me.", (
            "a session knows nothing of others"
        )
        # Another process takes a conversation up: it says so, and goes on when it is told the beginning.
        attributes = flamepy.SessionAttributes("agent-app", common_data=b'{"name":"Plato"}', max_instances=1)
        with connection.create_session(attributes, codec="json") as session:
            question = {"text": "What is my name?", "turn": 3}
            assert session.invoke(question) == {"text": "", "turn": 0, "has_forgotten": True}
            answer = session.invoke({**question, "earlier": ["My name is Ada.", "Well."]})
            assert answer == {"text": "Plato: it is Ada.", "turn": 3, "has_forgotten": False}


def test_the_pages_say_what_the_tests_do() -> None:
    """The line in each page that registers the example names its manifest."""
    for manifest in EXAMPLES.glob("**/*-app.yaml"):
        if manifest.parent.name == "rust":
            continue
        name = manifest.relative_to(EXAMPLES.parent)
        command = f'sed "s|/opt/examples|$PWD/examples|" {name} | flmctl register -f -'
        assert command in manifest.read_text(), manifest
        assert command in (manifest.parent / "README.md").read_text(), manifest
        assert json.dumps(str(name.parent.relative_to("examples"))).strip('"') in (EXAMPLES / "README.md").read_text()
