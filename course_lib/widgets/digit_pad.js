// Draw a digit and see what a network makes of it while you draw.

import { tensor } from "./arithmetic.js";
import { decode, encodeBytes } from "./arrays.js";
import { ARROWS, atNextFrame, element, freshId, widgetFrame } from "./elements.js";
import { assign, layersPanel, paintGrey, probabilityBars, whenChanged } from "./layer_view.js";
import { drawLine, FINE, mnistSteps } from "./digit.js";
import { forward, probabilitiesOf, readNetwork } from "./network.js";

/** The model's drawing as fine as the pad, however fine it came. */
function drawingOf(model) {
  const fine = tensor([FINE, FINE]);
  const given = decode(model.get("drawing"));
  if (!given) return fine;
  const [side] = given.shape;
  for (let i = 0; i < FINE; i++)
    for (let j = 0; j < FINE; j++)
      fine.data[i * FINE + j] =
        given.data[Math.floor((i * side) / FINE) * side + Math.floor((j * side) / FINE)];
  return fine;
}

/** One step from the drawing to the image: a canvas, a line below it, and whether the network sees it. */
function stepOf(words) {
  const canvas = element("canvas", { role: "img", width: 28, height: 28 });
  const mark = element("b", {}, "The network sees this.");
  return {
    canvas,
    mark,
    figure: element(
      "figure",
      {},
      element("div", { class: "frame" }, canvas),
      element("figcaption", {}, words, " ", mark),
    ),
  };
}

/** The class with the largest probability, as [index, probability]. */
function answerOf(probabilities) {
  const largest = Math.max(...probabilities);
  return [probabilities.indexOf(largest), largest];
}

