// A trained network on a chosen image: its feature maps layer by layer, and its answer.

import { tensor } from "./arithmetic.js";
import { decode } from "./arrays.js";
import { paint, paintColours, range } from "./drawing.js";
import { assign, atNextFrame, choice, element, setText, whenChanged, widgetFrame } from "./elements.js";
import { columnsFor, gridOf, layersPanel } from "./layer_view.js";
import { forward, givesLogits, probabilitiesOf, readNetwork } from "./network.js";
import { answerOf, inPercent, probabilityBars, setPercent } from "./probabilities.js";

const FILTERS = {
  all: () => true,
  right: (label, answer) => label === answer,
  wrong: (label, answer) => label !== answer,
};

/** One image of a batch [images, height, width, channels]. */
function imageAt({ shape: [, ...shape], data }, index) {
  const size = shape[0] * shape[1] * shape[2];
  return tensor(shape, data.subarray(index * size, (index + 1) * size));
}

/** Paint an image of one or three channels (of others, the first), its numbers from `low` to `high`. */
function paintImage(canvas, image, [low, high]) {
  const share = tensor(
    image.shape,
    image.data.map((value) => (255 * (value - low)) / (high - low || 1)),
  );
  if (image.shape[2] === 3) paintColours(canvas, share);
  else paint(canvas, share, (value) => [value, value, value]);
}

/** The images, what is known about them, and which of them the model has chosen. */
function imagesOf(model) {
  const images = decode(model.get("images"));
  const labels = decode(model.get("labels"))?.data ?? null;
  const answers = decode(model.get("answers")).data;
  const names = model.get("class_names");
  const [low, high] = range(images.data);
  const white = model.get("images").dtype === "uint8" ? [0, 255] : [Math.min(low, 0), Math.max(high, 1)];
  const numbers = Array.from({ length: images.shape[0] }, (_, k) => k);
  const kept = Object.fromEntries(
    Object.entries(FILTERS).map(([name, keeps]) => [
      name,
      numbers.filter((k) => keeps(labels?.[k], answers[k])),
    ]),
  );
  const index = () => Math.min(Math.max(Math.trunc(model.get("index")) || 0, 0), numbers.length - 1);
  const list = () => kept[labels ? model.get("shown") : "all"];
  const nameOf = (k) => model.get("image_names")[k] ?? `image ${k}`;
  return {
    ratio: images.shape[1] / images.shape[2],
    labels,
    kept,
    index,
    list,
    nameOf,
    at: (k) => imageAt(images, k),
    paint: (canvas, k) => paintImage(canvas, imageAt(images, k), white),
    isWrong: (k) => labels !== null && labels[k] !== answers[k],
    inWords: (k) =>
      [nameOf(k), labels && names[labels[k]], `read as ${names[answers[k]]}`].filter(Boolean).join(", "),
    /** Go on by so many images, or to the first or the last. */
    step(by) {
      const place = Math.min(Math.max(list().indexOf(index()) + by, 0), list().length - 1);
      if (list().length) assign(model, { index: list()[place] });
    },
  };
}

/** The list of filters: all images, those that were answered right, those answered wrong. */
function filterOf(model, { kept, index }) {
  const choices = Object.entries(kept).map(([name, { length }]) => [
    name,
    `${name === "all" ? "all" : `answered ${name}`} (${length})`,
  ]);
  return choice("Images", choices, model.get("shown"), (shown) =>
    assign(model, { shown, index: kept[shown].includes(index()) ? index() : (kept[shown][0] ?? index()) }),
  );
}

/** The film: the page of the list on which the chosen image is, and buttons to go on. */
function filmOf(model, images) {
  const { index, list, step } = images;
  const previous = element("button", { type: "button", onclick: () => step(-1) }, "Previous");
  const next = element("button", { type: "button", onclick: () => step(1) }, "Next");
  const nothing = element("p", { class: "nothing", hidden: true }, "No image is left to choose.");
  const { canvas, paint } = gridOf("Choose an image", {
    choose: (cell) => assign(model, { index: list()[cell + start()] }),
    move: step,
  });
  const perPage = () => 2 * columnsFor(canvas, Infinity, 36);
  const start = () => Math.floor(Math.max(list().indexOf(index()), 0) / perPage()) * perPage();
  const thumbnails = new Map();

  /** An image on a canvas of its own, painted once. */
  function thumbnail(k) {
    if (!thumbnails.has(k)) {
      thumbnails.set(k, document.createElement("canvas"));
      images.paint(thumbnails.get(k), k);
    }
    return thumbnails.get(k);
  }

  function show() {
    const page = list().slice(start(), start() + perPage());
    nothing.hidden = page.length > 0;
    canvas.hidden = page.length === 0;
    paint({
      cells: page.length,
      columns: perPage() / 2,
      ratio: images.ratio,
      chosen: page.indexOf(index()),
      say: page.includes(index()) ? images.inWords(index()) : "none chosen",
      draw: (context, boxOf) =>
        page.forEach((k, cell) => {
          context.drawImage(thumbnail(k), ...boxOf(cell));
          if (images.isWrong(k)) cross(context, boxOf(cell));
        }),
    });
    previous.disabled = list().indexOf(index()) <= 0;
    next.disabled = list().length === 0 || list().indexOf(index()) === list().length - 1;
  }
  return { root: element("div", { class: "film" }, canvas, nothing), buttons: [previous, next], thumbnail, show };
}

