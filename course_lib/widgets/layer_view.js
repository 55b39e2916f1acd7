// The layers of a network on a page: all feature maps small, one of them large, and what made it.

import { tensor } from "./arithmetic.js";
import { greyColour, inkOn, range, signedColour } from "./drawing.js";
import { ARROWS, assign, atNextFrame, element, say, setText, whenChanged } from "./elements.js";
import { activated, receptiveField, receptiveSide, sumOfProducts } from "./network.js";

/** 1 map, 32 maps. */
const count = (number, word) => `${number.toLocaleString("en")} ${word}${number === 1 ? "" : "s"}`;
const clamp = (value, largest) => Math.min(Math.max(Math.trunc(value) || 0, 0), Math.max(largest, 0));

// Colours, for thousands of numbers at a time ----------------------------------------------------------------

const GREYS = packedColours(256, (share) => greyColour(share, 0, 1));
const SIGNS = packedColours(511, (share) => signedColour(2 * share - 1, 1));

/** Colours in the order of bytes that a canvas has: red, green, blue, opaque. */
function packedColours(steps, colour) {
  const bytes = new Uint8ClampedArray(4 * steps);
  for (let i = 0; i < steps; i++) bytes.set([...colour(i / (steps - 1)), 255], 4 * i);
  return new Uint32Array(bytes.buffer);
}

const ranges = new WeakMap();

/** The range of numbers that are looked at more than once: those of a layer. */
function rangeOf(data) {
  if (!ranges.has(data)) ranges.set(data, range(data));
  return ranges.get(data);
}

const keptPixels = new WeakMap();

/** Fill a canvas with packed colours, fill(packed, width); they are kept, as the next ones take their place. */
function fillWith(canvas, fill) {
  const { width, height } = canvas;
  let image = keptPixels.get(canvas);
  if (image?.width !== width || image.height !== height) keptPixels.set(canvas, (image = new ImageData(width, height)));
  const packed = new Uint32Array(image.data.buffer);
  packed.fill(0);
  fill(packed, width);
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** Paint an image of numbers from 0 to 255 in grey, a canvas pixel for each. */
export function paintGrey(canvas, { shape: [height, width], data }) {
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  fillWith(canvas, (packed) => {
    for (let i = 0; i < packed.length; i++) packed[i] = GREYS[Math.round(data[i])];
  });
}

/**
 * Paint every channel of a tensor into its box on the canvas, boxOf(channel) = [x, y, width, height], all of one size.
 *
 * Numbers of which one is negative get the colours of signed ones, others are grey from 0. All channels are put on
 * the canvas at once: to draw them one by one takes several times as long.
 */
function paintChannels(canvas, { shape: [height, width, channels = 1], data }, [low, high], boxOf) {
  const [colours, zero] = low < 0 ? [SIGNS, 255.5] : [GREYS, 0.5]; // and a half, as fractions are cut off
  const scale = 255 / (Math.max(-low, high) || 1);
  fillWith(canvas, (packed, across) => {
    const [, , wide, tall] = boxOf(0);
    const places = Int32Array.from({ length: wide }, (_, x) => Math.floor((x * width) / wide) * channels);
    for (let c = 0; c < channels; c++) {
      const [left, top] = boxOf(c);
      const end = Math.min(wide, across - left);
      for (let y = 0, before = -1; y < tall; y++) {
        const row = Math.floor((y * height) / tall);
        const start = (top + y) * across + left;
        if (row === before) packed.copyWithin(start, start - across, start - across + end);
        else
          for (let x = 0, from = row * width * channels + c; x < end; x++)
            packed[start + x] = colours[(zero + scale * data[from + places[x]]) | 0];
        before = row;
      }
    }
  });
}

// Canvases as sharp as the screen ----------------------------------------------------------------------------

const looks = new WeakMap();

/** The width of a canvas, and the theme's colours for bars: ground, negative, positive. */
function lookOf(canvas) {
  const style = getComputedStyle(canvas);
  const colours = ["--ground-soft", "--negative", "--positive"].map((name) => style.getPropertyValue(name));
  return { width: canvas.clientWidth, colours };
}

/** Look at all canvases at once, and at no other time: to look, once a text has changed, lays out the page anew. */
function measure(root) {
  for (const canvas of root.querySelectorAll("canvas")) looks.set(canvas, lookOf(canvas));
}

const widthOf = (canvas) => looks.get(canvas)?.width ?? canvas.clientWidth;

/** Hide or show an element, or bound its width; the canvas in it is measured again. */
function restyle(shown, canvas, hidden, maxWidth = "") {
  if (shown.hidden === hidden && shown.style.maxWidth === maxWidth) return;
  shown.hidden = hidden;
  shown.style.maxWidth = maxWidth;
  looks.set(canvas, lookOf(canvas));
}

/** Make the canvas as fine as the screen for `ratio` = height / width; null while it is not to be seen. */
function prepare(canvas, ratio) {
  const width = Math.round(widthOf(canvas) * devicePixelRatio);
  if (width === 0) return null;
  const height = Math.max(1, Math.round(width * ratio));
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, width, height);
  context.imageSmoothingEnabled = false;
  return context;
}