function render({ model, el, signal }) {
  const network = readNetwork(model.get("layers"), model.get("weights"));
  const names = model.get("class_names");
  const picture = document.createElement("canvas");
  const panel = layersPanel({ model, network, names, signal });
  const bars = probabilityBars(names);
  let drawing = drawingOf(model);
  let kept; // what this view gave to the model last; null would be an empty pad
  let pen = [FINE / 2, FINE / 2]; // row and column of the keyboard's pen
  let down = false; // the keyboard's pen touches the paper
  let last = null; // where the pointer was
  let pointer = null; // the finger that draws; a second one does not

  const helpId = freshId("help");
  const pad = element("canvas", {
    class: "pad",
    tabindex: 0,
    role: "application",
    "aria-label": "Drawing pad",
    "aria-describedby": helpId,
    width: FINE,
    height: FINE,
  });
  const cross = element("span", { class: "pen", "aria-hidden": "true", hidden: true });
  const hint = element("span", { class: "hint", "aria-hidden": "true" }, "Draw a digit here");
  const said = element("p", { class: "unseen", "aria-live": "polite" });
  const answer = element("p", { class: "answer" });
  const both = element("p", {});
  const brush = element("input", {
    type: "range",
    id: freshId("brush"),
    min: 1,
    max: 5,
    step: 0.5,
    oninput: () => assign(model, { brush: Number(brush.value) }),
  });
  const centred = element("input", {
    type: "checkbox",
    id: freshId("centred"),
    onchange: () => assign(model, { centred: centred.checked }),
  });
  const steps = [
    stepOf("Drawn: averaged to 28 × 28."),
    stepOf("Scaled: the ink, cut out, fills 20 pixels."),
    stepOf("Centred: centre of mass in the middle of 28 × 28."),
  ];
  const deeper = element(
    "div",
    { class: "deeper" },
    element(
      "p",
      { class: "soft" },
      "Below, each layer's feature maps in one scale of colours: black is 0 and white the largest number. Choose a map to see what made it.",
    ),
    panel.root,
  );

  const starts = decode(model.get("images"));
  const root = widgetFrame(
    "digit-pad",
    "Draw a digit for the network",
    element(
      "div",
      { class: "desk" },
      element(
        "div",
        { class: "left" },
        element("div", { class: "paper" }, pad, hint, cross),
        answer,
        element(
          "div",
          { class: "course-row" },
          element("span", { class: "course-field" }, element("label", { for: brush.id }, "Pen"), brush),
          element("button", { type: "button", onclick: () => clear() }, "Clear"),
        ),
        starts &&
          element(
            "div",
            { class: "starts", role: "group", "aria-label": "Begin with a digit of MNIST" },
            startButtons(starts),
          ),
        element(
          "p",
          { class: "soft", id: helpId },
          "Draw with mouse or finger. By keyboard: arrow keys move the pen (with Shift farther), Space puts it down and lifts it, Delete clears.",
        ),
      ),
      element(
        "div",
        {},
        element(
          "p",
          { class: "switch" },
          centred,
          element("label", { for: centred.id }, "Scale and centre the drawing as MNIST was made"),
        ),
        element(
          "div",
          { class: "steps" },
          steps.map((step) => step.figure),
        ),
        both,
        bars.root,
        said,
      ),
    ),
    deeper,
  );
  el.append(root);

  /** Buttons with small pictures, each of which begins with that digit. */
  function startButtons({ shape: [number, height, width], data }) {
    return Array.from({ length: number }, (_, k) => {
      const image = tensor([height, width], data.slice(k * height * width, (k + 1) * height * width));
      const small = element("canvas", { "aria-hidden": "true" });
      paintGrey(small, image);
      return element(
        "button",
        {
          type: "button",
          "aria-label": `Begin with digit ${k + 1} of ${number}`,
          onclick: () => assign(model, { drawing: encodeBytes(image) }),
        },
        small,
      );
    });
  }

  /** Give the drawing to the model; Python hears of it when a stroke ends. */
  const keep = () => {
    kept = encodeBytes(drawing);
    model.set("drawing", kept);
  };
  const finish = () => {
    model.save_changes();
    said.textContent = answer.textContent;
  };
  function clear() {
    assign(model, { drawing: null });
    said.textContent = "The pad is empty.";
  }
  const stroke = (from, to) => drawLine(drawing, from, to, (model.get("brush") * FINE) / 56);

  const place = (event) => {
    const box = pad.getBoundingClientRect();
    return [((event.clientY - box.top) / box.height) * FINE, ((event.clientX - box.left) / box.width) * FINE];
  };
  pad.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || last) return;
    pointer = event.pointerId;
    pad.setPointerCapture(event.pointerId);
    last = place(event);
    stroke(last, last);
    keep();
  });
  pad.addEventListener("pointermove", (event) => {
    if (!last || event.pointerId !== pointer) return;
    for (const part of event.getCoalescedEvents?.() ?? [event]) {
      const next = place(part);
      stroke(last, next);
      last = next;
    }
    keep();
  });
  for (const end of ["pointerup", "pointercancel"])
    pad.addEventListener(end, (event) => {
      if (!last || event.pointerId !== pointer) return;
      last = null;
      keep(); // Python's echo of the stroke before may have come meanwhile
      finish();
      soon();
    });
  pad.addEventListener("keydown", (event) => {
    if (event.key in ARROWS) {
      const by = event.shiftKey ? 20 : 5;
      const next = pen.map((at, axis) => Math.min(Math.max(at + by * ARROWS[event.key][axis], 0), FINE));
      if (down) stroke(pen, next);
      pen = next;
    } else if (event.key === " ") {
      down = !down;
      if (down) stroke(pen, pen);
      else said.textContent = `The pen is up. ${answer.textContent}`;
    } else if (event.key === "Delete" || event.key === "Backspace") {
      down = false;
      clear();
    } else return;
    event.preventDefault();
    if (down) keep();
    if (down && event.key === " ") finish(); // a dot
    showPen();
  });
  pad.addEventListener("keyup", (event) => event.key in ARROWS && down && finish());
  pad.addEventListener("focus", showPen);
  pad.addEventListener("blur", () => (cross.hidden = true));

  /** Where the keyboard's pen is: a ring, filled while it is down. */
  function showPen() {
    cross.hidden = !pad.matches(":focus-visible");
    cross.classList.toggle("down", down);
    cross.style.top = `${(100 * pen[0]) / FINE}%`;
    cross.style.left = `${(100 * pen[1]) / FINE}%`;
  }

  function show() {
    brush.value = model.get("brush");
    centred.checked = model.get("centred");
    paintGrey(pad, drawing);
    const made = mnistSteps(drawing);
    hint.hidden = Boolean(made);
    for (const hidden of [deeper, ...steps.map((step) => step.canvas)]) hidden.hidden = !made;
    const used = centred.checked ? 2 : 0;
    steps.forEach((step, k) => {
      step.figure.classList.toggle("used", Boolean(made) && k === used);
      step.mark.hidden = !made || k !== used;
      step.figure.classList.toggle("left-out", k > used);
    });
    if (!made) {
      answer.textContent = "The pad is empty: there is nothing to answer yet.";
      both.textContent = "";
      bars.show(null);
      return;
    }
    paintSteps(made);
    const [seen, other] = centred.checked ? [made.centred, made.plain] : [made.plain, made.centred];
    const outputs = outputsOf(seen);
    const probabilities = Array.from(probabilitiesOf(network, outputs));
    const [best, probability] = answerOf(probabilities);
    const words = element("b", {}, names[best]);
    answer.replaceChildren("The network answers ", words, ` with probability ${probability.toFixed(3)}.`);
    bars.show(probabilities);
    if (last) both.textContent = "Lift the pen to compare.";
    else compare(probabilities, Array.from(probabilitiesOf(network, outputsOf(other))));
    paintGrey(picture, seen);
    panel.show(outputs, picture);
  }

  /** What the layers make of an image of 28 × 28. */
  function outputsOf({ data }) {
    const divisor = model.get("divisor");
    const shares = data.map((value) => value / divisor);
    return forward(network, tensor([28, 28, 1], shares));
  }

  /** The answer with the step and without it, side by side. */
  function compare(probabilities, others) {
    const [within, without] = (centred.checked ? [probabilities, others] : [others, probabilities]).map(
      (values) => {
        const [best, probability] = answerOf(values);
        return element("b", {}, `${names[best]} (${probability.toFixed(2)})`);
      },
    );
    both.replaceChildren("Scaled and centred: ", within, ". Left as drawn: ", without, ".");
  }

  function paintSteps({ plain, scaled, centred: image, cut, corner }) {
    const [first, second, third] = steps.map((step) => step.canvas);
    paintGrey(first, plain);
    paintGrey(second, scaled);
    paintGrey(third, image);
    second.style.width = `${(100 * scaled.shape[1]) / 28}%`;
    first.setAttribute(
      "aria-label",
      `The drawing in 28 × 28 pixels; its ink fills ${cut.bottom - cut.top + 1} × ${cut.right - cut.left + 1} of ${FINE} × ${FINE} points`,
    );
    second.setAttribute("aria-label", `The ink scaled to ${scaled.shape[0]} × ${scaled.shape[1]} pixels`);
    third.setAttribute(
      "aria-label",
      `The scaled ink placed at row ${corner[0]}, column ${corner[1]} of 28 × 28 pixels`,
    );
  }

  const soon = atNextFrame(show, signal);
  const redraw = () => {
    if (!last && model.get("drawing") !== kept) drawing = drawingOf(model); // drawn elsewhere
    soon();
  };
  whenChanged(model, ["drawing"], redraw, signal);
  whenChanged(model, ["centred", "brush"], soon, signal);
  show();
}

export default { render };
