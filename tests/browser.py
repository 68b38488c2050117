"""A headless Chromium for the tests of the pages; a test is skipped where there is none."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def run(folder: Path, address: str, *options: str) -> subprocess.CompletedProcess:
    """Open `address` with an empty profile below `folder` and a proxy that answers nobody: a request cannot succeed."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here")
    profile = folder / "profile"
    shutil.rmtree(profile, ignore_errors=True)
    command = (CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars")
    quiet = ("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions")
    quiet += ("--enable-logging=stderr", "--v=0", "--proxy-server=127.0.0.1:9", f"--user-data-dir={profile}")
    done = subprocess.run([*command, *quiet, *options, address], capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr[-2000:]
    return done


def dom(folder: Path, address: str) -> tuple[str, list[str]]:
    """The page's HTML after its script has run, and what it said on the console (errors, refused requests)."""
    done = run(folder, address, "--dump-dom", "--virtual-time-budget=3000")
    return done.stdout, re.findall(r"CONSOLE.*", done.stderr)


def outside(html: str) -> list[str]:
    """Addresses that a page would ask for: every src, href, url() and import that is neither data: nor a fragment."""
    found = re.findall(r"""(?:src|href|action|poster|srcset)\s*=\s*["']([^"']+)""", html)
    found += re.findall(r"url\(\s*['\"]?([^)'\"]+)", html) + re.findall(r"@import\s+([^;]+)", html)
    found += re.findall(r"(?:fetch|XMLHttpRequest|WebSocket|EventSource|sendBeacon)\s*\(", html)
    return [address for address in found if not address.startswith(("data:", "#"))]