/** The chosen image, large, and the network's answer in words and as bars. */
function resultOf(network, names, images) {
  const large = element("canvas", { role: "img", class: "chosen-image" });
  const [which, name, verdict] = [element("span"), element("b"), element("span")];
  const share = inPercent(0);
  const sentence = [which, name, " with probability ", share, ". ", verdict];
  const said = element("p", { class: "said", "aria-live": "polite", "aria-atomic": "true" }, sentence);
  const bars = probabilityBars(names);
  const note = givesLogits(network)
    ? "The last layer gives logits; softmax has made these probabilities of them."
    : "The last layer gives these probabilities itself, by softmax.";

  function show(k, probabilities) {
    const [answer, probability] = answerOf(probabilities);
    const truth = images.labels?.[k];
    images.paint(large, k);
    large.setAttribute("aria-label", `The image: ${images.nameOf(k)}`);
    setText(which, `${images.nameOf(k)}: the network answers `);
    setText(name, names[answer]);
    setPercent(share, probability);
    verdict.className = truth === answer ? "right" : "wrong";
    if (images.labels) setText(verdict, truth === answer ? "Right." : `Wrong: it is ${names[truth]}.`);
    bars.show(probabilities, answer, truth);
  }
  const words = element("div", {}, said, bars.root, element("p", { class: "soft" }, note));
  return { root: element("div", { class: "on-image" }, large, words), show };
}

function render({ model, el, signal }) {
  const network = readNetwork(model.get("layers"), model.get("weights"));
  const names = model.get("class_names");
  const images = imagesOf(model);
  const filter = images.labels && filterOf(model, images);
  const film = filmOf(model, images);
  const result = resultOf(network, names, images);
  const panel = layersPanel({ model, network, names, signal });
  const marked = images.labels && element("span", { class: "soft" }, "× marks a wrong answer");
  const about =
    "Each layer's feature maps in one scale of colours: black is 0 and white the largest number; where a number is negative, orange is below 0 and purple above. Choose a map to see what made it.";
  el.append(
    widgetFrame(
      "network-explorer",
      "A network on an image, layer by layer",
      element("div", { class: "course-row" }, filter, film.buttons, marked),
      film.root,
      result.root,
      element("p", { class: "soft" }, about),
      panel.root,
    ),
  );

  function show() {
    const k = images.index();
    const { shape, data } = images.at(k);
    const divisor = model.get("divisor");
    const outputs = forward(network, tensor(shape, data.map((value) => value / divisor)));
    if (filter) filter.querySelector("select").value = model.get("shown");
    film.show(); // first, as it looks how wide it is
    result.show(k, Array.from(probabilitiesOf(network, outputs)));
    panel.show(outputs, film.thumbnail(k));
  }

  const soon = atNextFrame(show, signal);
  whenChanged(model, ["index", "shown"], soon, signal);
  const resized = new ResizeObserver(soon);
  resized.observe(film.root);
  signal.addEventListener("abort", () => resized.disconnect());
  show();
}

/** Mark an image that was answered wrong: a cross in its corner. */
function cross(context, [x, y, width]) {
  const side = width / 4;
  for (const [colour, line] of [
    ["#000000", 4],
    ["#ffffff", 2],
  ]) {
    context.strokeStyle = colour;
    context.lineWidth = line * devicePixelRatio;
    context.beginPath();
    context.moveTo(x + width - side, y + 2);
    context.lineTo(x + width - 2, y + side);
    context.moveTo(x + width - 2, y + 2);
    context.lineTo(x + width - side, y + side);
    context.stroke();
  }
}

export default { render };