/** Frame a rectangle so that it can be seen on every picture. */
function frame(context, x, y, width, height) {
  for (const [colour, line] of [
    ["#ffffff", 5],
    ["#000000", 3.5],
    ["#ff8c2e", 2.5],
  ]) {
    context.strokeStyle = colour;
    context.lineWidth = line * devicePixelRatio * 0.8;
    context.strokeRect(x, y, width, height);
  }
}

/** Where on the canvas the pointer is, as shares of its width and height. */
export function pointed(event) {
  const box = event.currentTarget.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
}

/**
 * A canvas of many small pictures in rows, one of them chosen by a click, choose(cell), or by keys, move(by).
 *
 * paint({ cells, columns, ratio, draw, chosen, say }): draw(context, boxOf) draws all cells, each in its box,
 * boxOf(cell) = [x, y, width, height].
 */
export function gridOf(label, { choose, move }) {
  let shown = { cells: 0, columns: 1, chosen: 0 };
  const canvas = element("canvas", { role: "slider", tabindex: 0, "aria-label": label, "aria-valuemin": 0 });
  canvas.addEventListener("click", (event) => {
    const [x, y] = pointed(event);
    const cell =
      Math.floor(y * Math.ceil(shown.cells / shown.columns)) * shown.columns + Math.floor(x * shown.columns);
    if (cell < shown.cells) choose(cell);
  });
  canvas.addEventListener("keydown", (event) => {
    const [rows, columns] = ARROWS[event.key] ?? [0, 0];
    const by = { Home: -Infinity, End: Infinity }[event.key] ?? rows * shown.columns + columns;
    if (by === 0) return;
    event.preventDefault();
    move(by);
  });
  const paint = (next) => {
    shown = next;
    const { cells, columns, ratio, draw, chosen } = shown;
    const rows = Math.ceil(cells / columns);
    canvas.setAttribute("aria-valuemax", Math.max(cells - 1, 0));
    canvas.setAttribute("aria-valuenow", Math.max(chosen, 0));
    canvas.setAttribute("aria-valuetext", shown.say);
    const context = prepare(canvas, (rows * ratio) / columns);
    if (!context || cells === 0) return;
    const [pitch, tall, gap] = [canvas.width / columns, canvas.height / rows, 2 * devicePixelRatio];
    const boxOf = (k) => {
      const [x, y] = [(k % columns) * pitch + gap / 2, Math.floor(k / columns) * tall + gap / 2];
      return [x, y, pitch - gap, tall - gap].map(Math.round);
    };
    draw(context, boxOf);
    if (chosen >= 0) frame(context, ...boxOf(chosen));
  };
  return { canvas, paint };
}

/** As many columns as fit with cells of `smallest` pixels, a power of two, so that rows come out even. */
export function columnsFor(canvas, cells, smallest) {
  const fit = Math.max(1, Math.floor(widthOf(canvas) / smallest));
  return Math.min(cells, 2 ** Math.floor(Math.log2(fit)));
}

