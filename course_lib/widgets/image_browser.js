// Look at images: a grid of small ones to choose from, and the chosen one large, with its pixels, its channels
// and what a network makes of it.
//
// All images come as one buffer. Only one page of the grid is made of elements, and they are used again for the next.

import { decode } from "./arrays.js";
import { ARROWS, assign, atNextFrame, choice, element, freshId, setText, whenChanged, widgetFrame } from "./elements.js";
import { percent, probabilityBars } from "./probabilities.js";

const ROWS = 7; // of the grid, at most
const CELLS = 60;
const THUMBNAIL = 96; // numbers along a side of a small image that are painted at most
const SIDE = 280; // pixels of the screen, for the longer side of the large image
const CHANNELS = ["red", "green", "blue"];
const FILTERS = ["filter_class", "show", "order"]; // the traits that say which images are in the grid
const TOO_OLD = "This browser is too old to unpack the images: it lacks DecompressionStream.";

// --- the images ---

/** Unpack the buffer: {count, height, width, channels, data, white}, and how a number is written. */
async function unpack(model) {
  const [count, height, width, channels] = model.get("image_shape");
  const pixelType = model.get("pixel_type");
  const unpacked = new Blob([model.get("pixels")]).stream().pipeThrough(new DecompressionStream("deflate"));
  const buffer = await new Response(unpacked).arrayBuffer();
  const size = { count, height, width, channels };
  if (pixelType === "float32") return { ...size, data: new Float32Array(buffer), white: 1, written: fraction };
  const data = new Uint8Array(buffer);
  if (channels === 3) addUp(data, height, width * channels, channels);
  const written = pixelType === "whole" ? String : (value) => fraction(value / 255);
  return { ...size, data, white: 255, written };
}

const fraction = (value) => String(Number(value.toFixed(4)));

/** Undo the differences between neighbours, in place; bytes count modulo 256. */
function addUp(data, height, rowLength, channels) {
  for (let row = 0; row < data.length / rowLength; row++) {
    const start = row * rowLength;
    if (row % height) for (let i = start; i < start + rowLength; i++) data[i] += data[i - rowLength];
  }
  for (let start = 0; start < data.length; start += rowLength)
    for (let i = start + channels; i < start + rowLength; i++) data[i] += data[i - channels];
}

/** The numbers of one pixel, one for each channel. */
function pixelOf({ height, width, channels, data }, number, row, column) {
  const at = ((number * height + row) * width + column) * channels;
  return Array.from(data.subarray(at, at + channels));
}

/** Paint one image, or one channel of it in grey, with every `step`-th row and column. */
function paintImage(canvas, images, number, { channel = null, step = 1 } = {}) {
  const { height, width, channels, data, white } = images;
  const picture = new ImageData(Math.ceil(width / step), Math.ceil(height / step));
  const offsets = channels === 3 && channel === null ? [0, 1, 2] : [channel ?? 0, channel ?? 0, channel ?? 0];
  let to = 0;
  for (let row = 0; row < height; row += step)
    for (let column = 0; column < width; column += step) {
      const at = ((number * height + row) * width + column) * channels;
      for (const offset of offsets) picture.data[to++] = (255 * data[at + offset]) / white;
      picture.data[to++] = 255;
    }
  if (canvas.width !== picture.width) canvas.width = picture.width;
  if (canvas.height !== picture.height) canvas.height = picture.height;
  canvas.getContext("2d").putImageData(picture, 0, 0);
}

// --- what is known about them ---

/** Labels, predictions and probabilities as plain arrays, null where they were not given. */
function knowledge(model) {
  const probabilities = decode(model.get("probabilities"));
  const classes = probabilities?.shape[1] ?? 0;
  const of = (number) => probabilities.data.subarray(number * classes, (number + 1) * classes);
  return {
    count: model.get("image_shape")[0],
    names: model.get("class_names"),
    labels: decode(model.get("labels"))?.data ?? null,
    predictions: decode(model.get("predictions"))?.data ?? null,
    probabilities: probabilities && of,
    certainty: probabilities && Array.from({ length: probabilities.shape[0] }, (_, i) => Math.max(...of(i))),
  };
}

