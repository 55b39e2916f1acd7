// The last three stages: the feature map, after activation, after pooling. A reader points at their pixels.

import { decode } from "./arrays.js";
import { colouring, paint, range } from "./drawing.js";
import { ARROWS, element, labelled, say } from "./elements.js";
import { brief, sliderLimit } from "./kernel_numbers.js";
import { clamp, framedPicture, signedSlider, stage } from "./kernel_parts.js";
import { ACTIVATIONS, blockOf } from "./kernel_setting.js";

const MAPS = ["feature map", "after activation", "after pooling"];

/** The stages of the maps: { roots, show(), showFrames(image), cross(wrong) }. */
export function mapStages(view) {
  const bias = element("input", {
    type: "text",
    inputmode: "decimal",
    class: "bias",
    onchange: () => view.typed(bias, "The bias", setBias),
  });
  const setBias = (value) => view.set({ bias: value });
  const slider = signedSlider({ "aria-label": "bias" }, 512, setBias, view.refresh);
  const activation = element(
    "select",
    { "aria-label": "activation", onchange: () => view.set({ activation: activation.value }) },
    Object.entries(ACTIVATIONS).map(([value, { name }]) => element("option", { value }, name)),
  );
  const pooling = element(
    "select",
    { "aria-label": "max-pooling", onchange: () => view.set({ pool_size: Number(pooling.value) }) },
    [1, 2, 3, 4, 5, 6, 7, 8].map((n) =>
      element("option", { value: n }, n === 1 ? "no pooling" : `max ${n} × ${n}`),
    ),
  );

  const pictures = MAPS.map((name) => mapPicture(view, name));
  const [sums, activated, pooled] = pictures.map(({ root }) => root);
  const stages = [
    stage("=", "feature map", labelled("+ bias", bias), sums, slider.field),
    stage("→", "activated", activation, activated),
    stage("→", "pooled", pooling, pooled),
  ];

  function show() {
    const { setting, result } = view;
    if (document.activeElement !== bias) bias.value = say(setting.bias, 3);
    slider.show(setting.bias, sliderLimit(Math.max(Math.abs(setting.bias), 2 * setting.image.white)));
    activation.value = setting.activation;
    pooling.value = String(setting.pool_size);
    const maps = [result.featureMap, result.activated, result.pooled];
    const [sum, active] = maps.map((numbers) => numbers && colouring(numbers.data)); // pooling only chooses
    maps.forEach((numbers, i) => showMap(pictures[i], stages[i], MAPS[i], numbers, i ? active : sum));
  }

  /** Frame the pixel pointed at, what it comes from in the image, and the block of the pooling that holds it. */
  function showFrames(image) {
    const { setting, result, place, hidden } = view;
    if (!result.featureMap) return ["one", "wide"].forEach((name) => image.frame(name, null));
    const { stride, pool_size: size } = setting;
    const block = blockOf(result, size, place);
    const wide = block && size > 1 ? [block.row * size, block.column * size] : null;
    const reaching = (pixel, side) =>
      [pixel[0] * stride - result.above, pixel[1] * stride - result.left, side, side];
    const k = setting.kernel.shape[0];
    image.frame("one", reaching(place, k));
    image.frame("wide", wide && view.pointedAt === MAPS[2] ? reaching(wide, (size - 1) * stride + k) : null);
    pictures.forEach((picture, i) => {
      picture.frame("one", i < 2 ? [...place, 1, 1] : block && [block.row, block.column, 1, 1]);
      picture.frame("wide", i === 1 && wide ? [...wide, size, size] : null);
      const over = hidden && i === 2 ? hidden.map((at) => Math.floor(at / size)) : hidden;
      picture.frame("hidden", over && [...over, 1, 1]);
    });
  }

  /** Cross out the pixels at which the learner's own map is wrong; null takes the crosses away. */
  function cross(wrong) {
    const { marks } = pictures[0];
    marks.hidden = !wrong || !view.result.featureMap;
    if (!marks.hidden) paintCrosses(marks, decode(wrong), view.setting.stride, view.result);
  }
  return { roots: stages.map(({ root }) => root), show, showFrames, cross };
}

/** A picture of a map, whose pixels can be pointed at, touched, and reached by arrow keys. */
function mapPicture(view, name) {
  const picture = framedPicture({ tabindex: 0, role: "application", "aria-roledescription": "map of numbers" });
  const { root, canvas } = picture;
  const isPooled = name === MAPS[2];
  const isThere = () => Boolean(isPooled ? view.result.pooled : view.result.featureMap);

  function choose(row, column) {
    const at = [clamp(row, 0, canvas.height - 1), clamp(column, 0, canvas.width - 1)];
    const size = view.setting.pool_size;
    const place = isPooled ? blockOf(view.result, size, at.map((side) => side * size)).winners[0] : at;
    if (name === view.pointedAt && String(place) === String(view.place)) return;
    Object.assign(view, { place, pointedAt: name });
    view.refreshPlace();
  }
  function point(event) {
    if (!isThere()) return;
    const box = canvas.getBoundingClientRect();
    choose(
      Math.floor(((event.clientY - box.top) / box.height) * canvas.height),
      Math.floor(((event.clientX - box.left) / box.width) * canvas.width),
    );
  }
  function walk(event) {
    const step = ARROWS[event.key] ?? { Home: [0, -canvas.width], End: [0, canvas.width] }[event.key];
    if (!step || !isThere() || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const size = isPooled ? view.setting.pool_size : 1;
    choose(Math.floor(view.place[0] / size) + step[0], Math.floor(view.place[1] / size) + step[1]);
  }
  root.addEventListener("pointermove", point);
  root.addEventListener("pointerdown", point);
  root.addEventListener("keydown", walk);
  return picture;
}

function showMap(picture, { numbers, tell }, name, map, colour) {
  picture.root.hidden = !map;
  if (!map) return void (numbers.textContent = "no map");
  const [rows, columns] = map.shape;
  const [low, high] = range(map.data);
  picture.size(rows, columns);
  paint(picture.canvas, map, colour);
  tell([rows, columns], [low, high]);
  const said = `${name}, ${rows} × ${columns}, numbers from ${brief(low)} to ${brief(high)}.`;
  picture.root.setAttribute("aria-label", `${said} Arrow keys choose a pixel.`);
}

/** Black crosses with a white edge, where the learner's map of stride 1 without padding is wrong. */
function paintCrosses(canvas, wrong, stride, { size: [rows, columns], above, left }) {
  const side = 8; // canvas pixels for a pixel of the map, enough for a cross
  const isWrong = (row, column) =>
    row >= 0 && column >= 0 && row < wrong.shape[0] && column < wrong.shape[1] &&
    wrong.data[row * wrong.shape[1] + column] > 0;
  [canvas.width, canvas.height] = [columns * side, rows * side];
  const context = canvas.getContext("2d");
  context.beginPath();
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < columns; j++) {
      if (!isWrong(i * stride - above, j * stride - left)) continue;
      const [start, end, top, bottom] = [j * side + 1, (j + 1) * side - 1, i * side + 1, (i + 1) * side - 1];
      context.moveTo(start, top);
      context.lineTo(end, bottom);
      context.moveTo(end, top);
      context.lineTo(start, bottom);
    }
  for (const [width, colour] of [[3.5, "#fff"], [1.5, "#000"]]) {
    [context.lineWidth, context.strokeStyle] = [width, colour];
    context.stroke();
  }
}