/** One picture, large: draw(context, box) draws it; the pixels of the field are framed, those outside cut off. */
function largePicture(canvas, shape, draw, field) {
  const [rows, columns] = shape;
  const context = prepare(canvas, rows / columns);
  if (!context) return;
  draw(context, [0, 0, canvas.width, canvas.height]);
  const [top, left] = [Math.max(field.top, 0), Math.max(field.left, 0)];
  const [bottom, right] = [Math.min(field.bottom, rows - 1) + 1, Math.min(field.right, columns - 1) + 1];
  const side = canvas.width / columns;
  const line = 1.5 * devicePixelRatio; // the frame lies around the pixels, and is not cut off at the edge
  const [x, y] = [Math.max(left * side - line, line), Math.max(top * side - line, line)];
  const [end, floor] = [
    Math.min(right * side, canvas.width - 2 * line),
    Math.min(bottom * side, canvas.height - 2 * line),
  ];
  frame(context, x, y, end + line - x, floor + line - y);
}

/** Numbers of a vector as bars from a line of zero, each in its cell. */
function barsOf(canvas, data, [low, high]) {
  const [ground, negative, positive] = (looks.get(canvas) ?? lookOf(canvas)).colours;
  const [bottom, top] = [Math.min(low, 0), Math.max(high, 0)];
  const span = top - bottom || 1;
  return (context, boxOf) =>
    data.forEach((value, k) => {
      const [x, y, width, height] = boxOf(k);
      context.fillStyle = ground;
      context.fillRect(x, y, width, height);
      const zero = y + (height * top) / span;
      const tip = y + (height * (top - value)) / span;
      context.fillStyle = value < 0 ? negative : positive;
      context.fillRect(x, Math.min(zero, tip), width, Math.max(Math.abs(tip - zero), devicePixelRatio));
    });
}

// The panel --------------------------------------------------------------------------------------------------

const WORDS = {
  linear: () => "",
  relu: () => "ReLU",
  leaky_relu: ({ slope }) => `leaky ReLU with slope ${say(slope)}`,
  sigmoid: () => "the sigmoid",
  tanh: () => "tanh",
  softmax: () => "softmax",
};

const isMaps = ({ shape }) => shape.length === 3;
const sizes = (shape) => shape.map((side) => side.toLocaleString("en")).join(" × ");

/** The range in words; what is nothing beside the range is 0. */
function fromTo([low, high]) {
  const [first, last] = [low, high].map((end) => (1000 * Math.abs(end) < high - low ? 0 : end));
  return `from ${say(first)} to ${say(last)}`;
}

/** The range of a map or of a layer, in words. */
const saysFromTo = (limits) => (limits[0] === 0 && limits[1] === 0 ? "silent: 0 everywhere" : fromTo(limits));

/** How many numbers of a layer were learned, those of batch normalization left out. */
function parametersOf({ kernel, bias }) {
  return (kernel?.data.length ?? 0) + (bias?.data.length ?? 0);
}

const CHOICE = ["layer", "channel", "row", "column"];
const REST = 100; // milliseconds without anything new, after which the words follow, and what nobody sees

/** Where a map speaks: the row and column of its largest number, or of its middle if no other is larger. */
function peakOf(output, channel) {
  if (!isMaps(output)) return {};
  const [rows, columns, channels] = output.shape;
  let peak = (rows >> 1) * columns + (columns >> 1);
  for (let i = 0; i < rows * columns; i++)
    if (output.data[i * channels + channel] > output.data[peak * channels + channel]) peak = i;
  return { row: Math.floor(peak / columns), column: peak % columns };
}

/** Whether a layer's maps or units can be looked at one by one. */
const canBeChosen = (layer) => layer.kind !== "dropout" && layer.kind !== "flatten";

