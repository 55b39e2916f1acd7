// The setting of a kernel explorer and what follows from it: numbers in, numbers out, and no page.
//
// A setting is what the model holds: {image, kernel, bias, activation, stride, padding, flip, pool_size}.

import { convolution, flip, leakyRelu, map, maxPool, relu, tensor } from "./arithmetic.js";
import { outputSize, paddingBefore } from "./arithmetic.js";
import { decode, sameArray } from "./arrays.js";
import { range } from "./drawing.js";

export const SETTING = ["image", "kernel", "bias", "activation", "stride", "padding", "flip", "pool_size"];
export const CHANNELS = ["red", "green", "blue"];
export const ACTIVATIONS = {
  none: { name: "none", of: (value) => value },
  relu: { name: "ReLU", of: relu },
  leaky_relu: { name: "leaky ReLU", of: leakyRelu(0.1) },
};

const KERNEL_TOO_LARGE = (k, height, width) =>
  `The kernel of ${k} × ${k} does not fit into the image of ${height} × ${width}. ` +
  "Choose the padding “same”, a smaller kernel or a larger image.";
const BLOCK_TOO_LARGE = (block, rows, columns) =>
  `A block of ${block} × ${block} does not fit into the map of ${rows} × ${columns}. Choose smaller blocks.`;

/** An image as [height, width, channels], with the number that is drawn white. */
function readImage(array) {
  const { shape, data } = decode(array);
  const [height, width, channels = 1] = shape;
  const [low, high] = range(data);
  const white = array.dtype === "uint8" ? 255 : Math.max(high, channels === 3 ? 1 : 0);
  return { ...tensor([height, width, channels], data), white, low, high };
}

/** The setting that the model holds, its arrays read. */
export function readSetting(model) {
  const setting = Object.fromEntries(SETTING.map((name) => [name, model.get(name)]));
  return { ...setting, image: readImage(setting.image), kernel: decode(setting.kernel) };
}

/** Write values into the model. The count of edits lets Python say which of them its answer belongs to. */
export function change(model, values) {
  for (const [name, value] of Object.entries(values)) model.set(name, value);
  if ("image" in values || "kernel" in values || "flip" in values) model.set("edits", model.get("edits") + 1);
  model.save_changes();
}

/** Which of the images to choose from is on screen; −1 for none of them. */
export const imageNumber = (model) =>
  model.get("images").findIndex((image) => sameArray(image, model.get("image")));

/** The kernel as an image meets it, [k, k, channels, 1]: a third for each channel, or the sum of three. */
export function meeting(kernel, channels) {
  const [k, , depth = 1] = kernel.shape;
  const weights = tensor([k, k, channels, 1]);
  for (let i = 0; i < k * k; i++)
    for (let c = 0; c < channels; c++)
      if (depth === channels) weights.data[i * channels + c] = kernel.data[i * channels + c];
      else if (depth === 1) weights.data[i * channels + c] = kernel.data[i] / channels;
      else weights.data[i] = kernel.data[3 * i] + kernel.data[3 * i + 1] + kernel.data[3 * i + 2];
  return weights;
}

/** Carry the setting out: {weights, above, left, size, featureMap, activated, pooled, problem}. */
export function carryOut({ image, kernel, bias, activation, stride, padding, flip: flipped, pool_size: block }) {
  const [height, width, channels] = image.shape;
  const k = kernel.shape[0];
  const met = meeting(kernel, channels);
  const weights = flipped ? flip(met) : met;
  const size = [outputSize(height, k, stride, padding), outputSize(width, k, stride, padding)];
  const above = paddingBefore(height, k, stride, padding);
  const left = paddingBefore(width, k, stride, padding);
  const result = { weights, size, above, left, featureMap: null, activated: null, pooled: null, problem: "" };
  if (Math.min(...size) < 1) return { ...result, problem: KERNEL_TOO_LARGE(k, height, width) };
  result.featureMap = convolution(image, weights, { stride, padding, bias: [bias] });
  result.activated = map(result.featureMap, ACTIVATIONS[activation].of);
  if (block > Math.min(...size)) return { ...result, problem: BLOCK_TOO_LARGE(block, ...size) };
  result.pooled = maxPool(result.activated, block);
  return result;
}

/** The products at one pixel of the feature map: [{ inside, pixel, weight, product }], channel by channel. */
export function productsAt({ image, stride }, { weights, above, left }, [row, column]) {
  const [height, width, channels] = image.shape;
  const k = weights.shape[0];
  const products = [];
  for (let c = 0; c < channels; c++)
    for (let m = 0; m < k; m++)
      for (let n = 0; n < k; n++) {
        const [i, j] = [row * stride - above + m, column * stride - left + n];
        const inside = i >= 0 && j >= 0 && i < height && j < width;
        const pixel = inside ? image.data[(i * width + j) * channels + c] : 0;
        const weight = weights.data[(m * k + n) * channels + c];
        products.push({ inside, pixel, weight, product: pixel * weight });
      }
  return products;
}

/**
 * The block of the pooling that holds a pixel: {row, column, largest, winners}; null where no whole one reaches it.
 *
 * The winners are the places of the largest number, the first of them first.
 */
export function blockOf({ activated, pooled }, size, [row, column]) {
  const [top, start] = [Math.floor(row / size), Math.floor(column / size)];
  if (!pooled || top >= pooled.shape[0] || start >= pooled.shape[1]) return null;
  const largest = pooled.data[top * pooled.shape[1] + start];
  const winners = [];
  for (let i = top * size; i < (top + 1) * size; i++)
    for (let j = start * size; j < (start + 1) * size; j++)
      if (activated.data[i * activated.shape[1] + j] === largest) winners.push([i, j]);
  return { row: top, column: start, largest, winners };
}

/** The place of the largest number after the activation. */
export function largestPlace({ activated, size }) {
  const at = activated.data.indexOf(range(activated.data)[1]);
  return [Math.floor(at / size[1]), at % size[1]];
}
