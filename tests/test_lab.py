"""The widgets in a real JupyterLab, driven by a browser: what a reader changes reaches Python, and back."""

from __future__ import annotations

import json
import os
import re
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from nbformat.sign import NotebookNotary
from nbformat.v4 import new_code_cell, new_notebook, new_output
from scipy.signal import correlate2d

from conftest import watch
from course_lib.book.execute import forget_the_machine
from course_lib.widgets.image_browser import ImageBrowser

PATIENCE = 60  # seconds for Lab or a kernel to answer, on a machine that is busy with other tests


class Server:
    """A JupyterLab of its own: its address and token, the folder that it serves, and that of its own data."""

    def __init__(self, address: str, token: str, served: Path, data: Path) -> None:
        self.address, self.token, self.served, self.data = address, token, served, data


class Notebook:
    """A notebook that is open in Lab. Its last cell is empty, for `run`."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.cells = page.locator(".jp-Notebook .jp-CodeCell")
        self.runs = 0

    def widget(self, number: int = 0) -> Any:
        """The widget in the output of a cell, counted from 0."""
        return self.cells.nth(number).locator(".course-widget")

    def run_all(self) -> None:
        """Choose Run All Cells in the menu, as a reader does."""
        self.page.get_by_role("menuitem", name="Run", exact=True).click()
        self.page.get_by_role("menuitem", name="Run All Cells", exact=True).click()

    def run(self, code: str) -> str:
        """Write code into the last cell, press Ctrl+Enter, and return what it printed."""
        self.runs += 1
        done = f"(end of run {self.runs})"
        cell = self.cells.last
        cell.get_by_role("textbox").fill(f"{code}\nprint({done!r})")
        self.page.keyboard.press("Control+Enter")
        ended = cell.locator(".jp-OutputArea-output", has_text=re.compile(re.escape(done) + "|Traceback"))
        ended.wait_for()
        printed: str = ended.inner_text()
        assert "Traceback" not in printed, printed
        return printed.removesuffix("\n").removesuffix(done).strip()

    def value(self, expression: str) -> Any:
        """Return what an expression is in Python now."""
        return json.loads(self.run(f"import json\nprint(json.dumps({expression}))"))


@pytest.fixture(scope="module")
def server(chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start JupyterLab with settings of its own, and stop it whatever happens."""
    folder = tmp_path_factory.mktemp("lab")
    served = folder / "served"
    served.mkdir()
    settings = folder / "config" / "labconfig" / "default_setting_overrides.json"
    settings.parent.mkdir(parents=True)
    news = {"fetchNews": "false", "checkForUpdates": False}  # else Lab asks whether to fetch news
    settings.write_text(json.dumps({"@jupyterlab/apputils-extension:notification": news}))
    token = secrets.token_hex()
    own = {
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "IPYTHONDIR": str(folder / "ipython"),
    }
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--no-browser", "--allow-root", "--ip=localhost", f"--port={port}"]
    options += [f"--ServerApp.root_dir={served}", f"--IdentityProvider.token={token}"]
    command = [sys.executable, "-m", "jupyterlab", *options]
    with (folder / "log").open("w") as log:
        lab = subprocess.Popen(command, env=os.environ | own, stdout=log, stderr=log)
    try:
        yield Server(_address(lab, folder), token, served, folder / "data")
    finally:
        lab.terminate()  # and with it, its kernels
        try:
            lab.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            lab.kill()


def _address(lab: subprocess.Popen[bytes], folder: Path) -> str:
    """Wait for the file that a server writes when it listens, and return the address in it."""
    patience = time.monotonic() + PATIENCE
    while time.monotonic() < patience and lab.poll() is None:
        for file in (folder / "runtime").glob("jpserver-*.json"):
            if (text := file.read_text()).endswith("}"):
                return str(json.loads(text)["url"])
        time.sleep(0.05)
    raise RuntimeError(f"JupyterLab did not start: {(folder / 'log').read_text()}")


@pytest.fixture(scope="module")
def window(chromium: Any) -> Iterator[Any]:
    """A window of the browser for all tests, so that Lab's own scripts are fetched once."""
    context = chromium.new_context(viewport={"width": 1300, "height": 2400})
    context.set_default_timeout(1000 * PATIENCE)
    yield context
    context.close()


