// Kernels to choose from, and what makes one kernel of another.

import { tensor } from "./arithmetic.js";
import { decode } from "./arrays.js";
import { meeting } from "./kernel_setting.js";

export const PRESETS = [
  ["K", "K", [[-0.5, -0.5, -0.5], [1, 1, 1], [-0.5, -0.5, -0.5]]],
  ["Kt", "K transposed", [[-0.5, 1, -0.5], [-0.5, 1, -0.5], [-0.5, 1, -0.5]]],
  ["identity", "identity", [[0, 0, 0], [0, 1, 0], [0, 0, 0]]],
  ["blur", "blur", [[1 / 9, 1 / 9, 1 / 9], [1 / 9, 1 / 9, 1 / 9], [1 / 9, 1 / 9, 1 / 9]]],
  ["sharpen", "sharpen", [[0, -1, 0], [-1, 5, -1], [0, -1, 0]]],
  ["sobel", "Sobel", [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]],
  ["laplacian", "Laplacian", [[0, 1, 0], [1, -4, 1], [0, 1, 0]]],
  ["emboss", "emboss", [[-2, -1, 0], [-1, 1, 1], [0, 1, 2]]],
].map(([id, name, rows]) => ({ id, name, kernel: tensor([3, 3], Float64Array.from(rows.flat())) }));

/** The learned kernels, one by one: [k, k] or [k, k, 3]. */
export function learnedKernels(model) {
  const learned = decode(model.get("learned"));
  if (!learned) return [];
  const [k, , channels, count] = learned.shape;
  const shape = channels === 1 ? [k, k] : [k, k, channels];
  return Array.from({ length: count }, (_, o) => tensor(shape, learned.data.filter((_, i) => i % count === o)));
}

export const sameKernel = (a, b) =>
  String(a.shape) === String(b.shape) && a.data.every((value, i) => value === b.data[i]);

/** The kernel in a grid of another size: zeros around it, or its middle. */
export function resized({ shape: [old, , depth = 1], data }, size) {
  const grid = tensor(depth === 1 ? [size, size] : [size, size, depth]);
  const shift = Math.floor((size - old) / 2);
  for (let m = 0; m < old; m++)
    for (let n = 0; n < old; n++)
      if (Math.min(m, n) + shift >= 0 && Math.max(m, n) + shift < size)
        for (let c = 0; c < depth; c++)
          grid.data[((m + shift) * size + n + shift) * depth + c] = data[(m * old + n) * depth + c];
  return grid;
}

/** One channel of a kernel with three, [k, k]. */
export const channelOf = ({ shape: [k], data }, c) => tensor([k, k], data.filter((_, i) => i % 3 === c));

/** A kernel for all channels, from one with three: their sum. */
export const summed = (kernel) => tensor(kernel.shape.slice(0, 2), meeting(kernel, 1).data);

/** A kernel with three channels, from one for all: a third each. */
export const apart = (kernel) => tensor([...kernel.shape.slice(0, 2), 3], meeting(kernel, 3).data);