/**
 * All layers of a network, and one map of one layer with what made it.
 *
 * The model's layer, channel, row and column say which. show(outputs, picture) shows what forward() returned;
 * picture is a canvas with the image, a canvas pixel for each of its pixels. Pictures on the screen follow at once,
 * words and all else when nothing new has come for a while. In haste, as while a line is drawn, only one picture
 * follows at each call; all else waits for the next show() without haste.
 */
export function layersPanel({ model, network, names, signal }) {
  let outputs = null;
  let picture = null;
  let hasty = false;
  let rest = 0; // what is to be painted when the reader rests
  let atPeak = null; // whether the pixel goes where the map is largest, as nobody has pointed at another
  const strips = network.map((layer, k) =>
    stripOf(layer, k, {
      choose: (channel) => open(k, channel),
      move: (by) =>
        open(k, clamp((chosen().layer === k ? chosen().channel : -1) + by, outputs[k + 1].shape.at(-1) - 1)),
    }),
  );
  const one = oneMap(network, names, {
    choose: (row, column) => assign(model, { row, column }),
    move: (down, right) =>
      assign(model, within({ ...chosen(), row: chosen().row + down, column: chosen().column + right })),
  });
  const parts = [...strips, one];
  const painted = new Map(); // part → what it shows; that which was painted last comes last
  const root = element(
    "div",
    { class: "course-layers", style: `--layers: ${network.length}` },
    parts.map((part) => part.root),
  );

  /** Choose a map where it is largest, or a unit. */
  function open(layer, channel) {
    assign(model, { layer, channel, ...peakOf(outputs[layer + 1], channel) });
    atPeak = true;
  }

  /** A choice, brought into the bounds of what there is. */
  function within({ layer, channel, row, column }) {
    layer = clamp(layer, network.length - 1);
    if (!canBeChosen(network[layer])) layer = network.findIndex(canBeChosen);
    const { shape } = outputs[layer + 1];
    const [rows, columns] = shape.length === 3 ? shape : [1, 1];
    return {
      layer,
      channel: clamp(channel, shape.at(-1) - 1),
      row: clamp(row, rows - 1),
      column: clamp(column, columns - 1),
    };
  }

  /** What the model has chosen. */
  const chosen = () => within(Object.fromEntries(CHOICE.map((name) => [name, model.get(name)])));

  /** Python begins in the middle of the image. There, and until a pixel is pointed at, look at the map's peak. */
  function goToPeak() {
    atPeak ??= ["row", "column"].every((name, axis) => model.get(name) === outputs[0].shape[axis] >> 1);
    if (atPeak) open(chosen().layer, chosen().channel);
  }

  /** Whether a part would show another picture than it does. */
  function isOld(part) {
    const { pictured, concern } = painted.get(part);
    return pictured !== outputs || concern !== part.concern(chosen());
  }

  /** Bring a part up to date: its words if they are wanted, its picture if it is old. */
  function paintPart(part, withWords) {
    let { explained } = painted.get(part);
    if (withWords) part.explain((explained = outputs), chosen());
    if (isOld(part)) part.paint(outputs, chosen(), picture);
    painted.delete(part);
    painted.set(part, { pictured: outputs, explained, concern: part.concern(chosen()) });
  }

  /** Paint the parts that are on the screen, or empty; in haste, one of them. */
  function paint() {
    clearTimeout(rest);
    if (!outputs) return;
    const before = strips[chosen().layer].root;
    if (one.root.previousSibling !== before) before.after(one.root);
    const old = [...painted.keys()].filter(isOld);
    const here = old.filter((part) => isOnScreen(part.root) || !painted.get(part).pictured);
    for (const part of hasty ? here.slice(0, 1) : here) {
      const { explained } = painted.get(part);
      // Nobody reads while images rush by; but where a reader points, the numbers are to follow.
      paintPart(part, !hasty && (!explained || (explained === outputs && part === one)));
    }
    if (!hasty) rest = setTimeout(paintRest, REST);
  }

  /** Write and paint what is left, one part after the other; an input can come in between. */
  function paintRest() {
    const part = [...painted.keys()].find((part) => isOld(part) || painted.get(part).explained !== outputs);
    if (!part) return;
    paintPart(part, true);
    rest = setTimeout(paintRest);
  }
  const forget = () => parts.forEach((part) => painted.set(part, {}));

  const soon = atNextFrame(paint, signal);
  const isOnScreen = onScreenOf(parts, signal);
  forget();
  whenChanged(model, CHOICE, soon, signal);
  whenChanged(model, ["row", "column"], () => (atPeak = false), signal);
  whenLookChanges(root, () => [measure(root), forget(), soon()], signal);
  signal.addEventListener("abort", () => clearTimeout(rest));
  return {
    root,
    show(next, image, haste = false) {
      hasty = haste && outputs !== null;
      [outputs, picture] = [next, image];
      if (!hasty) goToPeak();
      paint();
    },
  };
}

