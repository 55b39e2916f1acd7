// Numbers as a reader writes and reads them.

import { say } from "./elements.js";

const LARGEST = 1e6; // of a number in the kernel, and of the bias, as in Python

/** The number that a reader wrote, with a point or a comma, or as a fraction; NaN if it is none. */
export function readNumber(text) {
  const written = text.trim().replaceAll("−", "-").replaceAll(",", ".");
  const [above, below = "1", ...more] = written.split("/");
  const plain = /^\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*$/i;
  if (more.length || !plain.test(above) || !plain.test(below)) return NaN;
  const value = Number(above) / Number(below);
  return Math.abs(value) <= LARGEST ? value + 0 : NaN;
}

/** What is wrong with the text in a place, and what would be right. */
export const notANumber = (text, place) =>
  `${place} can't be ${text.trim() ? `“${text.slice(0, 20)}”` : "empty"}. ` +
  "Write a number of at most a million, such as −0.5 or 1/9.";

export const placeInWords = ([row, column]) => `row ${row}, column ${column}`;

/** A number in four significant digits, or fewer. */
export const brief = (value, digits = 4) => say(Number(value.toPrecision(digits)), 4);

/** A number in full, to be edited. */
export const inFull = (value) => String(value).replaceAll("-", "−");

/** A number as it fits into a cell of the kernel. */
export const inCell = (value, digits) =>
  value !== 0 && Math.abs(value) < 10 ** -digits / 2 ? "≈0" : say(value, digits);

/** The power of 2 from which a slider reaches to its negative. */
export const sliderLimit = (largest) => (largest > 0 ? 2 ** Math.max(Math.ceil(Math.log2(largest)), -6) : 1);
