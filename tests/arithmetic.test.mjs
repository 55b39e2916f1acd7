// The arithmetic of the widgets against numbers that NumPy and Keras made (tests/test_widget_arithmetic.py).
//
// Lies in one folder with the widgets' modules when it runs, under `node --test` and in the browser alike.

import { convolution, dense, leakyRelu, map, maxPool, relu, softmax, tensor } from "./arithmetic.js";
import { decode } from "./arrays.js";
import { mnistSteps } from "./digit.js";
import { forward, probabilitiesOf, readNetwork } from "./network.js";

const TOLERANCE = 1e-5;
const bytesOf = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const read = (array) => decode({ ...array, data: bytesOf(array.data) });

const COMPUTE = {
  convolution: ({ image, kernel, bias, ...how }) => [convolution(image, kernel, { ...how, bias: bias.data })],
  pooling: ({ image, size, ...how }) => [maxPool(image, size, how)],
  dense: ({ image, kernel, bias }) => [dense(image, kernel, bias.data)],
  softmax: ({ image }) => [softmax(image)],
  relu: ({ image }) => [map(image, relu)],
  leaky_relu: ({ image, slope }) => [map(image, leakyRelu(slope))],
  digit: ({ image }) => {
    const { plain, scaled, centred } = mnistSteps(image);
    return [plain, scaled, centred];
  },
  answers: answersTo,
  network: ({ image, layers, weights }) => {
    const network = readNetwork(layers, bytesOf(weights));
    const outputs = forward(network, image);
    return [
      ...outputs.slice(1),
      { shape: [outputs.at(-1).shape[0]], data: probabilitiesOf(network, outputs) },
    ];
  },
};

/** The class with the largest probability, for each of a batch of images. */
function answersTo({ images, layers, weights }) {
  const network = readNetwork(layers, bytesOf(weights));
  const [number, ...shape] = images.shape;
  const size = images.data.length / number;
  const answers = Array.from({ length: number }, (_, k) => {
    const image = tensor(
      shape,
      images.data.slice(k * size, (k + 1) * size).map((pixel) => pixel / 255),
    );
    const probabilities = probabilitiesOf(network, forward(network, image));
    return probabilities.indexOf(Math.max(...probabilities));
  });
  return [tensor([number], answers)];
}

/** What is wrong with one vector's results, in words; "" if nothing is. */
export function fault({ kind, given, expected }) {
  const inputs = Object.fromEntries(
    Object.entries(given).map(([name, value]) => [name, value?.dtype ? read(value) : value]),
  );
  const results = COMPUTE[kind](inputs);
  if (results.length !== expected.length) return `${results.length} results, not ${expected.length}`;
  for (const [k, wanted] of expected.map(read).entries()) {
    if (String(results[k].shape) !== String(wanted.shape))
      return `result ${k}: shape ${results[k].shape}, not ${wanted.shape}`;
    for (const [i, value] of wanted.data.entries())
      if (!(Math.abs(results[k].data[i] - value) <= TOLERANCE * Math.max(1, Math.abs(value))))
        return `result ${k}, number ${i}: ${results[k].data[i]}, not ${value}`;
  }
  return "";
}

if (globalThis.process) {
  const { test } = await import("node:test");
  const { readFileSync } = await import("node:fs");
  const { strictEqual } = await import("node:assert");
  for (const vector of JSON.parse(readFileSync(new URL("vectors.json", import.meta.url))))
    test(vector.name, () => strictEqual(fault(vector), ""));
}
