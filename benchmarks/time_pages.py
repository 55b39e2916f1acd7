"""What a page of the built book costs its reader: bytes, requests, hosts, and how Lighthouse judges it.

The book is served from this machine, compressed, as a web server would. Each page is read to its end, so that
all widgets on it have come alive. Lighthouse simulates a phone on a slow connection. Its scores change from
run to run: each page is judged three times, and the middle score stands.
"""

import gzip
import json
import os
import shutil
import subprocess
import threading
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median_low
from urllib.parse import unquote, urlsplit

from benchmarks import line
from benchmarks.chromium import find_chromium

BOOK = Path(__file__).parents[1] / "_build" / "html"
TEXTS = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
LIGHTHOUSE = "lighthouse@12"
JUDGED = ("performance", "accessibility", "best-practices")


@cache
def compressed(path: Path) -> bytes:
    """Return a file as it travels: text gzipped, the rest as it is."""
    content = path.read_bytes()
    return gzip.compress(content) if path.suffix in TEXTS else content


class Compressing(SimpleHTTPRequestHandler):
    """Serve files as GitHub Pages does: text gzipped, and kept by the browser for ten minutes."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Send a file, or 404."""
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404)
            return
        content = compressed(path)
        self.send_response(200)
        self.send_header("Content-Type", TEXTS.get(path.suffix) or self.guess_type(path))
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "max-age=600")
        if path.suffix in TEXTS:
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *words: object) -> None:
        """Say nothing."""


def fetched(browser, address: str) -> list[str]:  # type: ignore[no-untyped-def]
    """Return the address of everything that a browser fetches while a page is read to its end."""
    page = browser.new_page()
    addresses: list[str] = []
    page.on("request", lambda request: addresses.append(request.url))
    page.goto(address)
    for place in page.locator(".course-widget-place").all():
        place.scroll_into_view_if_needed()
        place.and_(page.locator("[data-state=alive]")).wait_for(state="attached")
    page.close()
    return [url for url in addresses if url.startswith("http")]


def weights(addresses: list[str]) -> tuple[float, float]:
    """Return the kilobytes of HTML, scripts and styles, and of all else: pictures, fonts, data of widgets."""
    files = {BOOK / unquote(urlsplit(url).path).lstrip("/") for url in addresses}
    sizes: dict[bool, list[int]] = {True: [0], False: [0]}
    for path in files:
        data = path.parent.name == "widgets" and path.read_bytes().startswith(b"(window.courseBuffers")
        sizes[path.suffix in (".html", ".js", ".css") and not data].append(len(compressed(path)))
    return sum(sizes[True]) / 1000, sum(sizes[False]) / 1000


def lighthouse(address: str, chromium: str) -> list[int]:
    """Return the middle one of three scores for each category, or none where Lighthouse can't run."""
    flags = "--headless=new --no-sandbox"
    command = ["npx", "--yes", LIGHTHOUSE, address, "--quiet", "--output=json", f"--chrome-flags={flags}"]
    runs = []
    for _ in range(3):
        done = subprocess.run(
            [*command, f"--only-categories={','.join(JUDGED)}"],
            env={**os.environ, "CHROME_PATH": chromium},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            return []
        runs.append(json.loads(done.stdout)["categories"])
    return [round(100 * median_low(run[name]["score"] for run in runs)) for name in JUDGED]


def judge(rows: dict[str, list[float]]) -> None:
    """Give the lines of the pages that are worst."""

    def worst(what: str, column: int, budget: float, unit: str, best: float = 0) -> None:
        numbers = {name: [abs(best - row[column])] for name, row in rows.items() if len(row) > column}
        if numbers:
            name = max(numbers, key=lambda name: numbers[name])
            line(f"{what}: {name}", numbers, ours=name, budget=budget, unit=unit)

    worst("largest page, HTML, scripts and styles", 0, 250, "kB")
    worst("most hosts that a page asks", 3, 1, "host(s)")
    for number, name in enumerate(JUDGED):
        worst(f"Lighthouse, {name}, most points lost", 4 + number, 5, "points", best=100)


def main() -> None:
    """Print a row for each page, and give the lines of those that are worst."""
    chromium = find_chromium()
    if not BOOK.is_dir() or not chromium:
        print("\nPages: not measured. That needs Chromium, and the book: run `make book` before.")
        return
    from playwright.sync_api import sync_playwright

    if not shutil.which("npx"):
        print("\nLighthouse does not run here: it needs Node.")
    server = ThreadingHTTPServer(("localhost", 0), partial(Compressing, directory=BOOK))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    paths = [path.relative_to(BOOK).as_posix() for path in sorted(BOOK.glob("chapters/**/*.html"))]
    print(
        "\nPages: kB gzipped, of HTML, scripts and styles, and of all else; Lighthouse on a simulated phone\n"
    )
    heads = ("page", "page kB", "other kB", "requests", "hosts", "perform.", "access.", "practice")
    print(f"  {heads[0]:40}" + "".join(f"{head:>10}" for head in heads[1:]))
    rows = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for path in paths:
            address = f"http://localhost:{server.server_port}/{path}"
            addresses = fetched(browser, address)
            hosts = len({urlsplit(url).hostname for url in addresses})
            scores = lighthouse(address, chromium) if shutil.which("npx") else []
            name = path.removeprefix("chapters/").removesuffix(".html")
            rows[name] = [*weights(addresses), len(addresses), hosts, *scores]
            print(f"  {name:40}" + "".join(f"{number:>10.0f}" for number in rows[name]), flush=True)
        browser.close()
    server.shutdown()
    judge(rows)


if __name__ == "__main__":
    main()
