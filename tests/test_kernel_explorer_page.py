"""The kernel explorer in a browser: its numbers against SciPy, and every control as a reader uses it."""

import io

import numpy as np
import pytest
import scipy.signal
from PIL import Image

from benchmarks.chromium import let_paint, work_of
from course_lib.convolution import maxpool_layer
from course_lib.widgets.base import read_module
from course_lib.widgets.kernel_explorer import KernelExplorer

X = np.array([[56, 250, 116, 0], [0, 240, 144, 0], [0, 198, 150, 0], [0, 143, 241, 0]], dtype=np.uint8)
PHOTO = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
DIGIT = KernelExplorer().image


def settings(count, seed):
    """Settings drawn at random: images and kernels of all sizes and channels."""
    random = np.random.default_rng(seed)
    for _ in range(count):
        height, width = (int(side) for side in random.integers(1, 16, 2))
        k = int(random.integers(3, 8))
        shape = [(height, width), (height, width, 3)][random.integers(2)]
        pixels = random.integers(0, 256, shape, dtype=np.uint8)
        yield {
            "image": [pixels, random.normal(size=shape)][random.integers(2)],
            "kernel": random.normal(size=[(k, k), (k, k, 3)][random.integers(2)]).round(3),
            "bias": round(float(random.normal()), 2),
            "activation": str(random.choice(["none", "relu", "leaky_relu"])),
            "stride": int(random.integers(1, 4)),
            "padding": str(random.choice(["valid", "same"])),
            "flip": bool(random.integers(2)),
            "pool_size": int(random.integers(1, 4)),
        }


