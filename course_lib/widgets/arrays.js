// NumPy arrays on their way between Python and the page: {shape, dtype, data}, with data in a binary buffer.

import { tensor } from "./arithmetic.js";

const READERS = {
  uint8: (view, i) => view.getUint8(i),
  int32: (view, i) => view.getInt32(4 * i, true),
  float16: (view, i) => halfPrecision(view.getUint16(2 * i, true)),
  float32: (view, i) => view.getFloat32(4 * i, true),
  float64: (view, i) => view.getFloat64(8 * i, true),
};
const BYTES = { uint8: 1, int32: 4, float16: 2, float32: 4, float64: 8 };

/** The number that 16 bits mean (IEEE 754): sign, five bits of exponent, ten of fraction. */
function halfPrecision(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** Read an array that Python sent; null stays null. */
export function decode(array) {
  if (array === null || array === undefined) return null;
  const { shape, dtype, data } = array;
  const read = READERS[dtype];
  if (!read) throw new TypeError(`numbers of type ${dtype} can't be read here`);
  const size = shape.reduce((product, side) => product * side, 1);
  const view = data instanceof DataView ? data : new DataView(data.buffer ?? data, data.byteOffset ?? 0, data.byteLength);
  if (view.byteLength !== size * BYTES[dtype])
    throw new RangeError(`${view.byteLength} bytes don't hold ${shape.join(" × ")} numbers of type ${dtype}`);
  const numbers = new Float64Array(size);
  for (let i = 0; i < size; i++) numbers[i] = read(view, i);
  return tensor([...shape], numbers);
}

/** Make of a tensor what Python reads as an array of float64. */
export function encode({ shape, data }) {
  const view = new DataView(new ArrayBuffer(8 * data.length));
  data.forEach((value, i) => view.setFloat64(8 * i, value, true));
  return { shape: [...shape], dtype: "float64", data: view };
}

/** Make of a tensor of whole numbers from 0 to 255 what Python reads as an array of uint8. */
export function encodeBytes({ shape, data }) {
  return { shape: [...shape], dtype: "uint8", data: new DataView(new Uint8Array(data).buffer) };
}

/** The bytes of an array as it came from Python. */
export function bytesOf({ data }) {
  return new Uint8Array(data.buffer ?? data, data.byteOffset ?? 0, data.byteLength);
}

/** Do two arrays from Python have the same type, shape and numbers? */
export function sameArray(a, b) {
  const [these, those] = [bytesOf(a), bytesOf(b)];
  return a.dtype === b.dtype && String(a.shape) === String(b.shape) && these.every((byte, i) => byte === those[i]);
}
