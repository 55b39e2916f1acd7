// A trained network on a chosen image: its feature maps layer by layer, and its answer.

import { tensor } from "./arithmetic.js";
import { decode } from "./arrays.js";
import { paint, paintColours, range } from "./drawing.js";
import { atNextFrame, choice, element, widgetFrame } from "./elements.js";
import { assign, columnsFor, gridOf, layersPanel, probabilityBars, whenChanged } from "./layer_view.js";
import { forward, givesLogits, probabilitiesOf, readNetwork } from "./network.js";

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

/** Everything that a view shows of the model's state. */
function readState(model) {
  const images = decode(model.get("images"));
  const number = images.shape[0];
  const labels = decode(model.get("labels"))?.data ?? null;
  const answers = decode(model.get("answers")).data;
  const [low, high] = range(images.data);
  const white = model.get("images").dtype === "uint8" ? [0, 255] : [Math.min(low, 0), Math.max(high, 1)];
  const kept = (filter) =>
    Array.from({ length: number }, (_, k) => k).filter((k) => FILTERS[filter](labels?.[k], answers[k]));
  return {
    images,
    number,
    labels,
    answers,
    white,
    kept: labels ? { all: kept("all"), right: kept("right"), wrong: kept("wrong") } : { all: kept("all") },
  };
}

function render({ model, el, signal }) {
  const network = readNetwork(model.get("layers"), model.get("weights"));
  const names = model.get("class_names");
  const imageNames = model.get("image_names");
  const state = readState(model);
  const panel = layersPanel({ model, network, names, signal });
  const bars = probabilityBars(names);

  const nameOf = (k) => imageNames[k] ?? `image ${k}`;
  const inWords = (k) => {
    const answer = `read as ${names[state.answers[k]]}`;
    return state.labels ? `${nameOf(k)}, ${names[state.labels[k]]}, ${answer}` : `${nameOf(k)}, ${answer}`;
  };
  const index = () => Math.min(Math.max(Math.trunc(model.get("index")) || 0, 0), state.number - 1);
  const list = () => state.kept[model.get("shown")] ?? state.kept.all;

  /** Go on by so many images, or to the first or the last. */
  const step = (by) => {
    const place = Math.min(Math.max(list().indexOf(index()) + by, 0), list().length - 1);
    if (list().length) assign(model, { index: list()[place] });
  };
  const previous = element("button", { type: "button", onclick: () => step(-1) }, "Previous");
  const next = element("button", { type: "button", onclick: () => step(1) }, "Next");
  const filter =
    state.labels &&
    choice(
      "Images",
      Object.entries(state.kept).map(([name, kept]) => [
        name,
        `${name === "all" ? "all" : `answered ${name}`} (${kept.length})`,
      ]),
      model.get("shown"),
      (shown) =>
        assign(model, {
          shown,
          index: state.kept[shown].includes(index()) ? index() : (state.kept[shown][0] ?? index()),
        }),
    );
  const film = gridOf("Choose an image", {
    choose: (cell) => assign(model, { index: list()[cell + filmStart()] }),
    move: step,
  });
  const nothing = element("p", { class: "nothing", hidden: true }, "No image is left to choose.");
  const large = element("canvas", { role: "img", class: "chosen-image" });
  const said = element("p", { class: "said", "aria-live": "polite" });
  const note = element(
    "p",
    { class: "soft" },
    givesLogits(network)
      ? "The last layer gives logits; softmax has made these probabilities of them."
      : "The last layer gives these probabilities itself, by softmax.",
  );

  el.append(
    widgetFrame(
      "network-explorer",
      "A network on an image, layer by layer",
      element(
        "div",
        { class: "course-row" },
        filter,
        previous,
        next,
        state.labels && element("span", { class: "soft" }, "× marks a wrong answer"),
      ),
      element("div", { class: "film" }, film.canvas, nothing),
      element("div", { class: "on-image" }, large, element("div", {}, said, bars.root, note)),
      element(
        "p",
        { class: "soft" },
        "Each layer's feature maps in one scale of colours: black is 0 and white the largest number; where a number is negative, orange is below 0 and purple above. Choose a map to see what made it.",
      ),
      panel.root,
    ),
  );

  /** The film shows the page of the list on which the chosen image is. */
  const perPage = () => 2 * columnsFor(film.canvas, Infinity, 36);
  const filmStart = () => Math.floor(Math.max(list().indexOf(index()), 0) / perPage()) * perPage();

  const thumbnails = new Map();
  /** An image on a canvas of its own, painted once. */
  function thumbnail(k) {
    if (!thumbnails.has(k)) {
      thumbnails.set(k, document.createElement("canvas"));
      paintImage(thumbnails.get(k), imageAt(state.images, k), state.white);
    }
    return thumbnails.get(k);
  }

  function paintFilm() {
    const kept = list();
    const start = filmStart();
    const page = kept.slice(start, start + perPage());
    nothing.hidden = page.length > 0;
    film.canvas.hidden = page.length === 0;
    const [, height, width] = state.images.shape;
    film.paint({
      cells: page.length,
      columns: perPage() / 2,
      ratio: height / width,
      chosen: page.indexOf(index()),
      say: page.includes(index()) ? inWords(index()) : "none chosen",
      draw: (context, cell, ...box) => {
        context.drawImage(thumbnail(page[cell]), ...box);
        if (state.labels && state.labels[page[cell]] !== state.answers[page[cell]]) cross(context, box);
      },
    });
    previous.disabled = kept.indexOf(index()) <= 0;
    next.disabled = kept.length === 0 || kept.indexOf(index()) === kept.length - 1;
  }

  function show() {
    const k = index();
    const image = imageAt(state.images, k);
    const divisor = model.get("divisor");
    const outputs = forward(
      network,
      tensor(
        image.shape,
        image.data.map((value) => value / divisor),
      ),
    );
    const probabilities = Array.from(probabilitiesOf(network, outputs));
    const answer = probabilities.indexOf(Math.max(...probabilities));
    paintImage(large, image, state.white);
    large.setAttribute("aria-label", `The image: ${nameOf(k)}`);
    const verdict =
      state.labels &&
      (answer === state.labels[k]
        ? element("span", { class: "right" }, "Right.")
        : element("span", { class: "wrong" }, `Wrong: it is ${names[state.labels[k]]}.`));
    said.replaceChildren(
      `${nameOf(k)}: the network answers `,
      element("b", {}, names[answer]),
      ` with probability ${probabilities[answer].toFixed(3)}. `,
      verdict || "",
    );
    bars.show(probabilities, state.labels?.[k]);
    if (filter) filter.querySelector("select").value = model.get("shown");
    paintFilm();
    panel.show(outputs, thumbnail(k));
  }

  const soon = atNextFrame(show, signal);
  whenChanged(model, ["index", "shown"], soon, signal);
  const resized = new ResizeObserver(soon);
  resized.observe(film.canvas.parentElement);
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