/** The numbers of the images that pass the filters, in the order asked for. */
function filtered({ count, labels, predictions, certainty }, { filter_class: chosen, show, order }) {
  const numbers = [];
  for (let i = 0; i < count; i++)
    if (
      (chosen === null || labels[i] === chosen) &&
      (show === "all" || (predictions[i] === labels[i]) === (show === "right"))
    )
      numbers.push(i);
  return order === "given" ? numbers : numbers.sort((a, b) => certainty[a] - certainty[b] || a - b);
}

/** What is said about one image: its true class, the predicted one, how probable, and whether that is right. */
function facts({ names, labels, predictions, certainty }, number) {
  const right = labels && predictions ? labels[number] === predictions[number] : null;
  const probable = certainty ? `, ${percent(certainty[number])}` : "";
  return {
    right,
    name: labels ? names[labels[number]] : null,
    prediction: predictions ? `predicted ${names[predictions[number]]}${probable}` : null,
  };
}

/** The facts as one sentence: "image 37, true class cat, predicted dog, 61.3 %, wrong". */
function sentence(known, number) {
  const { name, prediction, right } = facts(known, number);
  const verdict = right === false ? "wrong" : null;
  return [`image ${number}`, name !== null && `true class ${name}`, prediction, verdict].filter(Boolean).join(", ");
}

// --- the parts of the widget ---

/** The filters that the images allow: of a class, right or wrong, least certain first. */
function makeFilters(known, change) {
  const { names, labels, predictions, certainty } = known;
  const verdict = (i) => (predictions[i] === labels[i] ? "right" : "wrong");
  const filters = [];
  if (labels) filters.push(["filter_class", "Class", [[null, "all"], ...names.entries()], (i) => labels[i]]);
  if (labels && predictions)
    filters.push(["show", "Prediction", ["all", "right", "wrong"].map((word) => [word, word]), verdict]);
  if (certainty) filters.push(["order", "Order", [["given", "as given"], ["least certain", "least certain first"]]]);
  const fields = filters.map(([name, title, choices]) =>
    choice(title, choices.map(([value, words]) => [String(value), words]), "", (text) =>
      change({ [name]: choices.find(([value]) => String(value) === text)[0] })));

  /** Choose what the state says; beside each choice stands how many images it would show. */
  const follow = (state) =>
    filters.forEach(([name, , choices, choiceOf], i) => {
      const list = fields[i].lastChild;
      list.value = String(state[name]);
      if (!choiceOf) return;
      const [all] = choices[0];
      const numbers = filtered(known, { ...state, [name]: all, order: "given" }); // that pass the other filter
      const counts = new Map([[all, numbers.length]]);
      for (const value of numbers.map(choiceOf)) counts.set(value, 1 + (counts.get(value) ?? 0));
      choices.forEach(([value, words], k) => setText(list.options[k], `${words} (${counts.get(value) ?? 0})`));
    });
  return { fields, follow };
}