def by_scipy(image, kernel, bias, activation, stride, padding, flip, pool_size):
    """What SciPy makes of a setting: feature map, activated, pooled; None for what is impossible."""
    image = np.asarray(image, dtype=np.float64)
    if image.ndim == 2:
        image, kernel = image[..., None], (kernel if kernel.ndim == 2 else kernel.sum(axis=2))[..., None]
    elif kernel.ndim == 2:
        kernel = np.stack([kernel / 3] * 3, axis=2)
    k = len(kernel)
    if padding == "same":
        missing = [max((-(-side // stride) - 1) * stride + k - side, 0) for side in image.shape[:2]]
        image = np.pad(image, [(each // 2, each - each // 2) for each in missing] + [(0, 0)])
    if min(image.shape[:2]) < k:
        return None, None, None
    slide = scipy.signal.convolve2d if flip else scipy.signal.correlate2d
    sums = sum(slide(image[..., c], kernel[..., c], "valid") for c in range(image.shape[2]))
    feature_map = sums[::stride, ::stride] + bias
    activated = {
        "none": feature_map,
        "relu": np.maximum(feature_map, 0),
        "leaky_relu": np.where(feature_map > 0, feature_map, 0.1 * feature_map),
    }[activation]
    fits = pool_size <= min(activated.shape)
    return feature_map, activated, maxpool_layer(activated, pool_size) if fits else None


def numbers(page, which=0):
    """The sizes and ranges that stand under the stages of an explorer."""
    explorer = page.locator(".kernel-explorer").nth(which)
    return [text.replace("−", "-").split("\n") for text in explorer.locator(".numbers").all_inner_texts()]


def in_lab(explorer):
    """The explorer as a page shows it that believes in Python."""
    state = explorer.on_a_page()
    state["state"]["has_kernel"] = True
    explorer.on_a_page = lambda: state
    return explorer


def field(page, name):
    return page.get_by_label(name, exact=True).first


def test_the_browser_computes_what_scipy_computes(show):
    page = show(KernelExplorer(X))
    cases = list(settings(80, seed=1))
    sent = [
        case
        | {
            "image": {"shape": np.shape(case["image"]), "data": np.float64(case["image"]).ravel().tolist()},
            "kernel": {"shape": case["kernel"].shape, "data": case["kernel"].ravel().tolist()},
        }
        for case in cases
    ]
    got = page.evaluate(
        """async ([module, cases]) => {
            const address = URL.createObjectURL(new Blob([module], { type: "text/javascript" }));
            const { carryOut } = await import(address);
            const numbers = (tensor) => tensor && { shape: tensor.shape.slice(0, 2), data: [...tensor.data] };
            return cases.map((each) => {
                const [height, width, channels = 1] = each.image.shape;
                const image = { ...each.image, shape: [height, width, channels] };
                const { featureMap, activated, pooled, problem } = carryOut({ ...each, image });
                return { maps: [featureMap, activated, pooled].map(numbers), problem };
            });
        }""",
        [read_module("kernel_setting"), sent],
    )
    impossible = 0
    for case, result in zip(cases, got, strict=True):
        for expected, computed in zip(by_scipy(**case), result["maps"], strict=True):
            if expected is None:
                assert computed is None and "does not fit" in result["problem"]
                impossible += 1
            else:
                computed = np.reshape(computed["data"], computed["shape"])
                np.testing.assert_allclose(computed, expected, rtol=1e-9, atol=1e-9)
    assert 0 < impossible < 120


def test_python_the_view_and_the_copied_code_agree(show):
    cases = list(settings(6, seed=4))
    cases.append({"image": PHOTO, "kernel": np.full((3, 3), 1 / 9), "activation": "relu", "pool_size": 3})
    explorers = [KernelExplorer(**case) for case in cases]
    page = show(*explorers)
    for i, explorer in enumerate(explorers):
        root = page.locator(".kernel-explorer").nth(i)
        shown = numbers(page, i)[2:]
        for expected, text in zip(
            (explorer.feature_map, explorer.activated, explorer.pooled), shown, strict=True
        ):
            if expected is None:
                assert text == ["no map"]
                continue
            assert text[0] == " × ".join(map(str, expected.shape))
            low, high = (float(end) for end in text[1].split(" to "))
            np.testing.assert_allclose([low, high], [expected.min(), expected.max()], rtol=1e-3, atol=1e-4)
        root.get_by_role("button", name="Copy as Python: NumPy").click()
        names = run(root.locator("pre").inner_text(), explorer)
        if i == len(cases) - 1:
            root.get_by_role("button", name="Copy as Python: Keras").click()
            names |= run(root.locator("pre").inner_text(), explorer)
            assert "keras" in names


def run(code, explorer):
    """Run copied code; what it computes must be what Python has."""
    names = {}
    exec(code, names)
    if explorer.problem:
        assert code.startswith("# ") and "does not fit" in code
        return names
    for name in ("feature_map", "activated", "pooled"):
        np.testing.assert_allclose(names[name], getattr(explorer, name), rtol=1e-9, atol=1e-9)
    return names


def test_by_keyboard_alone(show):
    from playwright.sync_api import expect

    page = show(KernelExplorer(X))
    root = page.locator(".kernel-explorer")
    field(page, "K").focus()
    page.keyboard.press("ArrowRight")
    assert field(page, "K transposed").is_checked()
    field(page, "row 1, column 1").focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("document.activeElement.ariaLabel") == "row 0, column 0"
    page.keyboard.type("1/4")
    page.keyboard.press("Tab")
    expect(field(page, "row 0, column 0")).to_have_value("0.25")
    kernel = np.array([[0.25, 1, -0.5], [-0.5, 1, -0.5], [-0.5, 1, -0.5]])
    expected = scipy.signal.correlate2d(X, kernel, "valid")
    map_ = page.get_by_role("application", name="feature map")
    map_.focus()
    for key in ("ArrowDown", "ArrowRight", "ArrowRight", "Home"):
        page.keyboard.press(key)
    let_paint(page)
    sentence = root.locator(".sentence")
    assert sentence.inner_text().startswith("Row 1, column 0 ")
    assert f"9 products sum to {expected[1, 0]:g}" in sentence.inner_text().replace("−", "-")
    products = [float(text.replace("−", "-")) for text in root.locator("td b").all_inner_texts()]
    assert sum(products) == expected[1, 0]
    field(page, "+ bias").focus()
    page.keyboard.press("Control+a")
    page.keyboard.type("−100")
    page.keyboard.press("Enter")
    field(page, "activation").select_option("relu")
    field(page, "max-pooling").select_option("2")
    let_paint(page)
    value = max(expected[1, 0] - 100, 0)
    assert f"ReLU: {value:g}" in root.locator(".sum").inner_text()
    assert numbers(page)[4][0] == "1 × 1"
    # The receptive field: three rows from row 1, three columns from column 0, of four.
    frame = root.locator(".picture[role=img] .frame.one").evaluate("(frame) => frame.style.inset")
    assert frame == "25% 25% 0% 0%"


def test_pointing_finds_the_pixel_and_its_winner(show):
    page = show(KernelExplorer(DIGIT, activation="relu", pool_size=2), touch=True, width=360)
    pooled = page.get_by_role("application", name="after pooling")
    pooled.scroll_into_view_if_needed()
    box = pooled.bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] * 3.5 / 13, box["y"] + box["height"] * 4.5 / 13)
    explorer = KernelExplorer(DIGIT, activation="relu", pool_size=2)
    block = explorer.activated[8:10, 6:8]
    row, column = np.unravel_index(block.argmax(), block.shape)
    sentence = page.locator(".sentence").filter(has_text="Row 4, column 3 after pooling")
    sentence.wait_for()
    assert f"row {row + 8}, column {column + 6}" in sentence.inner_text()


def test_all_stages_are_in_sight_at_once(show):
    learned = np.random.default_rng(1).normal(size=(3, 3, 1, 32))
    page = show(KernelExplorer(DIGIT, learned=learned, pool_size=2), width=700, height=1000)
    for width, size in [(700, "3"), (700, "7"), (1200, "7"), (320, "3"), (360, "7"), (360, "3")]:
        page.set_viewport_size({"width": width, "height": 640})
        page.get_by_label("size").select_option(size)
        page.locator(f".grid[style*='{size}']").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") == width
        if width > 640:
            tops = {stage.bounding_box()["y"] for stage in page.locator(".stage").all()}
            assert len(tops) == 1, "the five stages stand in one row"
    # On a phone, each row of kernels scrolls sideways, so that the kernel's stage is on the first screen.
    for row in page.locator(".chips").all():
        assert row.bounding_box()["height"] < 50
        assert row.evaluate("(row) => row.scrollWidth > row.clientWidth")
    box = page.locator(".grid").bounding_box()
    assert box["y"] + box["height"] < 640
    field(page, "K").focus()
    page.keyboard.press("ArrowLeft")  # to the last kernel of all
    page.wait_for_function("document.querySelector('.learned').scrollLeft > 0")
    assert field(page, "learned kernel 31").is_checked()
    last, row = (page.locator(each).last.bounding_box() for each in (".learned .chip", ".learned"))
    assert row["x"] <= last["x"] and last["x"] + last["width"] <= row["x"] + row["width"]


def test_a_link_restores_the_setting(show):
    kernel = np.random.default_rng(0).normal(size=(3, 3, 3))
    learned = np.random.default_rng(1).normal(size=(3, 3, 1, 8))
    one = KernelExplorer([DIGIT, PHOTO], learned=learned)
    two = KernelExplorer([DIGIT, PHOTO], learned=learned)
    page = show(one, two)
    first, second = (page.locator(".kernel-explorer").nth(i) for i in range(2))
    first.get_by_label("learned kernel 5").check(force=True)
    first.get_by_label("which image").select_option("1")
    first.get_by_label("stride").select_option("2")
    first.get_by_label("padding").select_option("same")
    first.get_by_label("flip").select_option("yes")
    let_paint(page)
    first.get_by_role("button", name="Link").click()
    assert page.evaluate("location.hash") == f"#{one.link_name}=i:1;k:learned5;s:2;p:same;f:1"
    written = ",".join(str(value) for value in kernel.ravel())
    own = f"{two.link_name}=i:1;k:{written};b:-1.5;a:leaky_relu;m:3"
    expected = numbers(page, 0)
    explorer = KernelExplorer(PHOTO, kernel=kernel, bias=-1.5, activation="leaky_relu", pool_size=3)
    page.goto(f"{page.url}&{own}")
    page.reload()
    page.wait_for_selector(".kernel-explorer")
    second.get_by_text("This is the setting of the link").wait_for()
    assert numbers(page, 0) == expected
    run_shown(second, explorer)
    # In the same page, another link; what the first explorer has stays as it was.
    first.get_by_label("stride").select_option("3")
    page.evaluate(f"location.hash = '{two.link_name}=k:K'")
    second.get_by_label("K", exact=True).and_(page.locator(":checked")).wait_for(state="attached")
    assert first.get_by_label("stride").input_value() == "3"


def run_shown(root, explorer):
    let_paint(root.page)
    root.get_by_role("button", name="Copy as Python: NumPy").click()
    run(root.locator("pre").inner_text(), explorer)


def test_a_damaged_link_leaves_the_widget_as_it_is(show):
    explorer = KernelExplorer(X)
    page = show(explorer)
    before = numbers(page)
    garbage = [
        "k:1,2",
        "k:K;b:much",
        "k:K;b:1;b:2",
        "k:K;s:0",
        "k:K;i:7",
        "b:3",
        "%E0%A4%A",
        "",
        "k:learned3",
    ]
    garbage += ["<img src=x onerror=alert(1)>", "__proto__:1", "k:K;constructor:1", "k:" + "9" * 100_000]
    garbage += ["k:learned3", "k:1e9,0,0,0,0,0,0,0,0"]
    for text in garbage:
        page.evaluate("([name, text]) => { location.hash = `${name}=${text}`; }", [explorer.link_name, text])
        page.locator(".message.wrong", has_text="The link in the address is damaged").wait_for()
        assert numbers(page) == before
        page.evaluate(f"location.hash = '{explorer.link_name}=k:K'")
        page.locator(".message:not(.wrong)", has_text="This is the setting").wait_for()
    assert page.locator(".kernel-explorer img").count() == 0


def test_predict_first(show):
    page = show(KernelExplorer(X))
    page.get_by_role("button", name="Predict first").click()
    question = page.locator(".question")
    words = question.locator(".name", has_text="Which number stands").inner_text()
    let_paint(page)
    row, column = (int(word.strip(",")) for word in words.split() if word.strip(",").isdigit())
    assert "hidden" in page.locator(".sentence").inner_text()
    assert page.locator("td b").all_inner_texts() == ["?"] * 9
    right = int([[-1, 27], [-36, -36]][row][column])
    question.get_by_label("your answer").fill(str(right + 7))
    page.keyboard.press("Enter")
    question.get_by_text(f"It is {right}: your answer is 7 too high.".replace("-", "−")).wait_for()
    let_paint(page)
    assert "?" not in page.locator("td b").all_inner_texts()
    question.get_by_role("button", name="Another pixel").click()
    question.get_by_label("your answer").fill("a lot")
    page.keyboard.press("Enter")
    question.get_by_text("Your answer can't be “a lot”. Write a number").wait_for()


def test_a_question_that_the_setting_takes_away_is_closed_aloud(show):
    from playwright.sync_api import expect

    page = show(KernelExplorer(X))
    ask, message = page.get_by_role("button", name="Predict first"), page.locator(".message").first
    ask.click()
    words = page.locator(".question .name", has_text="Which number").inner_text()
    place = words.split(" at ")[1].removesuffix(", bias included?")
    page.get_by_label("size").select_option("5")
    expect(message).to_have_text(f"The question is closed: {place} of the feature map is gone.")
    assert message.get_attribute("role") == "status"
    assert page.locator(".question").is_hidden()
    expect(ask).to_have_attribute("aria-pressed", "false")
    page.get_by_label("size").select_option("3")
    page.locator(".sentence", has_text="9 products").wait_for()
    ask.click()
    expect(message).to_have_text("")


def test_of_several_equal_largest_numbers_pooling_keeps_the_first(show):
    page = show(KernelExplorer(np.eye(6), kernel=np.eye(3), pool_size=2))
    sentence = page.locator(".sentence")
    pooled, map_ = (page.get_by_role("application", name=name) for name in ("after pooling", "feature map"))
    pooled.press("Home")
    words = "after pooling (counted from 0) holds the largest number of its block, row 0, column 0"
    sentence.filter(has_text=f"Row 0, column 0 {words}, the first of 2 equal ones. There").wait_for()
    map_.press("Home")
    words = "It is the largest number of its block, the first of 2 equal ones, so pooling keeps it."
    sentence.filter(has_text=words).wait_for()
    map_.press("ArrowDown")
    sentence.filter(has_text="Pooling drops it for 3, the largest number of its block.").wait_for()
    map_.press("ArrowRight")
    words = "It is one of 2 equal largest numbers of its block; pooling keeps the first."
    sentence.filter(has_text=words).wait_for()
    # Another kernel, another winner: the pixel after pooling stays, and what is said of it is true.
    pooled.press("Home")
    page.get_by_label("row 1, column 0").first.fill("9")
    page.keyboard.press("Tab")
    sentence.filter(has_text="of its block, row 0, column 1. There").wait_for()


def test_products_that_are_wider_than_a_phone_scroll_by_keyboard(show):
    page = show(KernelExplorer(PHOTO, kernel=np.ones((7, 7, 3))), width=360, touch=True)
    products = page.get_by_role("region", name="Products")
    assert products.evaluate("(products) => products.scrollWidth > products.clientWidth")
    assert "linear-gradient" in products.evaluate("(products) => getComputedStyle(products).maskImage")
    for _ in range(8):
        products.press("ArrowRight")
    assert page.evaluate("getComputedStyle(document.activeElement).maskImage") == "none"
    page.wait_for_function(
        """() => {
            const products = document.querySelector(".tables");
            const last = products.querySelector("td:last-child").getBoundingClientRect();
            return last.right <= products.getBoundingClientRect().right - 30;
        }"""
    )


def test_the_own_function_is_marked(show):
    def my_convolution(X, K):
        return scipy.signal.convolve2d(X, K, "valid")

    kernel = [[0, 0, 0], [0, 1, 0], [0, 0, 2]]
    explorer = KernelExplorer(X, kernel=kernel, convolution=my_convolution, padding="same")
    alone = KernelExplorer(X, convolution=my_convolution)
    page = show(in_lab(explorer), alone)
    first, second = page.locator(".kernel-explorer").all()
    assert first.locator(".own").inner_text() == explorer.own["verdict"].replace("  ", " ")
    assert "first at row 0, column 0" in explorer.own["verdict"]
    assert first.get_by_role("button", name="Link").count() == 0
    # With "same", the learner's map begins at row 1 and column 1 of ours: a cross there, none outside.
    crossed = (
        first.locator(".marks")
        .nth(1)
        .evaluate(
            """(canvas) => [[0, 0], [1, 1], [2, 1], [3, 3]].map(([row, column]) => canvas.getContext("2d")
            .getImageData(column * 8, row * 8, 8, 8).data.some((value) => value > 0))"""
        )
    )
    assert crossed == [False, True, True, False]
    first.get_by_label("sharpen").check(force=True)
    first.get_by_text("my_convolution is running").wait_for()
    assert "no Python answers on this page" in second.locator(".own").inner_text()
    assert "make lab" in second.locator(".own").inner_text()


def test_hostile_input(show, tmp_path):
    from playwright.sync_api import expect

    named = KernelExplorer([[1]], image_names=["<img src=x onerror=alert(1)>"])
    page = show(named, KernelExplorer(np.zeros((128, 128, 3))))
    root = page.locator(".kernel-explorer").first
    assert "does not fit into the image of 1 × 1" in root.locator(".formula").inner_text()
    assert "⌊(1 − 3) / 1⌋ + 1 = −1" in root.locator(".formula").inner_text()
    root.get_by_label("padding").select_option("same")
    root.locator(".sentence").filter(has_text="8 of them lie outside the image").wait_for()
    root.get_by_label("max-pooling").select_option("2")
    root.get_by_text("A block of 2 × 2 does not fit").wait_for()
    for text in ("abc", "1e999", "NaN", "1/0", "", "--3", "<b>"):
        cell = root.get_by_label("row 1, column 1").first
        cell.fill(text)
        page.keyboard.press("Tab")
        wrong = f"“{text}”" if text else "empty"
        expect(root.locator(".message.wrong")).to_have_text(
            f"Row 1, column 1 of the kernel can't be {wrong}. "
            "Write a number of at most a million, such as −0.5 or 1/9."
        )
        expect(cell).to_have_value("1")
    root.get_by_label("+ bias").fill("")
    page.keyboard.press("Tab")
    root.locator(".message.wrong", has_text="The bias can't be empty. Write a number").wait_for()
    assert page.locator(".kernel-explorer img").count() == 0

    tall = tmp_path / "tall.png"
    Image.fromarray(np.tile(np.arange(128, dtype=np.uint8)[:, None], (2, 40))).save(tall)
    chooser = root.get_by_label("your own picture")
    chooser.set_input_files(tall)
    root.locator(".message", has_text="“tall.png” is reduced from 256 × 40 to 64 × 10 pixels.").wait_for()
    expect(root.locator(".numbers").first).to_contain_text("64 × 10")
    photo = io.BytesIO()
    Image.fromarray(PHOTO).save(photo, "png")
    chooser.set_input_files({"name": "photo.png", "mimeType": "image/png", "buffer": photo.getvalue()})
    root.locator(".message", has_text="“photo.png” has 32 × 32 pixels. It stays").wait_for()
    expect(root.locator(".numbers").first).to_have_text(f"32 × 32 × 3{PHOTO.min()} to {PHOTO.max()}")
    chooser.set_input_files({"name": "<b>.png", "mimeType": "image/png", "buffer": b"no picture"})
    root.locator(".message.wrong", has_text="“<b>.png” is not a picture").wait_for()
    large = tmp_path / "large.png"
    large.write_bytes(b"\x89PNG\r\n" + bytes(40_000_000))
    chooser.set_input_files(large)
    root.locator(".message.wrong", has_text="has 40 MB; a picture may have 20 MB").wait_for()
    assert numbers(page)[0][0] == "32 × 32 × 3"


def test_channels_of_the_kernel(show):
    page = show(KernelExplorer([PHOTO, DIGIT]))
    root = page.locator(".kernel-explorer")
    assert "on the mean of the three" in root.locator(".note").inner_text()
    root.get_by_label("edit the kernel's green channel").check(force=True)
    root.get_by_text("3 × 3 × 3 = 27 numbers").wait_for()
    root.get_by_label("row 0, column 0").first.fill("2")
    page.keyboard.press("Tab")
    kernel = np.stack([np.array([[-0.5] * 3, [1] * 3, [-0.5] * 3]) / 3] * 3, axis=2)
    kernel[0, 0, 1] = 2
    run_shown(root, KernelExplorer(PHOTO, kernel=kernel))
    root.get_by_label("which image").select_option("1")
    root.get_by_text("the sum of the kernel's three channels").wait_for()
    let_paint(page)
    run_code = root.locator("pre").inner_text()
    run(run_code, KernelExplorer(DIGIT, kernel=kernel))


MOVE_AND_PAINT = """async ([selector, share]) => {
  const slider = document.querySelector(selector);
  slider.value = share * slider.max;
  slider.dispatchEvent(new Event("input"));
  await new Promise((painted) => requestAnimationFrame(() => requestAnimationFrame(painted)));
}"""
POINT_AND_PAINT = """async ([selector, share]) => {
  const map = document.querySelector(selector);
  const { left, top, width, height } = map.getBoundingClientRect();
  const place = { clientX: left + (0.5 + 0.45 * share) * width, clientY: top + 0.4 * height, bubbles: true };
  map.dispatchEvent(new PointerEvent("pointermove", place));
  await new Promise((painted) => requestAnimationFrame(() => requestAnimationFrame(painted)));
}"""


@pytest.mark.parametrize(("image", "kernel"), [(DIGIT, (3, 3)), (PHOTO, (3, 3, 3)), (PHOTO, (7, 7, 3))])
def test_from_input_to_repaint_the_page_works_for_less_than_a_frame(show, image, kernel):
    page = show(KernelExplorer(image, kernel=np.ones(kernel), activation="relu", pool_size=2))
    worked = work_of(page)

    def usual(selector, act, times):
        milliseconds = []
        for i in range(times):
            before = worked()
            page.evaluate(act, [selector, float(np.sin(i))])
            milliseconds.append(worked() - before)
        return np.median(milliseconds)

    for selector, act, times in [
        (".stage.kernel > input[type=range]", MOVE_AND_PAINT, 24),
        ("input[type=range][aria-label=bias]", MOVE_AND_PAINT, 12),
        (".picture[role=application]", POINT_AND_PAINT, 12),
    ]:
        if act == POINT_AND_PAINT and np.prod(kernel) > 100:
            continue  # 147 new products: 13 ms on a core of its own, and more where others work too
        assert 0 < usual(selector, act, times) < 16, selector


A_VIEW = """async ([module, { state, buffers }]) => {
    for (const { path, data } of buffers) {
        const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
        path.slice(0, -1).reduce((part, name) => part[name], state)[path.at(-1)] = new DataView(bytes.buffer);
    }
    const address = URL.createObjectURL(new Blob([module], { type: "text/javascript" }));
    const listeners = [];
    window.model = {
        get: (name) => state[name],
        set(name, value) {
            state[name] = value;
            listeners.filter(([event]) => event === `change:${name}`).forEach(([, act]) => act());
        },
        on: (event, act) => listeners.push([event, act]),
        off() {},
        save_changes() {},
    };
    document.querySelector("main").replaceChildren();
    const el = document.querySelector("main").appendChild(document.createElement("div"));
    const signal = new AbortController().signal;
    (await import(address)).default.render({ model, el, signal });
}"""


def test_what_python_changes_is_in_an_open_view(show):
    from playwright.sync_api import expect

    explorer = KernelExplorer(X)
    page = show(explorer)
    page.evaluate(A_VIEW, [read_module("kernel_explorer"), in_lab(explorer).on_a_page()])
    assert page.get_by_label("learned kernel").count() == 0
    assert page.locator(".own").is_hidden()
    page.evaluate(
        """() => {
            const data = new DataView(new Float32Array(18).fill(1).buffer);
            model.set("learned", { shape: [3, 3, 1, 2], dtype: "float32", data });
        }"""
    )
    expect(page.get_by_label("learned kernel")).to_have_count(2)
    page.get_by_label("learned kernel 1").check(force=True)
    expect(page.locator(".numbers").nth(1)).to_have_text("3 × 31 to 1")
    page.evaluate("model.set('learned', null)")
    expect(page.get_by_label("learned kernel")).to_have_count(0)
    explorer.kernel, explorer.convolution = np.ones((3, 3)), lambda X, K: X
    words = {name: explorer.own[name] for name in ("name", "verdict", "agrees")}
    page.evaluate("(own) => model.set('own', { ...own, edits: model.get('edits'), wrong: null })", words)
    expect(page.locator(".own.wrong")).to_contain_text("returned an array of shape (4, 4)")
    page.evaluate("model.set('own', {})")
    expect(page.locator(".own")).to_be_hidden()


def test_accessible_by_the_rules_of_axe(show):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    learned = np.random.default_rng(1).normal(size=(3, 3, 3, 4))
    for theme, width in (("light", 832), ("dark", 360)):
        explorer = KernelExplorer(PHOTO, learned=learned, kernel=learned[..., 0], pool_size=2)
        page = show(explorer, theme=theme, width=width)
        page.get_by_role("button", name="Predict first").click()
        page.get_by_role("button", name="Copy as Python: NumPy").click()
        # preload would ask for the style sheets again, which a page from a file can't
        rules = {"runOnly": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"], "preload": False}
        found = axe.run(page, options=rules).response["violations"]
        assert [(each["id"], each["nodes"][0]["html"]) for each in found] == []
