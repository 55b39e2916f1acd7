// Look at images: a grid of small ones to choose from, and the chosen one large, with its pixels, its channels
// and what a network makes of it.
//
// All images come as one buffer. Only one page of the grid is made of elements, and they are used again for the next.

import { decode } from "./arrays.js";
import { ARROWS, atNextFrame, choice, element, freshId, widgetFrame } from "./elements.js";

const ROWS = 7; // of the grid, at most
const CELLS = 60;
const THUMBNAIL = 96; // numbers along a side of a small image that are painted at most
const BARS = 12; // classes that get a bar; of more classes, the most probable
const SIDE = 280; // pixels of the screen, for the longer side of the large image
const CHANNELS = ["red", "green", "blue"];

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

/** A probability in percent: never 0 or 100 unless it is. */
function percent(share) {
  const text = (100 * share).toFixed(1);
  if (text === "0.0" && share > 0) return "< 0.1 %";
  if (text === "100.0" && share < 1) return "> 99.9 %";
  return `${text === "0.0" ? "0" : text === "100.0" ? "100" : text} %`;
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
  const lists = {};
  if (labels) {
    const counts = names.map(() => 0);
    labels.forEach((label) => counts[label]++);
    const classes = names.map((name, i) => [String(i), `${name} (${counts[i]})`]);
    lists.filter_class = choice("Class", [["all", "all"], ...classes], "all", (value) =>
      change({ filter_class: value === "all" ? null : Number(value) }));
  }
  if (labels && predictions) {
    const right = labels.reduce((sum, label, i) => sum + (label === predictions[i]), 0);
    const choices = [["all", "all"], ["right", `right (${right})`], ["wrong", `wrong (${labels.length - right})`]];
    lists.show = choice("Prediction", choices, "all", (show) => change({ show }));
  }
  if (certainty)
    lists.order = choice("Order", [["given", "as given"], ["least certain", "least certain first"]], "given",
      (order) => change({ order }));
  const follow = (state) => {
    for (const [name, field] of Object.entries(lists)) field.querySelector("select").value = state[name] ?? "all";
  };
  return { fields: Object.values(lists), follow };
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

const unseen = (words) => element("span", { class: "unseen" }, words);

/** The bars of the probabilities: in the order of the classes, or the most probable of many. */
function makeBars(known, number) {
  const { names, labels, predictions } = known;
  const shares = known.probabilities(number);
  let rows = names.map((_, i) => i);
  if (names.length > BARS) {
    rows = rows.sort((a, b) => shares[b] - shares[a] || a - b).slice(0, BARS);
    if (labels && !rows.includes(labels[number])) rows.push(labels[number]);
  }
  const bars = rows.map((i) => {
    const isTrue = labels?.[number] === i;
    const kind = i !== predictions[number] ? "" : !labels ? "chosen" : isTrue ? "chosen good" : "chosen bad";
    const width = `width: ${100 * Math.min(shares[i], 1)}%`;
    return element("li", { class: isTrue ? "true" : "" },
      element("span", { class: "name", title: names[i] }, names[i]),
      element("span", { class: "track" }, element("span", { class: `bar ${kind}`, style: width })),
      element("span", { class: "share" }, percent(shares[i]), isTrue ? unseen(", true class") : null));
  });
  const left = names.length - rows.length;
  if (left) bars.push(element("li", { class: "rest soft" }, `and ${left} more`));
  return bars;
}

// --- one view ---

async function render({ model, el, signal }) {
  if (!("DecompressionStream" in globalThis)) {
    const words = "This browser is too old to unpack the images: it lacks DecompressionStream.";
    el.append(element("p", { class: "course-widget" }, words));
    return;
  }
  const known = knowledge(model);
  const images = await unpack(model);
  if (signal?.aborted) return;

  const STATE = ["filter_class", "show", "order"];
  const state = () => Object.fromEntries([...STATE, "selected"].map((name) => [name, model.get(name)]));
  const write = (values) => {
    for (const [name, value] of Object.entries(values)) model.set(name, value);
    model.save_changes();
  };
  const choose = (number) => write({ selected: number });
  /** Change a filter; the first image that passes is chosen, as in Python. */
  const change = (values) => {
    const first = filtered(known, { ...state(), ...values })[0];
    write(first === undefined ? values : { ...values, selected: first });
  };

  const filters = makeFilters(known, change);
  const grid = makeGrid(known, model.get("columns"), choose);
  const said = element("p", { class: "unseen", "aria-live": "polite" });
  const announce = (words) => (said.textContent = words);
  const enlarged = makeEnlarged(images, announce);
  const title = element("p", { class: "title" });
  const verdict = element("p", { class: "verdict" });
  const bars = element("ul", { class: "bars", role: "list", "aria-label": "Probability of each class" });
  const legend = known.probabilities && known.labels ? element("p", { class: "legend soft" }, "▸ true class") : null;
  const count = element("span", { class: "count soft", role: "status" });
  const none = element("p", { class: "soft", hidden: true }, "No image passes these filters.");
  const where = element("span", { class: "soft where" });
  const previous = element("button", { type: "button", onclick: () => turn(-1) }, "‹ Previous");
  const next = element("button", { type: "button", onclick: () => turn(1) }, "Next ›");
  const pager = element("div", { class: "course-row pager", role: "group", "aria-label": "Pages" });
  pager.append(previous, where, next);

  let numbers = [];
  let place = -1;
  let last = {};

  /** Choose the image at a place of the filtered list, or at the nearest one. */
  const goTo = (wanted) => {
    if (numbers.length) choose(numbers[Math.min(Math.max(wanted, 0), numbers.length - 1)]);
  };
  const page = () => Math.max(0, Math.floor(place / grid.size));
  /** Choose the first image of another page. */
  const turn = (pages) => goTo((page() + pages) * grid.size);
  /** Allow a button or not; when the reader is on it, the other one takes over. */
  const allow = (button, allowed, other) => {
    const here = document.activeElement === button;
    button.disabled = !allowed;
    if (here && !allowed) other.focus();
  };

  grid.list.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const places = {
      ArrowRight: 1, ArrowLeft: -1, ArrowDown: grid.across(), ArrowUp: -grid.across(),
      PageDown: grid.size, PageUp: -grid.size, Home: -Infinity, End: Infinity,
    }[event.key];
    if (places === undefined) return;
    event.preventDefault();
    const step = Math.abs(places);
    const outside = step > 1 && step < grid.size && (place + places < 0 || place + places >= numbers.length);
    if (!outside) goTo(place < 0 ? 0 : place + places);
  });

  /** Bring the view in line with the model. */
  const draw = () => {
    const now = state();
    if (STATE.some((name) => now[name] !== last[name]) || last.selected === undefined) {
      numbers = filtered(known, now);
      filters.follow(now);
      const some = numbers.length === known.count ? "" : `${numbers.length} of `;
      count.textContent = `${some}${known.count} ${known.count === 1 ? "image" : "images"}`;
    }
    place = numbers.indexOf(now.selected);
    const start = page() * grid.size;
    const pages = Math.ceil(numbers.length / grid.size);
    grid.list.hidden = !numbers.length;
    none.hidden = numbers.length > 0;
    grid.fill(images, numbers.slice(start, start + grid.size));
    grid.mark(place < 0 ? -1 : place - start);
    pager.hidden = pages < 2;
    where.textContent = `page ${page() + 1} of ${pages}`;
    next.disabled = false;
    allow(previous, page() > 0, next);
    allow(next, page() < pages - 1, previous);
    if (now.selected !== last.selected) {
      enlarged.paintAll(now.selected);
      const { name, prediction, right } = facts(known, now.selected);
      title.textContent = name === null ? `Image ${now.selected}` : `Image ${now.selected}: ${name}`;
      verdict.hidden = prediction === null;
      verdict.className = right === null ? "verdict" : right ? "verdict right" : "verdict wrong";
      verdict.textContent = `${right === null ? "" : right ? "✓ " : "✕ "}${prediction}`;
      if (known.probabilities) bars.replaceChildren(...makeBars(known, now.selected));
      if (last.selected !== undefined) announce(sentence(known, now.selected));
    }
    last = now;
  };
  el.append(widgetFrame("image-browser", "Image browser",
    model.get("note") ? element("p", { class: "note soft" }, model.get("note")) : null,
    element("div", { class: "course-row" }, filters.fields, count),
    element("div", { class: "both" },
      element("div", { class: "choosing" }, grid.list, none, pager),
      element("div", { class: "chosen" }, title, verdict, enlarged.box, enlarged.readout,
        known.probabilities ? element("div", {}, bars, legend) : null)),
    said));
  draw();
  const redraw = atNextFrame(draw, signal);
  const events = [...STATE, "selected"].map((name) => `change:${name}`);
  for (const event of events) model.on(event, redraw);
  signal?.addEventListener("abort", () => events.forEach((event) => model.off(event, redraw)));
}

export default { render };
