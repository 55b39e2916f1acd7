"""What the browser tests share: Chromium, and a page with widgets that the book's own host brings to life."""

from __future__ import annotations

import html
import os
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.chromium import find_chromium
from course_lib.book import widgets as on_pages

ROOT = Path(__file__).parents[1]
STATIC = Path(on_pages.__file__).parent / "static"
PIXEL = "data:image/gif;base64,R0lGODlhAQABAAAAACw="


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """Chromium, driven by playwright. Where there is none, the tests that need it are skipped, loudly."""
    executable = find_chromium()
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        executable = None
    if executable is None:
        warnings.warn("THE WIDGETS WERE NOT TESTED IN A BROWSER: there is no Chromium here", stacklevel=1)
        pytest.skip("no Chromium, or no playwright: not tested in a browser")
    with sync_playwright() as playwright:
        no_other_host = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost"
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", no_other_host])
        yield browser
        browser.close()


@pytest.fixture
def show(chromium: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Put widgets on a page and return it when all of them are alive.

    The page is a file, without a kernel. The test fails at its end if the page reported an error or asked for
    anything but the book's own files; `show.faults` lists what it reported.
    """
    contexts: list[Any] = []
    faults: list[str] = []

    def show(
        *widgets: Any,
        theme: str = "light",
        width: int = 900,
        height: int = 1000,
        touch: bool = False,
        reduced_motion: bool = False,
    ) -> Any:
        path = tmp_path / f"page-{len(contexts)}.html"
        path.write_text(page_with(widgets, theme, tmp_path / "_static"), encoding="utf8")
        context = chromium.new_context(
            viewport={"width": width, "height": height},
            has_touch=touch,
            is_mobile=touch,
            color_scheme=theme,
            reduced_motion="reduce" if reduced_motion else "no-preference",
        )
        contexts.append(context)
        context.set_default_timeout(20_000)
        page = context.new_page()
        watch(page, faults)
        page.goto(path.as_uri())
        for number in range(len(widgets)):  # those far below wake when they come near
            place = page.locator(".course-widget-place").nth(number)
            place.scroll_into_view_if_needed()
            place.and_(page.locator("[data-state=alive], [data-state=failed]")).wait_for(state="attached")
        page.evaluate("scrollTo(0, 0)")
        return page

    show.faults = faults  # type: ignore[attr-defined]
    yield show
    for context in contexts:
        context.close()
    assert faults == []


@pytest.fixture(scope="session")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The book, built from nothing as `make book` builds it; the workers of pytest-xdist share one."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    folder, report = folder / "the-book", folder / "the-book.txt"
    try:
        folder.mkdir()
    except FileExistsError:  # another worker is building it
        patience = time.monotonic() + 300
        while not report.exists():
            assert time.monotonic() < patience, "the worker that builds the book gave no report"
            time.sleep(0.2)
    else:
        build = ["build", str(ROOT), "--path-output", str(folder), "-W", "-n", "--keep-going"]
        done = subprocess.run(
            [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", *build],
            capture_output=True,
            text=True,
            env={**os.environ, "NO_COLOR": "1"},
        )
        said = "" if done.returncode == 0 else done.stdout[-3000:] + done.stderr[-6000:]
        (folder / "said").write_text(said, encoding="utf8")
        (folder / "said").rename(report)
    assert report.read_text(encoding="utf8") == ""
    return folder / "_build" / "html"


def watch(page: Any, faults: list[str]) -> None:
    """Note every error that the page reports, and every request for what is not beside it."""

    def asked(request: Any) -> None:
        if not request.url.startswith(("file:", "data:", "blob:", "http://localhost:")):
            faults.append(f"asks another host: {request.url}")

    page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", asked)


def page_with(widgets: tuple[Any, ...], theme: str, static: Path) -> str:
    """Return a page that holds widgets as the book does, and write the files that it loads into `static`."""
    static.mkdir(exist_ok=True)
    for name in ("widget-host.js", "book.css"):
        shutil.copy(STATIC / name, static)
    places = []
    for widget in widgets:
        left = widget.on_a_page()
        on_pages.write_module(left["widget"], widget, static / "widgets")
        picture = f'<img src="{PIXEL}" alt="{html.escape(left["alt"])}">'
        places.append(on_pages.opening(left) + picture + on_pages.closing(left, static / "widgets"))
    ground = {"light": "#ffffff", "dark": "#14181e"}[theme]
    return f"""<!doctype html>
<html lang="en" data-theme="{theme}">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Widgets</title>
<link rel="stylesheet" href="_static/book.css">
<script defer src="_static/widget-host.js"></script>
<body style="margin: 12px auto; max-width: 52rem; background: {ground}"><main>
<article class="bd-article">{"".join(places)}</article>
</main></body></html>
"""
