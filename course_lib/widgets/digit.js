// A drawn digit: its ink, and the steps by which the digits of MNIST were made from scanned ones.

import { tensor } from "./arithmetic.js";

export const FINE = 280; // sides of the drawing, ten times those of the image
const SIDE = 28;
const BOX = 20;

/** Draw a line with a round pen into a drawing of 0 to 255; the edge of the ink is half covered. */
export function drawLine(drawing, [fromRow, fromColumn], [toRow, toColumn], radius) {
  const [height, width] = drawing.shape;
  const [down, right] = [toRow - fromRow, toColumn - fromColumn];
  const length = down * down + right * right;
  const reach = radius + 1;
  const first = Math.max(Math.floor(Math.min(fromRow, toRow) - reach), 0);
  const last = Math.min(Math.ceil(Math.max(fromRow, toRow) + reach), height - 1);
  const start = Math.max(Math.floor(Math.min(fromColumn, toColumn) - reach), 0);
  const end = Math.min(Math.ceil(Math.max(fromColumn, toColumn) + reach), width - 1);
  for (let i = first; i <= last; i++)
    for (let j = start; j <= end; j++) {
      const along = length ? ((i - fromRow) * down + (j - fromColumn) * right) / length : 0;
      const share = Math.min(Math.max(along, 0), 1);
      const distance = Math.hypot(i - fromRow - share * down, j - fromColumn - share * right);
      const ink = 255 * Math.min(Math.max(radius + 0.5 - distance, 0), 1);
      if (ink > drawing.data[i * width + j]) drawing.data[i * width + j] = Math.round(ink);
    }
}

/** For each of `parts` equal parts of `size` pixels: the first pixel of it, and how much each contributes. */
function shares(size, parts) {
  return Array.from({ length: parts }, (_, part) => {
    const [start, end] = [(part * size) / parts, ((part + 1) * size) / parts];
    const first = Math.floor(start);
    const weights = new Float64Array(Math.min(Math.ceil(end), size) - first);
    for (let i = 0; i < weights.length; i++)
      weights[i] = ((Math.min(end, first + i + 1) - Math.max(start, first + i)) * parts) / size;
    return { first, weights };
  });
}

/** Scale an image to another size: every new pixel is the mean of the area it covers, rounded. */
export function areaMean({ shape: [height, width], data }, rows, columns) {
  const [vertical, horizontal] = [shares(height, rows), shares(width, columns)];
  const narrow = tensor([height, columns]);
  horizontal.forEach(({ first, weights }, j) => {
    for (let i = 0; i < height; i++)
      for (let k = 0; k < weights.length; k++)
        narrow.data[i * columns + j] += weights[k] * data[i * width + first + k];
  });
  const result = tensor([rows, columns]);
  vertical.forEach(({ first, weights }, i) => {
    for (let k = 0; k < weights.length; k++)
      for (let j = 0; j < columns; j++)
        result.data[i * columns + j] += weights[k] * narrow.data[(first + k) * columns + j];
  });
  result.data.forEach((value, i) => (result.data[i] = Math.floor(value + 0.5)));
  return result;
}

/** First and last row and column with ink, or null. */
export function inkBox({ shape: [height, width], data }) {
  let box = null;
  for (let i = 0; i < height; i++)
    for (let j = 0; j < width; j++)
      if (data[i * width + j] > 0) {
        box ??= { top: i, bottom: i, left: j, right: j };
        box.bottom = i;
        box.left = Math.min(box.left, j);
        box.right = Math.max(box.right, j);
      }
  return box;
}

/**
 * The steps of MNIST (LeCun et al. 1998): cut to the ink, scale into 20 × 20 keeping the aspect ratio, and move so
 * that the centre of mass is the centre of 28 × 28.
 *
 * Returns null without ink, else {plain: the drawing averaged to 28 × 28, scaled, centred, cut, corner}.
 */
export function mnistSteps(drawing) {
  const cut = inkBox(drawing);
  if (!cut) return null;
  const [height, width] = [cut.bottom - cut.top + 1, cut.right - cut.left + 1];
  const ink = tensor([height, width]);
  for (let i = 0; i < height; i++) {
    const start = (cut.top + i) * drawing.shape[1] + cut.left;
    ink.data.set(drawing.data.subarray(start, start + width), i * width);
  }
  const larger = Math.max(height, width);
  const [rows, columns] = [height, width].map((side) => Math.max(1, Math.floor((side * BOX) / larger + 0.5)));
  const scaled = areaMean(ink, rows, columns);
  let [mass, rowSum, columnSum] = [0, 0, 0];
  scaled.data.forEach((value, i) => {
    mass += value;
    rowSum += value * Math.floor(i / columns);
    columnSum += value * (i % columns);
  });
  if (mass === 0) return null;
  const corner = [
    [rowSum, rows],
    [columnSum, columns],
  ].map(([sum, side]) => Math.min(Math.max(Math.floor(SIDE / 2 - sum / mass + 0.5), 0), SIDE - side));
  const centred = tensor([SIDE, SIDE]);
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < columns; j++)
      centred.data[(corner[0] + i) * SIDE + corner[1] + j] = scaled.data[i * columns + j];
  return { plain: areaMean(drawing, SIDE, SIDE), scaled, centred, cut, corner };
}
