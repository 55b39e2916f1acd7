// A network from its layers: the forward pass with everything in between, and what a pixel of it has seen.

import { convolution, dense, leakyRelu, map, maxPool } from "./arithmetic.js";
import { paddingBefore, relu, softmax, tensor } from "./arithmetic.js";
import { decode } from "./arrays.js";

/** The layers, with their arrays cut out of the one buffer in which Python sent them all. */
export function readNetwork(layers, weights) {
  const bytes = new Uint8Array(weights.buffer ?? weights, weights.byteOffset ?? 0, weights.byteLength);
  const widths = { float16: 2, float32: 4, float64: 8 };
  return layers.map((layer) => {
    const arrays = Object.entries(layer.arrays).map(([name, { shape, dtype, at }]) => {
      const length = shape.reduce((product, side) => product * side, widths[dtype]);
      const array = decode({ shape, dtype, data: bytes.subarray(at, at + length) });
      // As exact in four bytes, and the kernels of a layer stay in the processor's nearest cache.
      return [name, dtype === "float64" ? array : tensor(shape, Float32Array.from(array.data))];
    });
    return { ...layer, ...Object.fromEntries(arrays) };
  });
}

/** Multiply every channel by its factor and add its summand: batch normalization at work, and rescaling. */
function scaleChannels(x, { scale, shift }) {
  const channels = scale.data.length;
  return tensor(
    x.shape,
    x.data.map((value, i) => value * scale.data[i % channels] + shift.data[i % channels]),
  );
}

const STEPS = {
  convolution: (x, { kernel, bias, stride, padding }) =>
    convolution(x, kernel, { stride, padding, bias: bias?.data ?? null }),
  pooling: (x, { size, stride, padding }) => maxPool(x, size, { stride, padding }),
  flatten: (x) => tensor([x.data.length], x.data),
  dense: (x, { kernel, bias }) => dense(x, kernel, bias?.data ?? null),
  dropout: (x) => x,
  scaling: scaleChannels,
  activation: (x) => x,
};

const ACTIVATIONS = {
  linear: () => (value) => value,
  relu: () => relu,
  leaky_relu: ({ slope }) => leakyRelu(slope),
  sigmoid: () => (value) => 1 / (1 + Math.exp(-value)),
  tanh: () => Math.tanh,
};

/** What the layer's activation makes of the numbers. */
function activate(x, layer) {
  if (layer.activation === "linear") return x;
  return layer.activation === "softmax" ? softmax(x) : map(x, ACTIVATIONS[layer.activation](layer));
}

/** What the layer's activation makes of one number; not for softmax, which needs all of them. */
export const activated = (value, layer) => ACTIVATIONS[layer.activation](layer)(value);

/** The image, then what each layer in turn makes of it: one tensor more than there are layers. */
export function forward(network, image) {
  const outputs = [image];
  for (const layer of network) outputs.push(activate(STEPS[layer.kind](outputs.at(-1), layer), layer));
  return outputs;
}

/** Whether softmax is still to be applied to what the last layer gives. */
export const givesLogits = (network) => network.at(-1).activation !== "softmax";

/** The probability of each class, from what forward() returned. */
export const probabilitiesOf = (network, outputs) =>
  givesLogits(network) ? softmax(outputs.at(-1)).data : outputs.at(-1).data;

/** Size of the window that a layer looks through, and its step: 1 and 1 for all but convolution and pooling. */
function windowOf(layer) {
  if (layer.kind === "convolution") return { size: layer.kernel.shape.slice(0, 2), stride: layer.stride };
  if (layer.kind === "pooling") return { size: [layer.size, layer.size], stride: layer.stride };
  return { size: [1, 1], stride: 1 };
}

/**
 * First and last row and column of `from`'s input that one pixel after layer `to` has seen; they may lie outside.
 *
 * outputs are those of forward(). From the pixel back to the input, each window makes the field wider. A number
 * without a place, after Flatten, has seen all that the last map has seen.
 */
export function receptiveField(network, outputs, to, row, column, from = 0) {
  let field = { top: row, bottom: row, left: column, right: column };
  if (outputs[to + 1].shape.length === 1) {
    while (to >= from && outputs[to + 1].shape.length === 1) to--;
    const [rows, columns] = outputs[to + 1].shape;
    field = { top: 0, bottom: rows - 1, left: 0, right: columns - 1 };
  }
  for (let i = to; i >= from; i--) {
    const { size, stride } = windowOf(network[i]);
    const [above, left] = [0, 1].map((axis) =>
      paddingBefore(outputs[i].shape[axis], size[axis], stride, network[i].padding ?? "valid"),
    );
    field = {
      top: field.top * stride - above,
      bottom: field.bottom * stride - above + size[0] - 1,
      left: field.left * stride - left,
      right: field.right * stride - left + size[1] - 1,
    };
  }
  return field;
}

/**
 * The side of a receptive field after layer `to`, and the terms it is the sum of.
 *
 * side = 1 + the sum over the layers of (window − 1) · (product of the strides before it).
 */
export function receptiveSide(network, to) {
  const terms = [];
  let step = 1;
  for (const layer of network.slice(0, to + 1)) {
    const { size, stride } = windowOf(layer);
    if (size[0] > 1) terms.push({ size: size[0], step });
    step *= stride;
  }
  return { side: terms.reduce((side, term) => side + (term.size - 1) * term.step, 1), terms };
}

/** The sum of products that becomes one number of a convolution or dense layer, before bias and activation. */
export function sumOfProducts(layer, input, row, column, channel) {
  const [height, width, depth, maps] =
    layer.kind === "dense" ? [1, 1, ...layer.kernel.shape] : layer.kernel.shape;
  const [rows, columns] = layer.kind === "dense" ? [1, 1] : input.shape;
  const above = layer.kind === "dense" ? 0 : paddingBefore(rows, height, layer.stride, layer.padding);
  const left = layer.kind === "dense" ? 0 : paddingBefore(columns, width, layer.stride, layer.padding);
  let sum = 0;
  for (let m = 0; m < height; m++)
    for (let n = 0; n < width; n++) {
      const i = row * (layer.stride ?? 1) - above + m;
      const j = column * (layer.stride ?? 1) - left + n;
      if (i < 0 || j < 0 || i >= rows || j >= columns) continue;
      for (let c = 0; c < depth; c++)
        sum +=
          input.data[(i * columns + j) * depth + c] *
          layer.kernel.data[((m * width + n) * depth + c) * maps + channel];
    }
  return sum;
}
