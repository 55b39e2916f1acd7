// The image's stage: which image, the reader's own picture, and what the kernel covers of it.

import { colouring, greyColour, paint, paintColours } from "./drawing.js";
import { element } from "./elements.js";
import { brief } from "./kernel_numbers.js";
import { framedPicture, stage } from "./kernel_parts.js";
import { imageNumber } from "./kernel_setting.js";
import { LONGEST_SIDE, readPicture } from "./own_picture.js";

/** The stage of the image: { root, picture, show() }. */
export function imageStage(view) {
  const { model } = view;
  const choose = element("select", {
    "aria-label": "which image",
    onchange() {
      const image = model.get("images")[choose.value];
      if (image) view.set({ image });
    },
  });
  const file = element("input", {
    type: "file",
    accept: "image/*",
    class: "unseen",
    "aria-label": "your own picture",
    onchange: () => open(file.files[0]),
  });
  const picture = framedPicture({ role: "img" });
  const title = `A larger one is reduced to ${LONGEST_SIDE} pixels a side. It stays in this browser.`;
  const button = element("label", { class: "button", title }, file, "own picture …");
  const { root, tell } = stage("", "image", choose, picture.root, button);
  let shown = []; // what is on the screen: it is painted again only when it changes

  async function open(picked) {
    file.value = "";
    if (!picked) return;
    view.tell(`Reading “${picked.name}” …`);
    try {
      const { image, size } = await readPicture(picked);
      if (view.signal?.aborted) return;
      view.set({ image });
      const [own, now] = [size, image.shape.slice(0, 2)].map((sides) => sides.join(" × "));
      const pixels = own === now ? `has ${own} pixels` : `is reduced from ${own} to ${now} pixels`;
      const python = model.get("has_kernel") ? " and, as image, in your own Python" : "";
      view.tell(`“${picked.name}” ${pixels}. It stays in this browser${python}.`);
    } catch (error) {
      view.tell(error instanceof Error ? error.message : String(error), true);
    }
  }

  function show() {
    const now = ["image", "images", "image_names"].map((name) => model.get(name));
    if (now.every((value, i) => value === shown[i])) return;
    shown = now;
    showChoices(choose, model);
    const { image } = view.setting;
    const [height, width, channels] = image.shape;
    picture.size(height, width);
    paintImage(picture.canvas, image);
    tell(channels === 3 ? image.shape : [height, width], [image.low, image.high]);
    const numbers = `numbers from ${brief(image.low)} to ${brief(image.high)}`;
    picture.root.setAttribute("aria-label", `image, ${height} × ${width}, ${numbers}`);
  }
  return { root, picture, show };
}

/** The names of the images in the list, and the one that is on screen chosen. */
function showChoices(list, model) {
  const names = model.get("image_names");
  const images = model.get("images");
  const nameOf = (i) => names[i] ?? (images.length > 1 ? `image ${i}` : "given image");
  const choices = images.map((_, i) => [i, nameOf(i)]);
  const chosen = imageNumber(model);
  if (chosen < 0) choices.push([-1, "your picture"]);
  list.replaceChildren(...choices.map(([value, name]) => element("option", { value }, name)));
  list.value = String(chosen);
}

/** Colours as they are; else grey, or signed if a number is negative. */
function paintImage(canvas, image) {
  if (image.shape[2] === 3) paintColours(canvas, image, image.white);
  else if (image.low < 0) paint(canvas, image, colouring(image.data));
  else paint(canvas, image, (value) => greyColour(value, 0, image.white));
}
