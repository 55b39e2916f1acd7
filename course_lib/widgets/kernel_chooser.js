// The first row of the kernel explorer: kernels to choose from.

import { encode } from "./arrays.js";
import { element, freshId } from "./elements.js";
import { chip, paintKernel } from "./kernel_parts.js";
import { PRESETS, learnedKernels, sameKernel } from "./kernel_presets.js";

/** The presets, and the kernels that a network has learned: { root, show() }. */
export function kernelChooser(view) {
  const group = freshId("kernels");
  const choices = (kernels) =>
    kernels.map(({ name, text, kernel }) => {
      const canvas = element("canvas", { "aria-hidden": "true" });
      paintKernel(canvas, kernel);
      const onchoose = () => view.set({ kernel: encode(kernel) });
      return { kernel, ...chip({ name, group, onchoose }, canvas, text ? element("span", {}, text) : []) };
    });
  const roots = (chips) => chips.map(({ root }) => root);

  const presets = choices(PRESETS.map(({ name, kernel }) => ({ name, text: name, kernel })));
  const learnedRow = element("div", { class: "chips learned", hidden: true });
  const root = element(
    "div",
    { class: "kernels", role: "radiogroup", "aria-label": "Kernels to choose from" },
    element("div", { class: "chips" }, roots(presets)),
    learnedRow,
  );
  let learned = [];
  let learnedShown; // the array whose kernels stand in the row

  function showLearned() {
    if (view.model.get("learned") === learnedShown) return;
    learnedShown = view.model.get("learned");
    const kernels = learnedKernels(view.model);
    learned = choices(kernels.map((kernel, i) => ({ name: `learned kernel ${i}`, kernel })));
    learnedRow.hidden = !learned.length;
    learnedRow.replaceChildren(
      element("span", { class: "soft" }, "Learned by this network:"),
      ...roots(learned),
    );
  }

  function show() {
    showLearned();
    for (const { field, kernel } of [...presets, ...learned])
      field.checked = sameKernel(kernel, view.setting.kernel);
  }
  return { root, show };
}