/** The grid: a list to choose one image from, of which one page is on screen. */
function makeGrid(known, columns, choose) {
  const size = columns * Math.min(ROWS, Math.floor(CELLS / columns));
  const id = freshId("images");
  const list = element("div", {
    class: "images", role: "listbox", tabindex: 0, style: `--columns: ${columns}`,
    "aria-label": "Images. Arrow keys choose one, Page Up and Page Down turn the page.",
  });
  const cells = Array.from({ length: Math.min(size, known.count) }, (_, place) => {
    const canvas = element("canvas", { "aria-hidden": "true" });
    const caption = element("span", { class: "caption", "aria-hidden": "true" });
    const attributes = { class: "image", role: "option", id: `${id}-${place}`, hidden: true };
    const cell = element("div", attributes, canvas, caption);
    cell.addEventListener("click", () => choose(Number(cell.dataset.number)));
    return { cell, canvas, caption };
  });
  list.append(...cells.map(({ cell }) => cell));
  let painted = null;

  /** Put the numbers on the page into the cells; paint them only when they are others than before. */
  const fill = (images, numbers) => {
    if (painted === String(numbers)) return;
    painted = String(numbers);
    const step = Math.max(1, Math.ceil(Math.max(images.height, images.width) / THUMBNAIL));
    cells.forEach(({ cell, canvas, caption }, place) => {
      cell.hidden = place >= numbers.length;
      if (cell.hidden) return;
      const number = numbers[place];
      const { name, prediction, right } = facts(known, number);
      paintImage(canvas, images, number, { step });
      caption.textContent = name ?? (known.predictions ? known.names[known.predictions[number]] : String(number));
      cell.dataset.number = number;
      cell.classList.toggle("mistake", right === false);
      cell.title = [`image ${number}`, name, right === false && `wrong: ${prediction}`].filter(Boolean).join(", ");
      cell.setAttribute("aria-label", cell.title);
    });
  };

  /** Mark the chosen cell; place is -1 where the chosen image isn't on this page. */
  const mark = (place) => {
    cells.forEach(({ cell }, i) => cell.setAttribute("aria-selected", String(i === place)));
    if (place >= 0) list.setAttribute("aria-activedescendant", cells[place].cell.id);
    else list.removeAttribute("aria-activedescendant");
    if (place >= 0 && list.scrollHeight > list.clientHeight) bringIntoView(cells[place].cell);
  };

  /** Scroll the list, and not the page, to a cell. */
  const bringIntoView = ({ offsetTop, offsetHeight }) => {
    const lowest = offsetTop + offsetHeight - list.clientHeight;
    list.scrollTop = Math.min(Math.max(list.scrollTop, lowest), offsetTop);
  };

  /** How many cells stand beside each other now: on a narrow page fewer than asked for. */
  const across = () => getComputedStyle(list).gridTemplateColumns.split(" ").length;
  return { list, size, fill, mark, across };
}

