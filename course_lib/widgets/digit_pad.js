// Draw a digit and see what a network makes of it while you draw.

import { tensor } from "./arithmetic.js";
import { decode, encodeBytes } from "./arrays.js";
import { ARROWS, assign, atNextFrame, element, freshId, labelled, setText, whenChanged, widgetFrame } from "./elements.js";
import { layersPanel, paintGrey } from "./layer_view.js";
import { drawLine, FINE, mnistSteps } from "./digit.js";
import { forward, probabilitiesOf, readNetwork } from "./network.js";
import { answerOf, inPercent, probabilityBars, setPercent } from "./probabilities.js";

/** The model's drawing as fine as the pad, however fine it came. */
function drawingOf(model) {
  const fine = tensor([FINE, FINE], new Uint8ClampedArray(FINE * FINE));
  const given = decode(model.get("drawing"));
  if (!given) return fine;
  const [side] = given.shape;
  for (let i = 0; i < FINE; i++)
    for (let j = 0; j < FINE; j++)
      fine.data[i * FINE + j] =
        given.data[Math.floor((i * side) / FINE) * side + Math.floor((j * side) / FINE)];
  return fine;
}

// The paper --------------------------------------------------------------------------------------------------

/** Draw on the pad by mouse or finger; returns a function that tells whether a stroke is under way. */
function drawByPointer(pad, { stroke, end }) {
  let last = null; // where the pointer was
  let pointer = null; // the finger that draws; a second one does not
  const place = (event) => {
    const box = pad.getBoundingClientRect();
    return [((event.clientY - box.top) / box.height) * FINE, ((event.clientX - box.left) / box.width) * FINE];
  };
  pad.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || last) return;
    pointer = event.pointerId;
    pad.setPointerCapture(pointer);
    last = place(event);
    stroke([last, last]);
  });
  pad.addEventListener("pointermove", (event) => {
    if (!last || event.pointerId !== pointer) return;
    const points = [last, ...(event.getCoalescedEvents?.() ?? [event]).map(place)];
    stroke(points);
    last = points.at(-1);
  });
  for (const name of ["pointerup", "pointercancel"])
    pad.addEventListener(name, (event) => {
      if (!last || event.pointerId !== pointer) return;
      last = null;
      end();
    });
  return () => last !== null;
}

/** Draw on the pad by keys; returns the mark of the pen: a ring, filled while the pen is down. */
function drawByKeys(pad, { stroke, end, lift, clear }) {
  let pen = [FINE / 2, FINE / 2];
  let down = false;
  const mark = element("span", { class: "pen", "aria-hidden": "true", hidden: true });
  const showPen = () => {
    mark.hidden = !pad.matches(":focus-visible");
    mark.classList.toggle("down", down);
    mark.style.top = `${(100 * pen[0]) / FINE}%`;
    mark.style.left = `${(100 * pen[1]) / FINE}%`;
  };
  pad.addEventListener("keydown", (event) => {
    if (event.key in ARROWS) {
      const by = event.shiftKey ? 20 : 5;
      const next = pen.map((at, axis) => Math.min(Math.max(at + by * ARROWS[event.key][axis], 0), FINE));
      if (down) stroke([pen, next]);
      pen = next;
    } else if (event.key === " ") {
      down = !down;
      if (!down) lift();
      else {
        stroke([pen, pen]);
        end();
      }
    } else if (event.key === "Delete" || event.key === "Backspace") {
      down = false;
      clear();
    } else return;
    event.preventDefault();
    showPen();
  });
  pad.addEventListener("keyup", (event) => event.key in ARROWS && down && end());
  pad.addEventListener("focus", showPen);
  pad.addEventListener("blur", () => (mark.hidden = true));
  return mark;
}

/** The paper: stroke(points) draws a line, end() comes after it, lift() and clear() are the keyboard's. */
function paperOf(actions) {
  const id = freshId("help");
  const pad = element("canvas", {
    class: "pad",
    tabindex: 0,
    role: "application",
    "aria-label": "Drawing pad",
    "aria-describedby": id,
    width: FINE,
    height: FINE,
  });
  const hint = element("span", { class: "hint", "aria-hidden": "true" }, "Draw a digit here");
  return {
    root: element("div", { class: "paper" }, pad, hint, drawByKeys(pad, actions)),
    help: element(
      "p",
      { class: "soft", id },
      "Draw with mouse or finger. By keyboard: arrow keys move the pen (with Shift farther), Space puts it down and lifts it, Delete clears.",
    ),
    isDrawing: drawByPointer(pad, actions),
    show(drawing, empty) {
      paintGrey(pad, drawing);
      hint.hidden = !empty;
    },
  };
}