/** A function that tells whether the root of one of some parts is on the screen. */
function onScreenOf(parts, signal) {
  const seen = new Set();
  const observer = new IntersectionObserver((entries) =>
    entries.forEach(({ target, isIntersecting }) => seen[isIntersecting ? "add" : "delete"](target)),
  );
  parts.forEach((part) => observer.observe(part.root));
  signal.addEventListener("abort", () => observer.disconnect());
  return (root) => seen.has(root);
}

/** Call a listener when an element has another width, or the page another theme. */
function whenLookChanges(root, listener, signal) {
  let width = 0;
  const resized = new ResizeObserver(([{ contentRect }]) => {
    if (contentRect.width === 0 || contentRect.width === width) return; // it is hidden, or only its height changed
    width = contentRect.width;
    listener();
  });
  resized.observe(root);
  const themed = new MutationObserver(listener);
  for (const place of [document.documentElement, document.body])
    themed.observe(place, { attributeFilter: ["data-theme", "data-jp-theme-light"] });
  signal.addEventListener("abort", () => [resized, themed].forEach((observer) => observer.disconnect()));
}

/** One layer: its name, and all its maps or units on one canvas. */
function stripOf(layer, k, choosing) {
  const words = element("span", { class: "soft" });
  const title = `${k} · ${layer.class}`;
  const grid = gridOf(`Layer ${k}, ${layer.class}: choose a map or unit`, choosing);
  const root = element(
    "div",
    { class: "layer", role: "group", "aria-label": `Layer ${k}, ${layer.class}` },
    element("p", {}, element("b", {}, title), " ", words),
    layer.kind === "dropout" ? null : grid.canvas,
  );
  if (layer.kind === "flatten")
    ["tabindex", "aria-valuemin"].forEach((name) => grid.canvas.removeAttribute(name));

  function explain(outputs) {
    if (layer.kind === "dropout") {
      setText(words, "works in training only; here it lets every number through");
      return;
    }
    const learned = parametersOf(layer);
    const { shape, data } = outputs[k + 1];
    const facts = [sizes(shape), learned && count(learned, "parameter"), WORDS[layer.activation](layer)];
    setText(words, [...facts, saysFromTo(rangeOf(data))].filter(Boolean).join(" · "));
  }

  function paint(outputs, place) {
    root.classList.toggle("chosen", place.layer === k);
    const output = outputs[k + 1];
    if (layer.kind === "dropout") return;
    const limits = rangeOf(output.data);
    if (layer.kind === "flatten") return flat(output, limits);
    const cells = output.shape.at(-1);
    const chosen = place.layer === k ? place.channel : -1;
    const maps = isMaps(output);
    const columns = columnsFor(grid.canvas, cells, maps ? 27 : 13);
    const tall = maps ? output.shape[0] / output.shape[1] : 38 / (widthOf(grid.canvas) / columns || 1);
    grid.paint({
      cells,
      columns,
      ratio: tall,
      chosen,
      draw: maps
        ? (context, boxOf) => paintChannels(grid.canvas, output, limits, boxOf)
        : barsOf(grid.canvas, output.data, limits),
      say:
        chosen < 0
          ? `none of ${cells} is chosen`
          : `${maps ? "map" : "unit"} ${chosen}, counted from 0, of ${cells}`,
    });
  }

  /** The numbers one after the other, in rows, as a picture that nobody chooses from. */
  function flat({ data }, limits) {
    const columns = Math.min(data.length, 2 ** Math.floor(Math.log2(8 * Math.sqrt(data.length))));
    const rows = Math.ceil(data.length / columns);
    grid.canvas.setAttribute("role", "img");
    grid.canvas.setAttribute(
      "aria-label",
      `The ${count(data.length, "number")} one after the other, in rows`,
    );
    const context = prepare(grid.canvas, (rows * 3) / (widthOf(grid.canvas) || 1));
    if (!context) return;
    const padded = new Float64Array(rows * columns);
    padded.set(data);
    const all = [0, 0, grid.canvas.width, grid.canvas.height];
    paintChannels(grid.canvas, tensor([rows, columns], padded), limits, () => all);
  }

  return { root, explain, paint, concern: (place) => (place.layer === k ? place.channel : -1) };
}

