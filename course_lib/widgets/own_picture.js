// The reader's own picture: from a file to an array. It never leaves the browser.

import { tensor } from "./arithmetic.js";
import { encodeBytes } from "./arrays.js";
import { element, say } from "./elements.js";

export const LONGEST_SIDE = 64; // pixels of the reader's own picture
const LARGEST_FILE = 20e6; // bytes
const LARGEST_PICTURE = 50e6; // pixels

/** Decode a picture file: { image, size }, scaled to 64 pixels a side at most, and its own rows and columns. */
export async function readPicture(file) {
  const megabytes = (bytes) => say(bytes / 1e6, 0);
  if (file.size > LARGEST_FILE)
    throw new Error(
      `“${file.name}” has ${megabytes(file.size)} MB; a picture may have ${megabytes(LARGEST_FILE)} MB.`,
    );
  const address = URL.createObjectURL(file);
  try {
    return await scaledPicture(await loadPicture(address, file.name), file.name);
  } finally {
    URL.revokeObjectURL(address);
  }
}

function loadPicture(address, name) {
  return new Promise((resolve, reject) => {
    const picture = new Image();
    picture.onload = () => resolve(picture);
    picture.onerror = () => reject(new Error(`“${name}” is not a picture that this browser can read.`));
    picture.src = address;
  });
}

async function scaledPicture(picture, name) {
  const [width, height] = [picture.naturalWidth, picture.naturalHeight];
  if (!width || !height) throw new Error(`“${name}” does not say how large it is.`);
  if (width * height > LARGEST_PICTURE)
    throw new Error(`“${name}” has ${width} × ${height} pixels; a picture may have 50 million.`);
  const scale = Math.min(1, LONGEST_SIDE / Math.max(width, height));
  const [columns, rows] = [width, height].map((side) => Math.max(1, Math.round(side * scale)));
  const options = { resizeWidth: columns, resizeHeight: rows, resizeQuality: "high" };
  const image = pixelsOf(await createImageBitmap(picture, options), rows, columns);
  return { image, size: [height, width] };
}

/** The pixels of a bitmap on white: (rows, columns) if all of them are grey, else (rows, columns, 3). */
function pixelsOf(bitmap, rows, columns) {
  const canvas = element("canvas", { width: columns, height: rows });
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, columns, rows);
  context.drawImage(bitmap, 0, 0);
  const { data } = context.getImageData(0, 0, columns, rows);
  const colours = data.filter((_, i) => i % 4 < 3);
  const grey = colours.every((value, i) => value === colours[i - (i % 3)]);
  if (!grey) return encodeBytes(tensor([rows, columns, 3], colours));
  return encodeBytes(tensor([rows, columns], colours.filter((_, i) => i % 3 === 0)));
}
