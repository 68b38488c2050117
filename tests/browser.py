"""A headless Chromium for the tests of the pages; a test is skipped where there is none."""

import re
import shutil
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@contextmanager
def recording() -> Iterator[tuple[int, list[str]]]:
    """A proxy that answers nothing; yields its port and the lines that were asked of it."""
    asked: list[str] = []

    class Refuse(socketserver.StreamRequestHandler):
        def handle(self):
            asked.append(self.rfile.readline().decode(errors="replace").strip())

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Refuse) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_address[1], asked
        finally:
            server.shutdown()


def run(folder: Path, address: str, *options: str) -> tuple[str, list[str], list[str]]:
    """Open `address` with an empty profile below `folder`, every request going to a proxy that refuses it.

    Returns what Chromium wrote on standard output, what the page said on its console, and what was asked of the proxy
    but for what Chromium asks its makers for.
    """
    if CHROMIUM is None:
        pytest.skip("no Chromium here")
    profile = folder / "profile"
    shutil.rmtree(profile, ignore_errors=True)
    command = (CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars")
    command += ("--disable-dev-shm-usage",)  # which is small in a container
    quiet = ("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions")
    with recording() as (port, asked):
        quiet += ("--enable-logging=stderr", f"--proxy-server=127.0.0.1:{port}", f"--user-data-dir={profile}")
        done = subprocess.run([*command, *quiet, *options, address], capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr[-2000:]
    own = re.compile(r"(google|gstatic|googleapis|gvt1)\.com[:/]")
    return done.stdout, re.findall(r"CONSOLE.*", done.stderr), [line for line in asked if not own.search(line)]


def dom(folder: Path, address: str) -> str:
    """The page's HTML after its script has run; it must have asked for nothing and complained of nothing."""
    html, console, asked = run(folder, address, "--dump-dom", "--virtual-time-budget=3000")
    assert console == []
    assert asked == []
    return html


def outside(html: str) -> list[str]:
    """Addresses that a page would ask for: every src, href, url() and import that is neither data: nor a fragment."""
    found = re.findall(r"""(?:src|href|action|poster|srcset)\s*=\s*["']([^"']+)""", html)
    found += re.findall(r"url\(\s*['\"]?([^)'\"]+)", html) + re.findall(r"@import\s+([^;]+)", html)
    found += re.findall(r"(?:fetch|XMLHttpRequest|WebSocket|EventSource|sendBeacon)\s*\(", html)
    return [address for address in found if not address.startswith(("data:", "#"))]
