// What several parts of the kernel explorer are made of: stages, pictures with frames, sliders, kernels to choose.

import { tensor } from "./arithmetic.js";
import { paint, paintColours, signedColour } from "./drawing.js";
import { element, say } from "./elements.js";
import { brief } from "./kernel_numbers.js";

export const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/** A stage of the row: its name after a sign, its control, its picture, and the range of its numbers. */
export function stage(sign, name, control, body, ...below) {
  const numbers = element("p", { class: "numbers soft" });
  const root = element(
    "div",
    { class: "stage", role: "group", "aria-label": name },
    element("p", { class: "name" }, sign ? element("span", { "aria-hidden": "true" }, `${sign} `) : null, name),
    element("div", { class: "control" }, control),
    element("div", { class: "space" }, body),
    numbers,
    below,
  );
  const tell = (shape, [low, high]) =>
    numbers.replaceChildren(shape.join(" × "), element("br"), `${brief(low)} to ${brief(high)}`);
  return { root, numbers, tell };
}

/** A picture with frames over it: { root, canvas, marks, size(rows, columns), frame(name, place) }. */
export function framedPicture(attributes) {
  const canvas = element("canvas", { "aria-hidden": "true" });
  const marks = element("canvas", { class: "marks", "aria-hidden": "true", hidden: true });
  const frames = Object.fromEntries(
    ["wide", "hidden", "one"].map((name) => [name, element("span", { class: `frame ${name}`, hidden: true })]),
  );
  const root = element("div", { class: "picture", ...attributes }, canvas, marks, Object.values(frames));
  let [height, width] = [1, 1];
  return {
    root,
    canvas,
    marks,
    size(rows, columns) {
      [height, width] = [rows, columns];
      root.style.aspectRatio = `${columns} / ${rows}`;
      root.style.width = `${100 * Math.min(1, columns / rows)}%`;
    },
    /** Frame [row, column, rows, columns], as far as it lies in the picture; null takes the frame away. */
    frame(name, place) {
      frames[name].hidden = !place;
      if (!place) return;
      const [row, column, rows, columns] = place;
      frames[name].style.inset = [
        Math.max(row, 0) / height,
        1 - Math.min(column + columns, width) / width,
        1 - Math.min(row + rows, height) / height,
        Math.max(column, 0) / width,
      ]
        .map((share) => `${100 * share}%`)
        .join(" ");
    },
  };
}

/** A slider from −limit to limit; its ends stay where they are while it is in the reader's hand. */
export function signedSlider(attributes, steps, onmove, ondone) {
  let held = false;
  const field = element("input", { type: "range", step: "any", ...attributes });
  field.addEventListener("input", () => {
    held = true;
    const unit = Number(field.max) / steps;
    onmove(Number((Math.round(Number(field.value) / unit) * unit).toPrecision(8)));
  });
  field.addEventListener("change", () => {
    held = false;
    ondone();
  });
  function show(value, limit) {
    if (!held) field.max = limit;
    field.min = -field.max;
    field.value = value;
    field.setAttribute("aria-valuetext", say(value, 3));
  }
  return { field, show };
}

/** A radio button that looks like what it chooses: { root, field }. */
export function chip({ name, group, onchoose }, ...looks) {
  const field = element("input", {
    type: "radio",
    name: group,
    class: "unseen",
    "aria-label": name,
    onchange: onchoose,
  });
  return { field, root: element("label", { class: "chip", title: name }, field, looks) };
}

/** A small picture of a kernel: signed colours, or the colours that a kernel with three channels answers to. */
export function paintKernel(canvas, { shape: [k, , depth = 1], data }) {
  const limit = Math.max(...Array.from(data, Math.abs));
  if (depth === 1) return paint(canvas, tensor([k, k, 1], data), (value) => signedColour(value, limit));
  paintColours(canvas, tensor([k, k, 3], data.map((value) => value + limit)), 2 * limit || 1);
}
