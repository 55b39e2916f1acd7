"""The host of the widgets on a page: what anywidget 0.11 promises to a module, it keeps without a kernel."""

from types import SimpleNamespace

import numpy as np
import traitlets

from course_lib.widgets.base import Array, CourseWidget

# A module that keeps what it is given in window.views, and in window.seen what happens.
ESM = """
window.imported = (window.imported ?? 0) + 1;
window.seen = [];
window.views = [];
export default () => ({
  initialize({ model, signal, experimental }) {
    window.seen.push("initialize");
    window.first = { model, signal, experimental };
    signal.addEventListener("abort", () => window.seen.push("model ends"));
    return () => window.seen.push("initialize cleans up");
  },
  async render({ model, el, signal, experimental, host }) {
    const button = document.createElement("button");
    const write = () => { button.textContent = `${model.get("label")} ${model.get("count")}`; };
    button.onclick = () => { model.set("count", model.get("count") + 1); model.save_changes(); };
    model.on("change:count", write);
    write();
    await null;
    el.append(button);
    window.views.push({ model, el, signal, experimental, host });
    signal.addEventListener("abort", () => window.seen.push("view ends"));
    return () => window.seen.push("render cleans up");
  },
});
"""


class Trial(CourseWidget):
    """A button that counts."""

    _esm = ESM
    _css = ".course-widget-live button { color: rgb(1, 2, 3); }"
    count = traitlets.Int(0).tag(sync=True)
    label = traitlets.Unicode("count").tag(sync=True)
    small = Array(2, allow_none=True, default_value=None)
    large = Array(1, allow_none=True, default_value=None)
    nested = traitlets.Any(None).tag(sync=True)

    def description(self):
        return "A button that counts <b>clicks</b> & nothing else"


def module(esm):
    """A widget whose class has another module; what it leaves is that of a trial."""
    left = {**Trial().on_a_page(), "widget": f"Trial{abs(hash(esm))}"}
    return SimpleNamespace(on_a_page=lambda: left, _esm=esm, _css="")


def test_the_state_arrives_as_it_is(show):
    kernel, many = np.array([[0.5, -1], [2, 3e-9]]), np.arange(40_000.0)
    label = "</script><!--<script>\u2028 'x' \"y\" &amp; ünïcode"
    nested = {"list": [1, memoryview(b"\x01\xff"), None], "deep": {"bytes": b"\x02"}}
    page = show(Trial(count=3, label=label, small=kernel, large=many, nested=nested))
    state = page.evaluate("""() => {
      const { model } = window.views[0];
      const numbers = ({ data }) => [...new Float64Array(data.buffer)];
      const { list, deep } = model.get("nested");
      return {
        count: model.get("count"), label: model.get("label"), kernel: model.get("has_kernel"),
        none: model.get("other") ?? null, shape: model.get("small").shape,
        small: numbers(model.get("small")), large: numbers(model.get("large")),
        list: [list[0], [...new Uint8Array(list[1].buffer)], list[2]], deep: deep.bytes.getUint8(0),
        views: [model.get("small").data, list[1], deep.bytes].every((data) => data instanceof DataView),
        style: getComputedStyle(document.querySelector("button")).color,
      };
    }""")
    assert state == {
        **{"count": 3, "label": label, "kernel": False, "none": None, "shape": [2, 2]},
        **{"small": kernel.ravel().tolist(), "large": many.tolist(), "views": True, "style": "rgb(1, 2, 3)"},
        **{"list": [1, [1, 255], None], "deep": 2},
    }
    assert page.locator("img").get_attribute("alt") == Trial().description()


def test_views_of_one_widget_stay_in_step(show):
    one, other = Trial(), Trial()
    page = show(one, one, other)
    buttons = page.get_by_role("button")
    buttons.nth(0).click()
    buttons.nth(1).press("Enter")
    assert buttons.all_inner_texts() == ["count 2", "count 2", "count 0"]
    assert page.evaluate("[imported, seen, document.adoptedStyleSheets.length]") == [1, ["initialize"] * 2, 1]


def test_a_widget_shows_the_state_that_its_own_cell_gave_it(show):
    widget = Trial(count=1)
    early = widget.on_a_page()
    widget.count = 7
    page = show(SimpleNamespace(on_a_page=lambda: early, _esm=ESM, _css=""), widget)
    page.get_by_role("button").nth(0).click()
    assert page.get_by_role("button").all_inner_texts() == ["count 2", "count 7"]