/** Buttons with small pictures, each of which begins with that digit; none without digits. */
function startsOf(model) {
  const images = decode(model.get("images"));
  if (!images) return null;
  const [number, height, width] = images.shape;
  const buttons = Array.from({ length: number }, (_, k) => {
    const image = tensor([height, width], images.data.slice(k * height * width, (k + 1) * height * width));
    const small = element("canvas", { "aria-hidden": "true" });
    paintGrey(small, image);
    const begin = () => assign(model, { drawing: encodeBytes(image) });
    const label = `Begin with digit ${k + 1} of ${number}`;
    return element("button", { type: "button", "aria-label": label, onclick: begin }, small);
  });
  const label = "Begin with a digit of MNIST";
  return element("div", { class: "starts", role: "group", "aria-label": label }, buttons);
}

// From the drawing to the answer -----------------------------------------------------------------------------

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

/** The steps from the drawing to the image; show(made, used) shows what mnistSteps() returned, and which is used. */
function stepsOf() {
  const steps = [
    stepOf("Drawn: averaged to 28 × 28."),
    stepOf("Scaled: the ink, cut out, fills 20 pixels."),
    stepOf("Centred: centre of mass in the middle of 28 × 28."),
  ];
  const figures = steps.map((step) => step.figure);

  function paint({ plain, scaled, centred, cut, corner }) {
    const labels = [
      `The drawing in 28 × 28 pixels; its ink fills ${cut.bottom - cut.top + 1} × ${cut.right - cut.left + 1} of ${FINE} × ${FINE} points`,
      `The ink scaled to ${scaled.shape[0]} × ${scaled.shape[1]} pixels`,
      `The scaled ink placed at row ${corner[0]}, column ${corner[1]} of 28 × 28 pixels`,
    ];
    [plain, scaled, centred].forEach((image, k) => {
      paintGrey(steps[k].canvas, image);
      steps[k].canvas.setAttribute("aria-label", labels[k]);
    });
    steps[1].canvas.style.width = `${(100 * scaled.shape[1]) / 28}%`;
  }

  function show(made, used) {
    steps.forEach(({ canvas, mark, figure }, k) => {
      canvas.hidden = !made;
      mark.hidden = !made || k !== used;
      figure.classList.toggle("used", !mark.hidden);
      figure.classList.toggle("left-out", k > used);
    });
    if (made) paint(made);
  }
  return { root: element("div", { class: "steps" }, figures), show };
}

/**
 * The answer: in words, as bars, and compared with that of the other image; show(null) if the pad is empty, and
 * show(probabilities, false) while the pen moves too fast for numbers.
 */
function answersOf(names) {
  const words = element("p", { class: "answer" });
  const both = element("p", {});
  const bars = probabilityBars(names);
  const digit = element("b");
  const share = inPercent(0);
  const inBold = (probabilities) => {
    const [best, probability] = answerOf(probabilities);
    return element("b", {}, `${names[best]} (`, inPercent(probability), ")");
  };

  function show(probabilities, inNumbers = true) {
    const [best, probability] = probabilities ? answerOf(probabilities) : [];
    bars.show(probabilities, best, null, inNumbers);
    words.classList.toggle("without-numbers", !inNumbers);
    setText(both, probabilities ? "Lift the pen to compare." : "");
    if (!probabilities) return setText(words, "The pad is empty: there is nothing to answer yet.");
    if (share.parentElement !== words) words.replaceChildren("The network answers ", digit, " with probability ", share, ".");
    setText(digit, names[best]);
    if (inNumbers) setPercent(share, probability);
  }
  const compare = (centred, asDrawn) =>
    both.replaceChildren("Scaled and centred: ", inBold(centred), ". Left as drawn: ", inBold(asDrawn), ".");
  return { words, both, bars: bars.root, show, compare };
}

// One view ---------------------------------------------------------------------------------------------------