@pytest.fixture
def open_notebook(window: Any, server: Server) -> Iterator[Callable[..., Notebook]]:
    """Open a notebook that has these cells and one for `Notebook.run`.

    The test fails at its end if the page reported an error or asked for another host than this one.
    """
    faults: list[str] = []

    def open_notebook(*cells: str | nbformat.NotebookNode) -> Notebook:
        name = f"{secrets.token_hex(4)}.ipynb"
        codes = [new_code_cell(cell) if isinstance(cell, str) else cell for cell in (*cells, "")]
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        book = new_notebook(cells=codes, metadata={"kernelspec": kernel})
        forget_the_machine(book)  # of outputs that were stored, as in a chapter
        NotebookNotary(data_dir=str(server.data)).sign(book)  # else Lab distrusts them
        nbformat.write(book, server.served / name)
        page = window.new_page()
        watch(page, faults)
        workspace = name.removesuffix(".ipynb")  # so that Lab doesn't open what an earlier test had open
        page.goto(f"{server.address}lab/workspaces/{workspace}/tree/{name}?token={server.token}")
        # In the status bar. What runs sooner is lost; other signs of an idle kernel come too soon.
        page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
        return Notebook(page)

    yield open_notebook
    for page in window.pages:
        page.close()
    assert faults == []


def expect(look: Callable[[], Any], wanted: Any) -> None:
    """Look again until what is wanted is there: a message is on its way between the view and Python."""
    patience = time.monotonic() + PATIENCE
    while (seen := look()) != wanted and time.monotonic() < patience:
        time.sleep(0.02)
    assert seen == wanted


# KernelExplorer ---------------------------------------------------------------------------------------------

EXPLORER = """
import numpy as np
from course_lib.widgets.kernel_explorer import KernelExplorer
explorer = KernelExplorer(np.random.default_rng(1).integers(0, 10, (9, 12)))
explorer
"""


def corner(widget: Any) -> Any:
    """The first field of the kernel."""
    return widget.get_by_label("row 0, column 0", exact=True)


def write(widget: Any, number: float) -> None:
    """Click the first field of the kernel and type a number."""
    corner(widget).click()
    widget.page.keyboard.insert_text(str(number))


IMAGE, KERNEL, FEATURE_MAP, ACTIVATED, POOLED = range(5)  # the stages, from left to right


def numbers(widget: Any, stage: int) -> str:
    """What the widget writes below a stage: its size, and its smallest and largest number."""
    text: str = widget.locator(".stage").nth(stage).locator(".numbers").inner_text()
    return text.replace("\n", " ").replace("\N{MINUS SIGN}", "-")


def test_a_kernel_goes_from_the_view_to_python_and_the_bias_from_python_to_the_views(
    open_notebook: Any,
) -> None:
    notebook = open_notebook(EXPLORER, "explorer")
    notebook.run_all()
    one, other = notebook.widget(0), notebook.widget(1)

    write(one, -2.5)
    expect(corner(other).input_value, "\N{MINUS SIGN}2.5")

    image, kernel, feature_map = notebook.value(
        "[explorer.image.tolist(), explorer.kernel.tolist(), explorer.feature_map.tolist()]"
    )
    assert kernel == [[-2.5, -0.5, -0.5], [1, 1, 1], [-0.5, -0.5, -0.5]]
    expected = correlate2d(image, kernel, mode="valid")
    np.testing.assert_allclose(feature_map, expected)

    notebook.run("explorer.bias = 100")
    for widget in (one, other):
        expect(widget.get_by_label("+ bias").input_value, "100")
        expect(
            lambda: numbers(widget, FEATURE_MAP),  # noqa: B023
            f"7 × 10 {expected.min() + 100:g} to {expected.max() + 100:g}",
        )

    one.get_by_label("activation", exact=True).select_option("relu")
    one.get_by_label("max-pooling", exact=True).select_option("2")
    blocks = np.maximum(expected + 100, 0)[:6].reshape(3, 2, 5, 2).max(axis=(1, 3))
    expect(lambda: numbers(other, POOLED), f"3 × 5 {blocks.min():g} to {blocks.max():g}")
    assert notebook.value("[explorer.activation, explorer.pooled.tolist()]") == ["relu", blocks.tolist()]


def has_crosses(widget: Any) -> bool:
    """Whether something is painted over the feature map."""
    painted = "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(Boolean)"
    marks = widget.locator(".stage").nth(FEATURE_MAP).locator(".marks")
    return bool(marks.is_visible() and marks.evaluate(painted))