/** The chosen image, large: its pixels to point at, and its channels apart. */
function makeEnlarged(images, announce) {
  const { height, width, channels, written } = images;
  const help = "Point at a pixel, or move by arrow keys.";
  const readout = element("p", { class: "readout" });
  const canvases = [];
  const frames = [];
  let number = 0;
  let pixel = null;

  /** A canvas and the frame around the pixel that is read. */
  const framed = (attributes) => {
    const canvas = element("canvas", attributes);
    const frame = element("span", { class: "pixel", hidden: true });
    frame.style.cssText = `width: ${100 / width}%; height: ${100 / height}%`;
    canvases.push(canvas);
    frames.push(frame);
    return element("div", { class: "framed" }, canvas, frame);
  };
  const main = framed({ class: "large", role: "application", tabindex: 0, "aria-roledescription": "image" });
  const captions = (channels === 3 ? CHANNELS : []).map((name) => element("span", {}, name));
  const apart = captions.map((caption, i) => {
    const canvas = framed({ role: "img", "aria-label": `the ${CHANNELS[i]} channel, in grey` });
    return element("div", { class: "channel" }, canvas, caption);
  });

  /** Show the values of the pixel that is pointed at. */
  const read = () => {
    readout.classList.toggle("soft", !pixel);
    const numbers = pixel ? pixelOf(images, number, ...pixel).map(written) : [];
    readout.textContent = pixel ? `row ${pixel[0]}, column ${pixel[1]}: ${numbers.join(", ")}` : help;
    captions.forEach((caption, i) => (caption.textContent = pixel ? `${CHANNELS[i]} ${numbers[i]}` : CHANNELS[i]));
    for (const frame of frames) {
      frame.hidden = !pixel;
      if (!pixel) continue;
      frame.style.top = `${(100 * pixel[0]) / height}%`;
      frame.style.left = `${(100 * pixel[1]) / width}%`;
    }
  };
  const within = (value, size) => Math.min(Math.max(Math.floor(value), 0), size - 1);
  const point = (event) => {
    const box = canvases[0].getBoundingClientRect();
    pixel = [
      within(((event.clientY - box.top) / box.height) * height, height),
      within(((event.clientX - box.left) / box.width) * width, width),
    ];
    read();
  };
  canvases[0].addEventListener("pointermove", point);
  canvases[0].addEventListener("pointerdown", point);
  canvases[0].addEventListener("keydown", (event) => {
    const direction = ARROWS[event.key];
    if (!direction || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const far = event.shiftKey ? 10 : 1;
    const [row, column] = pixel ?? [Math.floor(height / 2) - direction[0], Math.floor(width / 2) - direction[1]];
    pixel = [within(row + far * direction[0], height), within(column + far * direction[1], width)];
    read();
    announce([readout, ...captions].map((words) => words.textContent).join(", "));
  });

  const step = Math.max(1, Math.floor(Math.max(height, width) / (2 * SIDE))); // finer than that, no screen shows it
  const paintAll = (chosen) => {
    number = chosen;
    canvases.forEach((canvas, i) => paintImage(canvas, images, number, { channel: i ? i - 1 : null, step }));
    canvases[0].setAttribute("aria-label",
      `Image ${number}, large, ${height} rows, ${width} columns. Arrow keys read its pixels, with Shift every tenth.`);
    read();
  };
  // A whole number of screen pixels for each pixel of a small image.
  const times = SIDE / Math.max(height, width);
  const style = `--side: ${width * (times >= 4 ? Math.floor(times) : times)}px`;
  const box = element("div", { class: "enlarged", style }, main);
  if (apart.length) box.append(element("div", { class: "channels" }, apart));
  return { box, readout, paintAll };
}

/** The buttons that turn the pages: { root, show(page, pages) }. */
function makePager(turn) {
  const where = element("span", { class: "soft where" });
  const previous = element("button", { type: "button", onclick: () => turn(-1) }, "‹ Previous");
  const next = element("button", { type: "button", onclick: () => turn(1) }, "Next ›");
  const attributes = { class: "course-row pager", role: "group", "aria-label": "Pages" };
  const root = element("div", attributes, previous, where, next);

  /** Allow a button or not; when the reader is on it, the other one takes over. */
  const allow = (button, allowed, other) => {
    const here = document.activeElement === button;
    button.disabled = !allowed;
    if (here && !allowed) other.focus();
  };
  const show = (page, pages) => {
    root.hidden = pages < 2;
    where.textContent = `page ${page + 1} of ${pages}`;
    next.disabled = false;
    allow(previous, page > 0, next);
    allow(next, page < pages - 1, previous);
  };
  return { root, show };
}

/** The chosen image, and what is known about it: { root, show(number) }. */
function makeChosen(known, images, announce) {
  const enlarged = makeEnlarged(images, announce);
  const title = element("p", { class: "title" });
  const verdict = element("p", { class: "verdict" });
  const bars = known.probabilities && probabilityBars(known.names);
  const show = (number) => {
    enlarged.paintAll(number);
    const { name, prediction, right } = facts(known, number);
    title.textContent = name === null ? `Image ${number}` : `Image ${number}: ${name}`;
    verdict.hidden = prediction === null;
    verdict.className = right === null ? "verdict" : right ? "verdict right" : "verdict wrong";
    verdict.textContent = `${right === null ? "" : right ? "✓ " : "✕ "}${prediction}`;
    bars?.show(known.probabilities(number), known.predictions[number], known.labels?.[number]);
  };
  const root = element("div", { class: "chosen" }, title, verdict, enlarged.box, enlarged.readout, bars?.root);
  return { root, show };
}

// --- one view ---

/** Where a key leads from a place in the list of images; undefined if it leads nowhere. */
function placeAfter(key, place, length, { size, across }) {
  const steps = { ArrowRight: 1, ArrowLeft: -1, PageDown: size, PageUp: -size, Home: -Infinity, End: Infinity };
  const step = { ...steps, ArrowDown: across(), ArrowUp: -across() }[key];
  if (step === undefined) return undefined;
  if (place < 0) return 0;
  const isRow = key === "ArrowDown" || key === "ArrowUp"; // there may be none below or above
  return isRow && (place + step < 0 || place + step >= length) ? place : place + step;
}

/** The whole browser, and what brings it in line with the model: { root, draw }. */
function makeBrowser(model, known, images) {
  let numbers = []; // of the images that pass the filters
  let last = {}; // what is on screen

  const state = () => Object.fromEntries([...FILTERS, "selected"].map((name) => [name, model.get(name)]));
  const choose = (selected) => assign(model, { selected });
  /** Change a filter; the first image that passes is chosen, as in Python. */
  const change = (values) => {
    const first = filtered(known, { ...state(), ...values })[0];
    assign(model, first === undefined ? values : { ...values, selected: first });
  };
  const place = () => numbers.indexOf(model.get("selected"));
  const page = () => Math.max(0, Math.floor(place() / grid.size));
  /** Choose the image at a place of the filtered list, or at the nearest one. */
  const goTo = (wanted) => {
    if (numbers.length) choose(numbers[Math.min(Math.max(wanted, 0), numbers.length - 1)]);
  };

  const said = element("p", { class: "unseen", "aria-live": "polite" });
  const announce = (words) => (said.textContent = words);
  const filters = makeFilters(known, change);
  const grid = makeGrid(known, model.get("columns"), choose);
  const pager = makePager((pages) => goTo((page() + pages) * grid.size));
  const chosen = makeChosen(known, images, announce);
  const count = element("span", { class: "count soft", role: "status" });
  const choosing = element("div", { class: "choosing" }, grid.list, pager.root);
  const both = element("div", { class: "both" }, choosing, chosen.root);
  const showAll = () => change({ filter_class: null, show: "all" });
  const clear = element("button", { type: "button", onclick: showAll }, "Clear the filters");
  const none = element("div", { class: "course-row", hidden: true }, "No image passes these filters.", clear);

  grid.list.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const wanted = placeAfter(event.key, place(), numbers.length, grid);
    if (wanted === undefined) return;
    event.preventDefault();
    goTo(wanted);
  });

  const showFilters = (now) => {
    numbers = filtered(known, now);
    filters.follow(now);
    const some = numbers.length === known.count ? "" : `${numbers.length} of `;
    count.textContent = `${some}${known.count} ${known.count === 1 ? "image" : "images"}`;
    const cleared = document.activeElement === clear;
    both.hidden = !numbers.length;
    none.hidden = !both.hidden;
    if (cleared) grid.list.focus();
  };
  const showPage = () => {
    const start = page() * grid.size;
    grid.fill(images, numbers.slice(start, start + grid.size));
    grid.mark(place() < 0 ? -1 : place() - start);
    pager.show(page(), Math.ceil(numbers.length / grid.size));
  };
  const draw = () => {
    const now = state();
    if (FILTERS.some((name) => now[name] !== last[name])) showFilters(now);
    showPage();
    if (now.selected !== last.selected) {
      chosen.show(now.selected);
      if (last.selected !== undefined) announce(sentence(known, now.selected));
    }
    last = now;
  };
  const note = model.get("note") ? element("p", { class: "note soft" }, model.get("note")) : null;
  const choices = element("div", { class: "course-row" }, filters.fields, count);
  return { root: widgetFrame("image-browser", "Image browser", note, choices, none, both, said), draw };
}

async function render({ model, el, signal }) {
  if (!("DecompressionStream" in globalThis))
    return void el.append(element("p", { class: "course-widget" }, TOO_OLD));
  const images = await unpack(model);
  if (signal?.aborted) return;
  const { root, draw } = makeBrowser(model, knowledge(model), images);
  el.append(root);
  draw();
  whenChanged(model, [...FILTERS, "selected"], atNextFrame(draw, signal), signal);
}

export default { render };
