// The setting as Python that reproduces it exactly, with NumPy and with Keras.

import { outputSize, paddingBefore } from "./arithmetic.js";
import { bytesOf } from "./arrays.js";

const DTYPES = { uint8: "uint8", float32: "<f4", float64: "<f8" };

/** Lines of text that Python joins: the bytes in base64. */
function packed(bytes) {
  let letters = "";
  for (const byte of bytes) letters += String.fromCharCode(byte);
  return btoa(letters)
    .match(/.{1,90}/g)
    .map((line) => `    "${line}"`)
    .join("\n");
}

/** A kernel as nested lists, a row a line. */
function pythonKernel({ shape: [k, , depth = 1], data }) {
  const list = (numbers) => `[${numbers.join(", ")}]`;
  const cells = Array.from({ length: k * k }, (_, i) =>
    depth === 1 ? data[i] : list([...data.slice(3 * i, 3 * i + 3)]),
  );
  const rows = Array.from({ length: k }, (_, m) => `    ${list(cells.slice(m * k, (m + 1) * k))},`);
  return `np.array([\n${rows.join("\n")}\n])`;
}

/** What the NumPy and the Keras code share: image, kernel and bias. */
function pythonStart(array, { image, kernel, bias, flip: flipped }) {
  const depth = kernel.shape[2] ?? 1;
  const channels = image.shape[2];
  const lines = [
    `X = np.frombuffer(base64.b64decode(  # the image's pixels, packed as text`,
    `${packed(bytesOf(array))}`,
    `), dtype="${DTYPES[array.dtype]}").reshape(${array.shape.join(", ")}).astype(float)`,
    `K = ${pythonKernel(kernel)}`,
  ];
  if (depth < channels) lines.push("K = np.stack([K, K, K], axis=2) / 3  # a third of it on each channel");
  if (depth > channels) lines.push("K = K.sum(axis=2)  # what a grey image sees of three channels");
  if (flipped) lines.push("K = K[::-1, ::-1]  # true convolution: the kernel is turned by 180°");
  return [...lines, `bias = ${bias}`, ""];
}

/** NumPy code that computes feature_map, activated and pooled. */
export function numpyCode(array, setting) {
  const { shape } = setting.image;
  const k = setting.kernel.shape[0];
  const { stride, padding, activation, pool_size: block } = setting;
  const [rows, columns] = [0, 1].map((side) => outputSize(shape[side], k, stride, padding));
  const lines = ["import base64", "", "import numpy as np", "", ...pythonStart(array, setting)];
  if (padding === "same") {
    const around = [0, 1].map((side) => {
      const before = paddingBefore(shape[side], k, stride, padding);
      const after = Math.max(([rows, columns][side] - 1) * stride + k - shape[side], 0) - before;
      return `(${before}, ${after})`;
    });
    if (shape[2] === 3) around.push("(0, 0)");
    lines.push(`X = np.pad(X, (${around.join(", ")}))  # zeros around the image`);
  }
  const steps = (count) => (stride === 1 ? `range(${count})` : `range(0, ${count * stride}, ${stride})`);
  lines.push(
    "feature_map = np.array([",
    `    [np.sum(X[i:i + ${k}, j:j + ${k}] * K) for j in ${steps(columns)}]`,
    `    for i in ${steps(rows)}`,
    "]) + bias",
  );
  const activations = {
    none: "feature_map",
    relu: "np.maximum(feature_map, 0)",
    leaky_relu: "np.where(feature_map > 0, feature_map, 0.1 * feature_map)",
  };
  lines.push(`activated = ${activations[activation]}`);
  const [high, wide] = [Math.floor(rows / block), Math.floor(columns / block)];
  if (block === 1) lines.push("pooled = activated");
  else
    lines.push(
      `blocks = activated[:${high * block}, :${wide * block}].reshape(${high}, ${block}, ${wide}, ${block})`,
      "pooled = blocks.max(axis=(1, 3))",
    );
  return `${lines.join("\n")}\n`;
}

/** Keras code that computes feature_map, activated and pooled with its layers. */
export function kerasCode(array, setting) {
  const { shape } = setting.image;
  const k = setting.kernel.shape[0];
  const { stride, padding, activation, pool_size: block } = setting;
  const layers = {
    none: "",
    relu: "keras.layers.ReLU(dtype=precision)",
    leaky_relu: "keras.layers.LeakyReLU(negative_slope=0.1, dtype=precision)",
  };
  const lines = [
    "import base64",
    "",
    "import keras",
    "import numpy as np",
    "",
    ...pythonStart(array, setting),
    'precision = "float64"  # as on the page; Keras itself computes in float32',
    `convolution = keras.layers.Conv2D(1, ${k}, strides=${stride}, padding="${padding}", dtype=precision)`,
    `batch = X.reshape(1, ${shape.join(", ")})`,
    "convolution.build(batch.shape)",
    `convolution.set_weights([K.reshape(${k}, ${k}, ${shape[2]}, 1), np.array([bias])])`,
    "feature_map = convolution(batch)",
    `activated = ${layers[activation] ? `${layers[activation]}(feature_map)` : "feature_map"}`,
    `pooled = ${block === 1 ? "activated" : `keras.layers.MaxPooling2D(${block}, dtype=precision)(activated)`}`,
    "feature_map, activated, pooled = (np.array(each)[0, :, :, 0] for each in (feature_map, activated, pooled))",
  ];
  return `${lines.join("\n")}\n`;
}