/** One map, large, with the pixels of the image that one pixel of it has seen, and the weights that made it. */
function oneMap(network, names, { choose, move }) {
  const title = element("p", { class: "title" });
  const seen = element("canvas", { role: "img" });
  const large = element("canvas", { role: "application", tabindex: 0 });
  const source = element("canvas", { role: "img" });
  const sentence = element("p", { "aria-live": "polite" });
  const field = element("p", {});
  const about = element("p", { class: "soft" });
  const code = element("code");
  const captions = ["in the image", ""].map((words) => element("figcaption", { class: "soft" }, words));
  const pair = element(
    "div",
    { class: "pair" },
    element("figure", {}, seen, captions[0]),
    element("figure", {}, large, captions[1]),
  );
  const root = element(
    "div",
    { class: "one-map", role: "group", "aria-label": "The chosen feature map" },
    title,
    pair,
    sentence,
    field,
    element("figure", { class: "source" }, source, element("figcaption", {}, about)),
    element("pre", {}, code),
  );
  let shown = null;
  let made = {}; // whose weights are painted, and how wide: they are the same for every image

  const point = (event) => {
    const [x, y] = pointed(event);
    const [rows, columns] = shown.shape;
    choose(clamp(y * rows, rows - 1), clamp(x * columns, columns - 1));
  };
  large.addEventListener("pointermove", (event) => event.pointerType === "mouse" && point(event));
  large.addEventListener("pointerdown", point);
  large.addEventListener("keydown", (event) => {
    if (!(event.key in ARROWS)) return;
    event.preventDefault();
    move(...ARROWS[event.key]);
  });

  function paint(outputs, { layer: k, channel, row, column }, picture) {
    shown = outputs[k + 1];
    const reach = receptiveField(network, outputs, k, row, column);
    largePicture(seen, outputs[0].shape, (context, box) => context.drawImage(picture, ...box), reach);
    restyle(large.parentElement, large, !isMaps(shown));
    if (!isMaps(shown)) return;
    const one = channelOf(shown, channel);
    const place = { top: row, bottom: row, left: column, right: column };
    const draw = (context, box) => paintChannels(large, one, range(one.data), () => box);
    largePicture(large, shown.shape, draw, place);
  }

  function explain(outputs, { layer: k, channel, row, column }) {
    const layer = network[k];
    const [input, output] = [outputs[k], outputs[k + 1]];
    title.replaceChildren(
      element("b", {}, `${isMaps(output) ? "Map" : "Unit"} ${channel}`),
      ` of layer ${k}, ${layer.class}`,
      k === network.length - 1 ? `: class ${names[channel]}` : "",
    );
    setText(field, fieldInWords(network, outputs, k, receptiveField(network, outputs, k, row, column)));
    seen.setAttribute("aria-label", `The image, with the receptive field outlined. ${field.textContent}`);
    if (isMaps(output)) {
      setText(captions[1], `in the map, ${saysFromTo(range(channelOf(output, channel).data))}`);
      large.setAttribute(
        "aria-label",
        `Map ${channel} of ${output.shape[0]} × ${output.shape[1]} pixels; arrow keys move the pixel`,
      );
    }
    setText(sentence, madeInWords(layer, input, output, { k, channel, row, column }));
    if (layer.kernel && made.k === k && made.channel === channel && made.look === looks.get(source)) return;
    setText(about, paintSource(source, network, outputs, { k, channel, row, column }));
    source.setAttribute("aria-label", about.textContent);
    setText(code, codeFor(layer, k, channel));
    code.parentElement.hidden = !layer.kernel;
    made = { k, channel, look: looks.get(source) };
  }

  return { root, explain, paint, concern: (place) => Object.values(place).join() };
}

