// How the kernel slides over the image, and the size of the feature map that follows.

import { choice, element, say } from "./elements.js";

/** Stride, padding and flip, and below them the formula of the output size: { root, show() }. */
export function slidingRow(view) {
  const numbers = ["1", "2", "3", "4", "5", "6", "7"].map((n) => [n, n]);
  const zeros = { valid: "valid", same: "same (zeros)" };
  const turned = { no: "no", yes: "yes (true convolution)" };
  const stride = choice("stride", numbers, "1", (value) => view.set({ stride: Number(value) }));
  const padding = choice("padding", Object.entries(zeros), "valid", (value) => view.set({ padding: value }));
  const flips = choice("flip", Object.entries(turned), "no", (value) => view.set({ flip: value === "yes" }));
  const attributes = { class: "course-row sliding", role: "group", "aria-label": "How the kernel slides" };
  const formula = element("p", { class: "formula" });
  const root = element("div", {}, element("div", attributes, stride, padding, flips), formula);

  function show() {
    const { setting, result } = view;
    stride.lastChild.value = String(setting.stride);
    padding.lastChild.value = setting.padding;
    flips.lastChild.value = setting.flip ? "yes" : "no";
    formula.replaceChildren(...sizeFormula(setting, result));
    if (result.problem) formula.append(" ", element("strong", { class: "wrong" }, result.problem));
  }
  return { root, show };
}

/** The output size with the numbers of this setting: texts and elements. */
function sizeFormula({ image, kernel, stride, padding, pool_size: block }, { size, featureMap }) {
  const k = kernel.shape[0];
  const [height, width] = image.shape;
  const square = height === width;
  const sides = square ? [["", height, size[0]]] : [["rows ", height, size[0]], ["columns ", width, size[1]]];
  const soft = (text) => element("span", { class: "soft" }, text);
  const same = padding === "same";
  const written = (n) => (same ? `⌈${n} / ${stride}⌉` : `⌊(${n} − ${k}) / ${stride}⌋ + 1`);
  const parts = [
    soft(same ? "Output size, ⌈image / stride⌉: " : "Output size, ⌊(image − kernel) / stride⌋ + 1: "),
    sides.map(([name, n, out]) => `${name}${written(n)} = ${say(out)}`).join(", "),
  ];
  if (block > 1 && featureMap)
    parts.push(
      soft("; after pooling, ⌊map / block⌋: "),
      sides.map(([name, , n]) => `${name}⌊${n} / ${block}⌋ = ${Math.floor(n / block)}`).join(", "),
    );
  return [...parts, "."];
}
