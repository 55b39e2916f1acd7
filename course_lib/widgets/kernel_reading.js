// The pixel pointed at, read out: its products, their sum, and a sentence on what becomes of it.

import { inkOn, signedColour } from "./drawing.js";
import { element, say, setText } from "./elements.js";
import { brief, placeInWords } from "./kernel_numbers.js";
import { ACTIVATIONS, CHANNELS, blockOf, productsAt } from "./kernel_setting.js";

const samePlace = (a, b) => a[0] === b[0] && a[1] === b[1];

/** Sentence, products and sum of the pixel at view.place: { root, show() }. */
export function pixelReading(view) {
  const sentence = element("p", { class: "sentence", "aria-live": "polite" });
  const name = "Products. Where they are wider than the page, arrow keys scroll them.";
  const tables = element("div", { class: "tables", tabindex: 0, role: "region", "aria-label": name });
  const sum = element("p", { class: "sum" });
  const attributes = { class: "reading", role: "group", "aria-label": "The pixel pointed at" };
  const root = element("div", attributes, sentence, tables, sum);

  function show() {
    root.hidden = !view.result.featureMap;
    if (root.hidden) return;
    const products = productsAt(view.setting, view.result, view.place);
    const secret = Boolean(view.hidden) && samePlace(view.hidden, view.place);
    showProducts(tables, view.setting, products, secret);
    const pixel = pixelAt(view, products);
    sentence.textContent = secret ? hiddenSentence(pixel) : pixelSentence(pixel);
    sum.textContent = secret ? "" : pixelSum(pixel);
  }
  return { root, show };
}

/** A table of products for each channel, made anew when their number changes, else filled in. */
function showProducts(tables, { image, kernel }, products, secret) {
  const k = kernel.shape[0];
  const channels = image.shape[2];
  if (tables.children.length !== channels || tables.querySelectorAll("td").length !== products.length)
    tables.replaceChildren(...Array.from({ length: channels }, (_, c) => productTable(k, channels, c)));
  const digits = k > 4 ? 3 : 4;
  const limit = Math.max(...products.map(({ product }) => Math.abs(product)));
  const cells = tables.querySelectorAll("td");
  products.forEach(({ pixel, weight, product, inside }, i) => {
    const colour = secret ? [255, 255, 255] : signedColour(product, limit);
    cells[i].style.backgroundColor = `rgb(${colour.join(" ")})`;
    cells[i].style.color = inkOn(colour);
    cells[i].classList.toggle("outside", !inside);
    setText(cells[i].firstChild, `${brief(pixel, digits)} × ${brief(weight, digits)}`);
    setText(cells[i].lastChild, secret ? "?" : brief(product, digits));
  });
}

function productTable(k, channels, c) {
  const cell = () => element("td", {}, "", element("br"), element("b"));
  const row = () => element("tr", {}, Array.from({ length: k }, cell));
  const title = `${channels === 3 ? `${CHANNELS[c]}: ` : ""}pixel × kernel = product`;
  return element(
    "table",
    { class: k > 4 ? "dense" : "" },
    element("caption", {}, title),
    element("tbody", {}, Array.from({ length: k }, row)),
  );
}

/** What there is to say about the pixel at view.place. */
function pixelAt({ setting, result, place, pointedAt, hidden }, products) {
  const { bias, activation, pool_size: size } = setting;
  const at = place[0] * result.size[1] + place[1];
  const block = blockOf(result, size, place);
  const hiddenBlock = hidden && blockOf(result, size, hidden);
  const sameBlock = block && hiddenBlock && block.row === hiddenBlock.row && block.column === hiddenBlock.column;
  return {
    place,
    bias,
    products: products.length,
    outside: products.filter(({ inside }) => !inside).length,
    total: products.reduce((sofar, { product }) => sofar + product, 0),
    value: result.featureMap.data[at],
    active: result.activated.data[at],
    activation,
    pooled: size > 1,
    block,
    fromBlock: size > 1 && pointedAt === "after pooling" && block !== null,
    blockIsSecret: Boolean(sameBlock), // its largest number may be the one that the reader is asked for
  };
}

const hiddenSentence = ({ place, bias }) =>
  `The number at ${placeInWords(place)} of the feature map is hidden. ` +
  `Multiply, add all products, then add the bias of ${say(bias, 3)}.`;

function pixelSentence(pixel) {
  const { place, bias, products, outside, total, value, block, fromBlock } = pixel;
  const where = fromBlock
    ? `Row ${block.row}, column ${block.column} after pooling (counted from 0) holds the largest number of its block, ` +
      `${placeInWords(place)}${ofEqualOnes(block)}. There the`
    : `Row ${place[0]}, column ${place[1]} (counted from 0): the`;
  return [
    `${where} ${products} products sum to ${say(total, 3)}`,
    outside ? ` (${outside} of them lie outside the image, on zeros)` : "",
    bias ? `; with the bias of ${say(bias, 3)} that is ${say(value, 3)}` : "; the bias is 0",
    activationInWords(pixel),
    poolingInWords(pixel),
  ].join("");
}

function activationInWords({ activation, value, active }) {
  const { name } = ACTIVATIONS[activation];
  if (activation === "none") return ". There is no activation, so it stays.";
  if (active === value) return `. ${name[0].toUpperCase()}${name.slice(1)} keeps it.`;
  return `. ${name} makes ${say(active, 3)} of it${activation === "relu" ? "" : ", a tenth"}.`;
}

const ofEqualOnes = ({ winners }) => (winners.length > 1 ? `, the first of ${winners.length} equal ones` : "");

function poolingInWords({ place, pooled, block, active, fromBlock, blockIsSecret }) {
  if (!pooled || fromBlock || blockIsSecret) return "";
  if (!block) return " Pooling drops it: no whole block reaches it.";
  const { largest, winners } = block;
  if (samePlace(winners[0], place))
    return ` It is the largest number of its block${ofEqualOnes(block)}, so pooling keeps it.`;
  if (active === largest)
    return ` It is one of ${winners.length} equal largest numbers of its block; pooling keeps the first.`;
  return ` Pooling drops it for ${say(largest, 3)}, the largest number of its block.`;
}

function pixelSum({ total, bias, value, activation, active, pooled, block, blockIsSecret }) {
  return [
    `sum ${say(total, 3)}`,
    `+ bias ${say(bias, 3)}`,
    `= ${say(value, 3)}`,
    activation === "none" ? "" : `→ ${ACTIVATIONS[activation].name}: ${say(active, 3)}`,
    pooled && block && !blockIsSecret ? `→ largest of its block: ${say(block.largest, 3)}` : "",
  ].join("  ");
}