/** One channel of a tensor. */
function channelOf({ shape: [height, width, channels], data }, channel) {
  const one = tensor([height, width]);
  for (let i = 0; i < height * width; i++) one.data[i] = data[i * channels + channel];
  return one;
}

/** How the chosen number came about. */
function madeInWords(layer, input, output, { k, channel, row, column }) {
  const maps = isMaps(output);
  const at = maps ? (row * output.shape[1] + column) * output.shape[2] + channel : channel;
  const value = say(output.data[at], 3);
  const place = maps ? `Row ${row}, column ${column}` : `Unit ${channel}`;
  if (layer.kind === "pooling")
    return `${place}: ${value}, the largest of the ${layer.size} × ${layer.size} numbers outlined below.`;
  if (layer.kind === "scaling")
    return `${place}: ${say(input.data[at], 3)} times ${say(layer.scale.data[channel], 3)} plus ${say(layer.shift.data[channel], 3)} is ${value}.`;
  if (layer.kind === "activation")
    return `${place}: ${WORDS[layer.activation](layer)} makes ${value} of ${say(input.data[at], 3)}.`;
  const sum = sumOfProducts(layer, input, maps ? row : 0, maps ? column : 0, channel);
  const bias = layer.bias?.data[channel] ?? 0;
  const products = (layer.kernel.data.length / layer.kernel.shape.at(-1)).toLocaleString("en");
  const before = `${place}: ${products} products sum to ${say(sum, 3)}; with the bias ${say(bias, 3)} that is ${say(sum + bias, 3)}`;
  if (layer.activation === "linear") return `${before}.`;
  if (layer.activation === "softmax")
    return `${before}. Softmax makes ${value} of it, so that all units sum to 1.`;
  return `${before}. After ${WORDS[layer.activation](layer)}: ${say(activated(sum + bias, layer), 3)}.`;
}

/** Which pixels of the image the chosen number has seen, and why so many. */
function fieldInWords(network, outputs, k, { top, bottom, left, right }) {
  const [height, width] = outputs[0].shape;
  const [first, last, start, end] = [
    Math.max(top, 0),
    Math.min(bottom, height - 1),
    Math.max(left, 0),
    Math.min(right, width - 1),
  ];
  const where = `rows ${first} to ${last} and columns ${start} to ${end}`;
  if (!isMaps(outputs[k + 1]))
    return last - first + 1 === height && end - start + 1 === width
      ? `It has seen the whole image: ${height} × ${width} pixels.`
      : `It has seen ${where} of the image; what pooling rounds off at the edge is never seen.`;
  const { side, terms } = receptiveSide(network, k);
  const formula = ["1", ...terms.map(({ size, step }) => `(${size} − 1) · ${step}`)].join(" + ");
  const because =
    terms.length && bottom - top + 1 === side && right - left + 1 === side
      ? ` Its side: ${formula} = ${side}.`
      : "";
  const cut =
    top < first || bottom > last || left < start || right > end
      ? " The rest lies outside, where padding is."
      : "";
  return `Receptive field: ${bottom - top + 1} × ${right - left + 1} pixels, ${where} of the image.${because}${cut}`;
}

