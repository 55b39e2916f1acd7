// Change a kernel and see the feature map change: image, kernel, bias, activation, max-pooling on one screen.
//
// The model holds the setting. A view holds what concerns one reader alone, and its parts share it.

import { atNextFrame, element, widgetFrame } from "./elements.js";
import { followLink, linkMessage } from "./kernel_address.js";
import { kernelChooser } from "./kernel_chooser.js";
import { kernelStage } from "./kernel_grid.js";
import { imageStage } from "./kernel_image.js";
import { mapStages } from "./kernel_maps.js";
import { notANumber, readNumber } from "./kernel_numbers.js";
import { clamp } from "./kernel_parts.js";
import { prediction } from "./kernel_question.js";
import { pixelReading } from "./kernel_reading.js";
import { SETTING, blockOf, carryOut, change, largestPlace, readSetting } from "./kernel_setting.js";
import { sharing } from "./kernel_sharing.js";
import { slidingRow } from "./kernel_sliding.js";

const SHOWN = [...SETTING, "images", "image_names", "learned", "own", "edits", "has_kernel"];

const INVITATION =
  "Choose a kernel, or write your own into its cells. " +
  "Point at a pixel of a map, or go there with the arrow keys, and see where its number comes from.";

function render({ model, el, signal }) {
  const message = element("p", { class: "message", role: "status" });
  const own = element("p", { class: "own" });

  const view = {
    model,
    signal,
    setting: null, // what the model holds, and what follows from it: see kernel_setting.js
    result: null,
    place: null, // [row, column] of the feature map, the pixel pointed at
    pointedAt: "feature map", // or "after activation", "after pooling"
    hidden: null, // the place whose number is still a secret
    set: (values) => change(model, values),
    refresh: atNextFrame(showAll, signal),
    refreshPlace: atNextFrame(showPlace, signal),
    tell(text, wrong = false) {
      message.textContent = text;
      message.classList.toggle("wrong", wrong);
    },
    /** Read a field; hand its number on, or say what is wrong at this place and put the old one back. */
    typed(field, place, use) {
      const value = readNumber(field.value);
      view.tell(Number.isNaN(value) ? notANumber(field.value, place) : "", true);
      field.setAttribute("aria-invalid", String(Number.isNaN(value)));
      if (!Number.isNaN(value)) use(value);
      view.refresh();
    },
  };

  const chooser = kernelChooser(view);
  const image = imageStage(view);
  const kernel = kernelStage(view);
  const maps = mapStages(view);
  const sliding = slidingRow(view);
  const question = prediction(view);
  const reading = pixelReading(view);
  const share = sharing(view);

  const root = widgetFrame(
    "kernel-explorer",
    "Kernel explorer",
    element("p", { class: "soft" }, INVITATION),
    chooser.root,
    element("div", { class: "stages" }, image.root, kernel.root, maps.roots),
    kernel.note,
    sliding.root,
    message,
    own,
    question.root,
    reading.root,
    element("div", { class: "course-row buttons" }, question.button, share.buttons),
    share.copied,
    share.code,
  );

  function showAll() {
    view.setting = readSetting(model);
    view.result = carryOut(view.setting);
    for (const part of [chooser, image, kernel, maps, sliding]) part.show();
    maps.cross(showOwn(own, model));
    question.show();
    showPlace();
    share.show();
  }

  function showPlace() {
    const { featureMap, size } = view.result;
    if (featureMap) {
      view.place ??= largestPlace(view.result); // where to start
      view.place = view.place.map((at, side) => clamp(at, 0, size[side] - 1));
      if (view.pointedAt === "after pooling") // another pixel of the block may have won by now
        view.place = blockOf(view.result, view.setting.pool_size, view.place)?.winners[0] ?? view.place;
    }
    maps.showFrames(image.picture);
    reading.show();
  }

  function tellOfLink() {
    const said = linkMessage(model);
    if (said) view.tell(said.text, said.wrong);
  }

  for (const name of SHOWN) model.on(`change:${name}`, view.refresh);
  signal?.addEventListener("abort", () => {
    for (const name of SHOWN) model.off(`change:${name}`, view.refresh);
  });
  window.addEventListener("hashchange", tellOfLink, { signal });
  el.append(root);
  showAll();
  tellOfLink();
  if (linkMessage(model)) keepInView(root, signal);
}

/** Scroll to a widget that a link is about, and again while what is above it comes alive and grows. */
function keepInView(root, signal) {
  const growth = new ResizeObserver(() => root.scrollIntoView({ block: "nearest" }));
  const end = () => growth.disconnect();
  growth.observe(document.body);
  for (const act of ["wheel", "pointerdown", "keydown"]) window.addEventListener(act, end, { once: true, signal });
  setTimeout(end, 5000);
  signal?.addEventListener("abort", end);
}

/** Say what became of the learner's own function, and return where it is wrong, or null. */
function showOwn(paragraph, model) {
  const { name, verdict, agrees, wrong, edits } = model.get("own") ?? {};
  const alive = model.get("has_kernel");
  const waiting = edits !== model.get("edits");
  paragraph.hidden = !name;
  paragraph.className = `own ${!alive || waiting ? "soft" : agrees ? "right" : "wrong"}`;
  if (!name) return null;
  if (!alive)
    paragraph.replaceChildren(
      `Your own function ${name} runs in Python, and no Python answers on this page. `,
      "Get the course, start it with ",
      element("code", {}, "make lab"),
      ", and open this chapter in JupyterLab.",
    );
  else paragraph.textContent = waiting ? `${name} is running …` : verdict;
  return alive && !waiting && wrong ? wrong : null;
}

function initialize({ model, signal }) {
  followLink(model);
  window.addEventListener("hashchange", () => followLink(model), { signal });
}

export default { initialize, render };