/** The pen's width, and whether the network sees the drawing scaled and centred; show() follows the model. */
function settingsOf(model) {
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
  const words = "Scale and centre the drawing as MNIST was made";
  return {
    brush: labelled("Pen", brush),
    centred: element("p", { class: "switch" }, centred, element("label", { for: centred.id }, words)),
    show() {
      brush.value = model.get("brush");
      centred.checked = model.get("centred");
    },
  };
}

function render({ model, el, signal }) {
  const network = readNetwork(model.get("layers"), model.get("weights"));
  const names = model.get("class_names");
  const picture = document.createElement("canvas");
  let drawing = drawingOf(model);
  let kept; // what this view gave to the model last; null would be an empty pad
  let ended = false; // a stroke came to its end, and its answer is to be said
  let rest = 0; // what is to be done when the pen rests
  let lifted = ""; // what is said before it, if the pen was lifted by keyboard

  const settings = settingsOf(model);
  const paper = paperOf({ stroke, end, lift, clear });
  const steps = stepsOf();
  const answers = answersOf(names);
  const panel = layersPanel({ model, network, names, signal });
  const said = element("p", { class: "unseen", "aria-live": "polite" });
  const clearing = element("button", { type: "button", onclick: clear }, "Clear");
  const about =
    "Below, each layer's feature maps in one scale of colours: black is 0 and white the largest number. Choose a map to see what made it.";
  const deeper = element("div", {}, element("p", { class: "soft" }, about), panel.root);
  const row = element("div", { class: "course-row" }, settings.brush, clearing);
  const left = element("div", {}, paper.root, answers.words, row, startsOf(model), paper.help);
  const right = element("div", {}, settings.centred, steps.root, answers.both, answers.bars, said);
  const desk = element("div", { class: "desk" }, left, right);
  el.append(widgetFrame("digit-pad", "Draw a digit for the network", desk, deeper));

  function lift() {
    lifted = "The pen is up. ";
    said.textContent = lifted + answers.words.textContent;
  }

  /** Draw a line and give the drawing to the model; Python hears of it when the stroke ends. */
  function stroke(points) {
    lifted = "";
    const radius = (model.get("brush") * FINE) / 56;
    points.slice(1).forEach((to, k) => drawLine(drawing, points[k], to, radius));
    keep();
  }
  function keep() {
    kept = encodeBytes(drawing);
    model.set("drawing", kept);
  }
  function end() {
    keep(); // Python's echo of the stroke before may have come meanwhile
    model.save_changes();
    ended = true;
    soon();
  }
  function clear() {
    assign(model, { drawing: null });
    said.textContent = "The pad is empty.";
  }

  /** What the layers make of an image of 28 × 28. */
  function outputsOf({ data }) {
    const divisor = model.get("divisor");
    return forward(network, tensor([28, 28, 1], data.map((value) => value / divisor)));
  }
  const probabilitiesFor = (outputs) => Array.from(probabilitiesOf(network, outputs));

  /** Show the answer at every frame of a stroke, its numbers when the pen rests; what takes longer follows at its end. */
  function show() {
    clearTimeout(rest);
    const made = mnistSteps(drawing);
    const centred = model.get("centred");
    settings.show();
    paper.show(drawing, !made);
    steps.show(made, centred ? 2 : 0);
    deeper.hidden = !made;
    if (!made) return answers.show(null);
    const [seen, other] = centred ? [made.centred, made.plain] : [made.plain, made.centred];
    const outputs = outputsOf(seen);
    const probabilities = probabilitiesFor(outputs);
    answers.show(probabilities, !paper.isDrawing());
    paintGrey(picture, seen);
    panel.show(outputs, picture, paper.isDrawing());
    if (paper.isDrawing()) {
      rest = setTimeout(() => answers.show(probabilities), 200);
      return;
    }
    const others = probabilitiesFor(outputsOf(other));
    answers.compare(...(centred ? [probabilities, others] : [others, probabilities]));
    if (ended) said.textContent = lifted + answers.words.textContent;
    ended = false;
  }

  const soon = atNextFrame(show, signal);
  const redraw = () => {
    if (!paper.isDrawing() && model.get("drawing") !== kept) drawing = drawingOf(model); // drawn elsewhere
    soon();
  };
  whenChanged(model, ["drawing"], redraw, signal);
  whenChanged(model, ["centred", "brush"], soon, signal);
  show();
}

export default { render };