OWN_FUNCTIONS = """
import numpy as np
from course_lib.widgets.kernel_explorer import KernelExplorer

image = np.random.default_rng(1).integers(0, 10, (9, 12))
calls = 0

def right(X, K):
    global calls
    calls += 1
    k = len(K)
    rows, columns = range(X.shape[0] - k + 1), range(X.shape[1] - k + 1)
    return [[(X[i:i + k, j:j + k] * K).sum() for j in columns] for i in rows]

def turned(X, K):
    return right(X, K[::-1])

def failing(X, K):
    if K[0, 0] > 0:
        raise ValueError("a kernel that I can't bear")
    return right(X, K)

explorer = KernelExplorer(image, convolution=right)
explorer
"""


def test_the_learners_own_function_runs_at_every_change(open_notebook: Any) -> None:
    notebook = open_notebook(
        OWN_FUNCTIONS,
        "KernelExplorer(image, convolution=turned)",
        "KernelExplorer(image, convolution=failing)",
    )
    notebook.run_all()
    agreeing, differing, failing = (notebook.widget(number) for number in range(3))
    agreeing.get_by_text("right gives the same numbers at all 70 places.").wait_for()
    # The kernel of the assignment is its own mirror image.
    differing.get_by_text("turned gives the same numbers at all 70 places.").wait_for()
    calls = notebook.value("calls")

    write(agreeing, 3)
    expect(lambda: notebook.value("calls") > calls, True)
    agreeing.get_by_text("right gives the same numbers at all 70 places.").wait_for()

    write(differing, 3)
    differing.get_by_text(re.compile(r"turned differs at \d+ of 70 places")).wait_for()
    expect(lambda: [has_crosses(each) for each in (agreeing, differing)], [False, True])

    write(failing, 3)
    failing.get_by_text("failing raised ValueError: a kernel that I can't bear").wait_for()
    notebook.run("explorer.convolution = failing")  # in the first of the three
    agreeing.get_by_text("failing raised ValueError").wait_for()


# ImageBrowser -----------------------------------------------------------------------------------------------

IMAGES = """
import numpy as np
from course_lib.widgets.image_browser import ImageBrowser
pixels = np.random.default_rng(1).integers(0, 256, (30, 28, 28)).astype(np.uint8)
browser = ImageBrowser(pixels, np.arange(30) % 10)
browser
"""


def test_an_image_that_is_chosen_is_chosen_in_python_and_in_every_view(open_notebook: Any) -> None:
    notebook = open_notebook(IMAGES, "browser")
    notebook.run_all()
    one, other = notebook.widget(0), notebook.widget(1)
    other.get_by_role("option", name="image 13,").click()
    one.get_by_text("Image 13: 3").wait_for()
    assert notebook.value("browser.selected") == 13

    notebook.run("browser.filter_class = 7")
    for widget in (one, other):
        widget.get_by_text("3 of 30 images").wait_for()
        widget.get_by_text("Image 7: 7").wait_for()
    one.get_by_label("Class").select_option("4")
    expect(lambda: notebook.value("[browser.filter_class, browser.selected]"), [4, 4])

    notebook.run("browser.selected = 14")
    one.get_by_text("Image 14: 4").wait_for()
    pixel = notebook.value("int(pixels[14, 0, 0])")
    one.locator("canvas.large").hover(position={"x": 1, "y": 1})
    one.get_by_text(f"row 0, column 0: {pixel}", exact=True).first.wait_for()


KEYS = """
import numpy as np
from course_lib.widgets.image_browser import ImageBrowser
from course_lib.widgets.kernel_explorer import KernelExplorer
names = ["airplane", "bird", "cat", "deer", "dog"]
browser = ImageBrowser(np.zeros((5, 8, 8), np.uint8), np.arange(5), names)
explorer = KernelExplorer()
browser
"""


def test_keys_that_are_pressed_in_a_widget_are_not_taken_by_the_notebook(open_notebook: Any) -> None:
    notebook = open_notebook(KEYS, "explorer")
    notebook.run_all()
    browser, explorer = notebook.widget(0), notebook.widget(1)
    press = notebook.page.keyboard.press

    bias = explorer.get_by_role("slider", name="bias")
    bias.focus()
    for key in ("ArrowUp", "ArrowUp", "ArrowDown"):  # in a notebook: go to the next cell or the one before
        press(key)
    expect(lambda: notebook.value("explorer.bias > 0"), True)
    browser.get_by_label("Class").focus()
    press("d")  # twice, in a notebook: delete the cell
    press("d")
    expect(lambda: notebook.value("browser.selected"), 4)
    browser.get_by_role("listbox").focus()
    for key in ("a", "b", "x", "ArrowLeft"):  # a cell above, a cell below, cut
        press(key)
    assert notebook.cells.count() == 3


