// The kernel's stage: a grid of numbers to edit, a slider for the chosen one, and the channels of the kernel.

import { tensor } from "./arithmetic.js";
import { decode, encode } from "./arrays.js";
import { inkOn, range, signedColour } from "./drawing.js";
import { ARROWS, choice, element, freshId } from "./elements.js";
import { inCell, inFull, placeInWords, readNumber, sliderLimit } from "./kernel_numbers.js";
import { chip, clamp, paintKernel, signedSlider, stage } from "./kernel_parts.js";
import { apart, channelOf, resized, summed } from "./kernel_presets.js";
import { CHANNELS } from "./kernel_setting.js";

/** The stage of the kernel, and a note on how it meets the image: { root, note, show() }. */
export function kernelStage(view) {
  let cell = [1, 1]; // the one that is edited
  let channel = 0; // and its channel, where the kernel has three
  let cells = []; // the fields, row after row
  const id = freshId("kernel");
  // What the model holds: two edits can come before the next repaint, and the second must not undo the first.
  const kernelNow = () => decode(view.model.get("kernel"));
  const setKernel = (kernel) => view.set({ kernel: encode(kernel) });

  const sizes = [3, 4, 5, 6, 7].map((k) => [String(k), `${k} × ${k}`]);
  const size = choice("size", sizes, "3", (k) => setKernel(resized(kernelNow(), Number(k))));
  const grid = element("div", {
    class: "grid",
    role: "group",
    "aria-label": "Kernel. Arrow keys move between the cells, page up and page down change a number.",
  });
  const cellName = element("label", { for: `${id}-cell`, class: "soft" });
  const slider = signedSlider({ id: `${id}-cell` }, 40, (value) => edit(cell, value), view.refresh);

  const group = `${id}-channel`;
  const channels = CHANNELS.map((name, c) => {
    const canvas = element("canvas", { "aria-hidden": "true" });
    const onchoose = () => {
      channel = c;
      const kernel = kernelNow();
      if (kernel.shape.length === 2) setKernel(apart(kernel));
      view.refresh();
    };
    const what = { name: `edit the kernel's ${name} channel`, group, onchoose };
    return { canvas, ...chip(what, canvas, element("span", {}, name)) };
  });
  const forAll = "all channels alike";
  const onchoose = () => setKernel(summed(kernelNow()));
  const alike = chip({ name: forAll, group, onchoose }, element("span", {}, forAll));
  const channelSwitch = element(
    "div",
    { class: "channels", role: "radiogroup", "aria-label": "Channels of the kernel" },
    channels.map(({ root }) => root),
    alike.root,
  );
  const note = element("p", { class: "note soft" });
  const { root, tell } = stage("∗", "kernel", size, grid, cellName, slider.field, channelSwitch);
  root.classList.add("kernel");

  /** The grid on screen: the channel that is edited, or the kernel as the image meets it. */
  function gridShown() {
    const kernel = kernelNow();
    if (kernel.shape.length === 2) return kernel;
    return view.setting.image.shape[2] === 1 ? summed(kernel) : channelOf(kernel, channel);
  }

  function edit([row, column], value) {
    const kernel = kernelNow();
    const k = kernel.shape[0];
    const deep = kernel.shape.length === 3 && view.setting.image.shape[2] === 3;
    const old = deep ? kernel : gridShown();
    const next = tensor(old.shape, old.data.slice());
    next.data[deep ? (row * k + column) * 3 + channel : row * k + column] = value + 0;
    setKernel(next);
  }

  /** One cell. As in a spreadsheet, arrow keys move on, and what is typed replaces the number. */
  function cellField(row, column) {
    const exact = () => gridShown().data[row * kernelNow().shape[0] + column];
    const field = element("input", {
      type: "text",
      inputmode: "decimal",
      autocomplete: "off",
      "aria-label": placeInWords([row, column]),
      onfocus() {
        cell = [row, column];
        field.value = inFull(exact());
        field.select();
        view.refresh();
      },
      onblur: view.refresh,
      oninput() {
        const value = readNumber(field.value);
        if (!Number.isNaN(value)) edit([row, column], value);
      },
      onchange() {
        view.typed(field, `Row ${row}, column ${column} of the kernel`, (value) => edit([row, column], value));
      },
      onkeydown(event) {
        const step = ARROWS[event.key];
        const pages = { PageUp: 1, PageDown: -1 }[event.key];
        if (!step && !pages) return;
        event.preventDefault();
        if (step) return goTo(row + step[0], column + step[1]);
        const value = Number((exact() + (pages * Number(slider.field.max)) / 20).toPrecision(8));
        edit([row, column], value);
        field.value = inFull(value);
      },
    });
    return field;
  }

  function goTo(row, column) {
    const k = view.setting.kernel.shape[0];
    cells[clamp(row, 0, k - 1) * k + clamp(column, 0, k - 1)].focus();
  }

  function showGrid() {
    const shown = gridShown();
    const k = shown.shape[0];
    if (cells.length !== k * k) {
      cell = cell.map((at) => Math.min(at, k - 1));
      grid.style.setProperty("--side", k);
      root.classList.toggle("large", k > 4);
      cells = Array.from(shown.data, (_, i) => cellField(Math.floor(i / k), i % k));
      grid.replaceChildren(...cells.map((field) => element("span", {}, field)));
    }
    const limit = Math.max(...Array.from(shown.data, Math.abs));
    const chosen = cell[0] * k + cell[1];
    shown.data.forEach((value, i) => {
      const field = cells[i];
      const { style } = field.parentElement; // a field itself takes ten times as long to colour
      const colour = signedColour(value, limit);
      style.backgroundColor = `rgb(${colour.join(" ")})`;
      style.color = inkOn(colour);
      field.tabIndex = i === chosen ? 0 : -1;
      field.classList.toggle("chosen", i === chosen);
      if (document.activeElement !== field) field.value = inCell(value, k > 4 ? 1 : 2);
    });
    cellName.textContent = placeInWords(cell);
    slider.show(shown.data[chosen], 2 * sliderLimit(limit));
  }

  function showChannels() {
    const { kernel, image } = view.setting;
    channelSwitch.hidden = image.shape[2] === 1;
    if (channelSwitch.hidden) return;
    const flat = kernel.shape.length === 2;
    const deep = flat ? apart(kernel) : kernel;
    alike.field.checked = flat;
    channels.forEach(({ field, canvas }, c) => {
      field.checked = !flat && c === channel;
      paintKernel(canvas, channelOf(deep, c));
    });
  }

  function show() {
    const { kernel } = view.setting;
    size.lastChild.value = String(kernel.shape[0]);
    showGrid();
    showChannels();
    tell(kernel.shape, range(kernel.data));
    note.textContent = noteOn(view.setting, CHANNELS[channel]);
  }
  return { root, note, show };
}

/** How the kernel meets the image, where that is not plain to see. */
function noteOn({ image, kernel, flip: flipped }, edited) {
  const [k, , depth = 1] = kernel.shape;
  const colour = image.shape[2] === 3;
  const words = [];
  if (colour && depth === 1)
    words.push(
      "The grid acts on red, green and blue alike, with a third of each number: on the mean of the three.",
    );
  if (colour && depth === 3)
    words.push(
      `The kernel reaches through all channels, with a grid for each: ${k} × ${k} × 3 = ${3 * k * k} numbers.`,
      `All products are added. You edit ${edited}.`,
    );
  if (!colour && depth === 3)
    words.push("The image is grey, so it meets the sum of the kernel's three channels.");
  if (flipped)
    words.push("True convolution: the kernel is turned by 180° before it slides, as the products below show.");
  return words.join(" ");
}