def test_listeners_hear_what_changed_and_only_that(show):
    widget = Trial(small=np.eye(2))
    page = show(widget, widget)
    heard = page.evaluate("""() => {
      const [{ model }, { model: other }] = window.views;
      const heard = [];
      const note = (name) => (...details) => heard.push([name, details[0] === model, ...details.slice(1)]);
      const [count, all, both] = [note("count"), note("change"), note("both")];
      model.on("change:count", count);
      model.on("change", all);
      model.on("change:count change:label", both);
      model.set("count", 5);
      model.set("count", 5);  // the same: nobody hears it
      const { shape, dtype, data } = model.get("small");
      model.set("small", { shape: [...shape], dtype, data: new DataView(data.buffer.slice(0)) });  // so here
      model.set({ count: 6, label: "clicks" });
      other.off();  // its own listeners only
      model.off("change:count", both);
      model.set("count", 7);
      model.off(null, all);
      model.off("change:label");
      model.set("label", "c");
      model.set("count", 8);
      model.off();
      model.set("count", 9);
      return heard;
    }""")
    assert heard == [
        *[["count", True, 5], ["both", True, 5], ["change", True]],
        *[["count", True, 6], ["both", True, 6], ["both", True, "clicks"], ["change", True]],
        *[["count", True, 7], ["change", True]],
        ["count", True, 8],
    ]
    data = "model.get('small').data"
    changed = f"""() => {{
      const {{ model }} = window.views[0];
      let heard = 0;
      model.on("change:small", () => {{ heard += 1; }});
      const view = new DataView({data}.buffer.slice(0));
      view.setUint8(0, 255);
      model.set("small", {{ ...model.get("small"), data: view }});
      return heard;
    }}"""
    assert page.evaluate(changed) == 1


def test_a_listener_that_fails_stops_no_other(show):
    page = show(Trial())
    page.evaluate("""() => {
      const { model } = window.views[0];
      model.off();
      model.on("change:count", () => { throw new Error("on purpose"); });
      model.on("change:count", () => { window.heard = true; });
      model.set("count", 1);
    }""")
    assert page.evaluate("heard") is True
    assert show.faults and all("on purpose" in fault for fault in show.faults)
    show.faults.clear()


def test_what_needs_python_says_so(show):
    page = show(Trial())
    said = []
    page.on("console", lambda message: said.append((message.type, message.text)))
    refused = page.evaluate("""async () => {
      const { model, experimental, host } = window.views[0];
      model.send({ hello: 1 });
      model.send({ hello: 2 }, undefined, [new ArrayBuffer(1)]);
      const asked = [experimental.invoke("_predict", {}), window.first.experimental.invoke("_x"),
        host.getModel("anywidget:1"), host.getWidget("anywidget:1")];
      const answers = (await Promise.allSettled(asked)).map(({ reason }) => reason.message);
      return [...answers, "widget_manager" in model];
    }""")
    assert refused.pop() is False
    assert refused[0].startswith('"_predict" was not called') and all("no Python" in word for word in refused)
    assert [kind for kind, _ in said] == ["info"] and "no Python" in said[0][1]


def test_everything_ends_with_the_page(show):
    page = show(Trial())
    page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))")
    assert page.evaluate("seen") == ["initialize"]  # the browser may bring the page back
    page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide', { persisted: false }))")
    assert sorted(page.evaluate("seen")) == [
        *("initialize", "initialize cleans up", "model ends", "render cleans up", "view ends"),
    ]
    page.evaluate("first.model.set('count', 5)")
    assert page.get_by_role("button").inner_text() == "count 0"  # no view listens any more


FAULTS = {
    "export default {": "Unexpected end",
    "throw new Error('at once');": "at once",
    "export const render = () => {};": "must export",
    "export default { initialize() { throw new Error('too early'); } };": "too early",
    "export default { async render({ el }) { el.append('half'); throw Error('half way'); } };": "half way",
}


def test_a_module_that_fails_leaves_the_picture_and_a_reason(show):
    page = show(Trial(), *map(module, FAULTS), Trial())
    places = page.locator(".course-widget-place")
    for number, reason in enumerate(FAULTS.values(), start=1):
        place = places.nth(number)
        assert place.get_by_role("img").is_visible()
        assert "picture" in place.inner_text() and reason in place.inner_text()
        assert "half\n" not in place.inner_text()
    assert len(show.faults) == len(FAULTS)
    show.faults.clear()
    assert page.get_by_role("button").count() == 2


def test_a_file_that_is_missing_is_named(show, tmp_path):
    page = show(Trial(large=np.arange(10_000.0)))
    for file in (tmp_path / "_static" / "widgets").iterdir():
        if file.stem != "Trial":
            file.unlink()
    page.reload()
    sentence = page.locator(".course-widget-fault")
    sentence.wait_for()
    assert "could not be read" in sentence.inner_text() and page.get_by_role("img").is_visible()
    show.faults.clear()


def test_modules_of_every_form_are_accepted(show):
    page = show(
        module("export default { render({ el }) { el.textContent = 'an object'; } };"),
        module("export default async () => ({ render: ({ el }) => { el.textContent = 'a promise'; } });"),
        module("export default { initialize: () => ({ exports: 1 }) };"),
    )
    assert page.locator(".course-widget-live").all_inner_texts() == ["an object", "a promise", ""]


def test_paper_shows_the_picture(show):
    page = show(Trial())
    picture, living = page.locator("img"), page.get_by_role("button")
    assert living.is_visible() and not picture.is_visible()
    page.emulate_media(media="print")
    assert picture.is_visible() and not living.is_visible()