/** What the chosen number was made of: the weights, or the map before; returns it in words. */
function paintSource(canvas, network, outputs, { k, channel, row, column }) {
  const layer = network[k];
  const input = outputs[k];
  const before = k === 0 ? "the image" : `layer ${k - 1}, ${network[k - 1].class}`;
  if (layer.kernel) return paintWeights(canvas, network, outputs, { k, channel, before });
  if (!isMaps(input)) {
    restyle(canvas, canvas, true);
    return `The number before is unit ${channel} of ${before}.`;
  }
  restyle(canvas, canvas, false, "9rem");
  const one = channelOf(input, channel);
  const window = receptiveField(network, outputs, k, row, column, k);
  const draw = (context, box) => paintChannels(canvas, one, range(one.data), () => box);
  largePicture(canvas, input.shape, draw, window);
  return `Made from channel ${channel} of ${before}.`;
}

/** The weights of one map or unit: a kernel for each input channel, or bars for the numbers of a vector. */
function paintWeights(canvas, network, outputs, { k, channel, before }) {
  const layer = network[k];
  const outgoing = layer.kernel.shape.at(-1);
  const weights = new Float64Array(layer.kernel.data.length / outgoing);
  for (let i = 0; i < weights.length; i++) weights[i] = layer.kernel.data[i * outgoing + channel];
  const limits = range(weights);
  const limit = Math.max(-limits[0], limits[1]);
  const signed = [-limit, limit];
  const flattened = network[k - 1]?.kind === "flatten" && isMaps(outputs[k - 1]);
  const shape =
    layer.kind === "convolution" ? layer.kernel.shape.slice(0, 3) : flattened ? outputs[k - 1].shape : null;
  const [cells, ratio] = shape ? [shape[2], shape[0] / shape[1]] : [weights.length, 3];
  restyle(canvas, canvas, false, cells < 4 ? `${10 * cells}rem` : "");
  const columns = columnsFor(canvas, cells, cells < 4 ? 115 : shape ? 18 : 8); // a few so large that they can be read
  const rows = Math.ceil(cells / columns);
  const context = prepare(canvas, (rows * ratio) / columns);
  if (context) {
    const [wide, tall, gap] = [
      canvas.width / columns,
      canvas.height / rows,
      (cells < 4 ? 5 : 1) * devicePixelRatio,
    ];
    const boxOf = (c) =>
      [(c % columns) * wide, Math.floor(c / columns) * tall, wide - gap, tall - gap].map(Math.round);
    if (shape) {
      paintChannels(canvas, tensor(shape, weights), signed, boxOf);
      for (let c = 0; c < cells; c++) writeNumbers(context, shape, weights, c, limit, boxOf(c));
    } else barsOf(canvas, weights, signed)(context, boxOf);
  }
  if (layer.kind === "convolution")
    return `${cells === 1 ? "Its kernel" : `Its ${cells} kernels, one for each channel of ${before}`}: ${shape[0]} × ${shape[1]} weights ${fromTo(limits)}, orange negative, purple positive.`;
  const laid = flattened ? `, laid out as the maps of layer ${k - 2}` : "";
  return `Its ${count(weights.length, "weight")}, one for each number of ${before}${laid}: ${fromTo(limits)}, orange negative, purple positive.`;
}

/** Write a kernel's numbers into its cells, where there is room between them. */
function writeNumbers(context, [height, width, channels], weights, channel, limit, [x, y, wide, tall]) {
  const side = wide / width;
  const written = (value) => value.toFixed(2).replace("-0.00", "0.00").replace("-", "−");
  context.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
  if (context.measureText(written(-limit)).width > 0.85 * side) return;
  context.textAlign = "center";
  context.textBaseline = "middle";
  for (let i = 0; i < height; i++)
    for (let j = 0; j < width; j++) {
      const value = weights[(i * width + j) * channels + channel];
      context.fillStyle = inkOn(signedColour(value, limit));
      context.fillText(written(value), x + (j + 0.5) * side, y + ((i + 0.5) * tall) / height);
    }
}

/** Where to find the same weights in Python. */
function codeFor(layer, k, channel) {
  return `model.layers[${k}].get_weights()[0]${layer.kind === "convolution" ? `[:, :, :, ${channel}]` : `[:, ${channel}]`}`;
}