# NetworkExplorer and DigitPad -------------------------------------------------------------------------------

NETWORK = """
import numpy as np
from course_lib.backend import keras
from course_lib.networks import mnist_cnn
from course_lib.widgets.digit_pad import DigitPad
from course_lib.widgets.network_explorer import NetworkExplorer
keras.utils.set_random_seed(1)
model = mnist_cnn()
images = np.random.default_rng(1).integers(0, 256, (5, 28, 28)).astype(np.uint8)

def answer(image):
    return model.predict(image[np.newaxis, ..., np.newaxis] / 255, verbose=0)[0]
"""


def test_a_network_answers_the_same_in_the_view_in_the_widget_and_in_keras(open_notebook: Any) -> None:
    notebook = open_notebook(
        f"{NETWORK}\nexplorer = NetworkExplorer(model, images)\nexplorer",
        "pad = DigitPad(model)\npad",
        "pad",
    )
    notebook.run_all()
    explorer, pad, other = (notebook.widget(number) for number in range(3))

    explorer.get_by_role("slider", name="Choose an image").press("ArrowRight")
    explorer.get_by_role("button", name="Next").click()
    explorer.get_by_text("image 2: the network answers").first.wait_for()
    assert notebook.value("explorer.index") == 2
    notebook.run("explorer.index = 4")
    by_keras = notebook.value("answer(images[4]).tolist()")
    explorer.get_by_text(says("image 4: the network answers", by_keras)).first.wait_for()

    paper = pad.get_by_label("Drawing pad")
    paper.scroll_into_view_if_needed()
    box = paper.bounding_box()
    mouse = notebook.page.mouse
    mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.2 * box["height"])
    mouse.down()
    mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 0.8 * box["height"], steps=5)
    mouse.up()
    expect(lambda: notebook.value("pad.probabilities is not None"), True)
    seen, by_keras = notebook.value("[pad.probabilities.tolist(), answer(pad.image).tolist()]")
    np.testing.assert_allclose(seen, by_keras, atol=1e-5)
    for widget in (pad, other):
        widget.get_by_text(says("The network answers", seen)).first.wait_for()

    notebook.run("pad.image = images[3]")
    by_keras = notebook.value("answer(pad.image).tolist()")
    for widget in (pad, other):
        widget.get_by_text(says("The network answers", by_keras)).first.wait_for()
    other.get_by_role("button", name="Clear").click()
    pad.get_by_text("The pad is empty").first.wait_for()
    assert notebook.value("pad.probabilities") is None


def says(start: str, probabilities: list[float]) -> str:
    """How a widget writes the answer of a network."""
    largest = int(np.argmax(probabilities))
    return f"{start} {largest} with probability {100 * probabilities[largest]:.1f} %."


# In JupyterLab ----------------------------------------------------------------------------------------------


def test_a_stored_widget_is_a_picture_until_its_cell_runs_and_then_follows_the_theme(
    open_notebook: Any,
) -> None:
    data, metadata = ImageBrowser(np.zeros((3, 28, 28), np.uint8))._repr_mimebundle_()
    output = new_output("execute_result", data=data, metadata=metadata, execution_count=1)
    notebook = open_notebook(new_code_cell(IMAGES, outputs=[output], execution_count=1))
    outputs = notebook.cells.first.locator(".jp-OutputArea-output")
    expect(outputs.count, 1)
    assert outputs.locator("img").evaluate("image => image.decode().then(() => image.naturalWidth)") > 100

    notebook.run_all()
    colours = "element => [getComputedStyle(element).backgroundColor, getComputedStyle(element).color]"
    assert notebook.widget().evaluate(colours) == ["rgb(255, 255, 255)", "rgb(31, 35, 40)"]
    notebook.page.get_by_role("menuitem", name="Settings", exact=True).click()
    notebook.page.locator(".lm-Menu-item", has_text="Theme").first.hover()
    notebook.page.locator(".lm-Menu-item", has_text="JupyterLab Dark").first.click()
    expect(lambda: notebook.widget().evaluate(colours), ["rgb(23, 27, 32)", "rgb(230, 233, 236)"])
