// From numbers to colours: the rules of the book's figures (course_lib/plots.py), on a canvas.
//
// Numbers without a sign are grey: black at the low end of the range, white at the high end. Numbers with a sign run
// from orange (negative) through white (0) to purple (positive), which colour-blind readers can tell apart.

// ColorBrewer's PuOr in 11 steps, Cynthia Brewer, colorbrewer2.org.
const SIGNED = [
  [127, 59, 8], [179, 88, 6], [224, 130, 20], [253, 184, 99], [254, 224, 182], [247, 247, 247],
  [216, 218, 235], [178, 171, 210], [128, 115, 172], [84, 39, 136], [45, 0, 75],
];

/** The colour of a number between -limit and limit. */
export function signedColour(value, limit) {
  const share = limit > 0 ? Math.min(Math.max(value / limit, -1), 1) : 0;
  const place = (share + 1) * 5;
  const step = Math.min(Math.floor(place), 9);
  return SIGNED[step].map((low, i) => Math.round(low + (SIGNED[step + 1][i] - low) * (place - step)));
}

/** The grey of a number between low and high. */
export function greyColour(value, low, high) {
  const share = high > low ? (value - low) / (high - low) : 0;
  const grey = Math.round(255 * Math.min(Math.max(share, 0), 1));
  return [grey, grey, grey];
}

/**
 * Black or white, whichever is easier to read on the colour: at least 4.5 : 1 in contrast on any.
 * The luminance is that of WCAG 2.2; at 0.179 both contrasts, 1.05 / (l + 0.05) and (l + 0.05) / 0.05, are equal.
 */
export function inkOn(colour) {
  const linear = (part) => (part <= 10 ? part / 3295 : ((part / 255 + 0.055) / 1.055) ** 2.4);
  const [red, green, blue] = colour.map(linear);
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 ? "#000" : "#fff";
}

/** Smallest and largest number; [0, 0] of none. */
export function range(numbers) {
  let low = Infinity;
  let high = -Infinity;
  for (let i = 0; i < numbers.length; i++) {
    if (numbers[i] < low) low = numbers[i];
    if (numbers[i] > high) high = numbers[i];
  }
  return low <= high ? [low, high] : [0, 0];
}

/** How a tensor's numbers become colours: signed if one of them is negative, else grey from 0 to the largest. */
export function colouring(numbers) {
  const [low, high] = range(numbers);
  const limit = Math.max(-low, high);
  return low < 0 ? (value) => signedColour(value, limit) : (value) => greyColour(value, 0, high);
}

/** Paint one channel, one canvas pixel a number; style sheets enlarge it without blending. */
export function paint(canvas, { shape: [height, width, channels = 1], data }, colour, channel = 0) {
  const pixels = new ImageData(width, height);
  for (let i = 0; i < height * width; i++) {
    const [red, green, blue] = colour(data[i * channels + channel]);
    pixels.data.set([red, green, blue, 255], 4 * i);
  }
  put(canvas, pixels);
}

/** Paint an image of three channels whose numbers run from 0 to `white`. */
export function paintColours(canvas, { shape: [height, width, channels], data }, white = 255) {
  const pixels = new ImageData(width, height);
  for (let i = 0; i < height * width; i++) {
    for (let c = 0; c < 3; c++) pixels.data[4 * i + c] = (255 * data[i * channels + c]) / white;
    pixels.data[4 * i + 3] = 255;
  }
  put(canvas, pixels);
}

function put(canvas, pixels) {
  if (canvas.width !== pixels.width) canvas.width = pixels.width;
  if (canvas.height !== pixels.height) canvas.height = pixels.height;
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}
