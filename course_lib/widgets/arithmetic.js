// The arithmetic of convolutional networks, for one image at a time, in double precision.
//
// A tensor is {shape, data}: its sizes, and its numbers row after row. Images are [height, width, channels] and
// kernels [height, width, channels in, channels out], as in Keras.
// What deep learning calls convolution is cross-correlation: the kernel is not flipped.

/** A tensor of zeros, or of the numbers given. */
export function tensor(shape, data) {
  const size = shape.reduce((product, side) => product * side, 1);
  if (data && data.length !== size) throw new RangeError(`${data.length} numbers don't fill the shape ${shape.join(" × ")}`);
  return { shape, data: data ?? new Float64Array(size) };
}

/** Side of the feature map for a side of the image; 0 or less where the kernel does not fit. */
export function outputSize(size, kernel, stride = 1, padding = "valid") {
  return padding === "same" ? Math.ceil(size / stride) : Math.floor((size - kernel) / stride) + 1;
}

/** Zeros above (or at the left of) the image; where the number is odd, one more comes below, as in TensorFlow. */
export function paddingBefore(size, kernel, stride = 1, padding = "valid") {
  if (padding === "valid") return 0;
  const missing = (outputSize(size, kernel, stride, padding) - 1) * stride + kernel - size;
  return Math.floor(Math.max(missing, 0) / 2);
}

/** Slide every kernel over the image; at each place sum the products and add the kernel's bias. */
export function convolution(image, kernels, { stride = 1, padding = "valid", bias = null } = {}) {
  const [height, width, channels] = image.shape;
  const [kernelHeight, kernelWidth, depth, maps] = kernels.shape;
  if (depth !== channels) throw new RangeError(`the kernel reaches through ${depth} channels, the image has ${channels}`);
  const rows = outputSize(height, kernelHeight, stride, padding);
  const columns = outputSize(width, kernelWidth, stride, padding);
  if (rows < 1 || columns < 1)
    throw new RangeError(`a kernel of ${kernelHeight} × ${kernelWidth} does not fit into ${height} × ${width}`);
  const above = paddingBefore(height, kernelHeight, stride, padding);
  const left = paddingBefore(width, kernelWidth, stride, padding);
  const result = tensor([rows, columns, maps]);
  const [pixels, weights, sums] = [image.data, kernels.data, result.data];
  const values = new Float64Array(kernelHeight * kernelWidth * channels + 7); // the window's pixels that are not 0,
  const places = new Int32Array(values.length); // and where their weights begin
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < columns; j++) {
      let count = 0;
      for (let m = 0; m < kernelHeight; m++) {
        const row = i * stride + m - above;
        if (row < 0 || row >= height) continue;
        for (let n = 0; n < kernelWidth; n++) {
          const column = j * stride + n - left;
          if (column < 0 || column >= width) continue;
          for (let c = 0; c < channels; c++) {
            const pixel = pixels[(row * width + column) * channels + c];
            if (pixel === 0) continue; // most numbers after ReLU are
            values[count] = pixel;
            places[count++] = ((m * kernelWidth + n) * channels + c) * maps;
          }
        }
      }
      values.fill(0, count, count + 7);
      const at = (i * columns + j) * maps;
      for (let o = 0; o < maps; o++) sums[at + o] = bias ? bias[o] : 0;
      for (let k = 0; k < count; k += 8) {
        // Eight pixels at a time, as each sum is then read and written an eighth as often.
        const [p, q, r, s] = [values[k], values[k + 1], values[k + 2], values[k + 3]];
        const [t, u, v, w] = [values[k + 4], values[k + 5], values[k + 6], values[k + 7]];
        const [a, b, c, d] = [places[k], places[k + 1], places[k + 2], places[k + 3]];
        const [e, f, g, h] = [places[k + 4], places[k + 5], places[k + 6], places[k + 7]];
        for (let o = 0; o < maps; o++)
          sums[at + o] +=
            p * weights[a + o] +
            q * weights[b + o] +
            r * weights[c + o] +
            s * weights[d + o] +
            t * weights[e + o] +
            u * weights[f + o] +
            v * weights[g + o] +
            w * weights[h + o];
      }
    }
  return result;
}

/** Reverse rows and columns of every kernel: with it, cross-correlation becomes true convolution. */
export function flip(kernels) {
  const [height, width] = kernels.shape;
  const inner = kernels.data.length / (height * width);
  const flipped = tensor(kernels.shape);
  for (let place = 0; place < height * width; place++)
    for (let k = 0; k < inner; k++)
      flipped.data[(height * width - 1 - place) * inner + k] = kernels.data[place * inner + k];
  return flipped;
}

/** Apply a function to every number. */
export function map(x, activation) {
  const result = tensor(x.shape);
  for (let i = 0; i < result.data.length; i++) result.data[i] = activation(x.data[i]);
  return result;
}

export const relu = (value) => (value > 0 ? value : 0);
export const leakyRelu = (slope) => (value) => (value > 0 ? value : slope * value);

/** Keep the largest number of each block, channel by channel. What lies outside the image never wins. */
export function maxPool(image, size = 2, { stride = size, padding = "valid" } = {}) {
  const [height, width, channels] = image.shape;
  const rows = outputSize(height, size, stride, padding);
  const columns = outputSize(width, size, stride, padding);
  if (rows < 1 || columns < 1) throw new RangeError(`a block of ${size} × ${size} does not fit into ${height} × ${width}`);
  const above = paddingBefore(height, size, stride, padding);
  const left = paddingBefore(width, size, stride, padding);
  const result = tensor([rows, columns, channels]);
  result.data.fill(-Infinity);
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < columns; j++)
      for (let row = Math.max(i * stride - above, 0); row < Math.min(i * stride - above + size, height); row++)
        for (let column = Math.max(j * stride - left, 0); column < Math.min(j * stride - left + size, width); column++)
          for (let c = 0; c < channels; c++) {
            const at = (i * columns + j) * channels + c;
            const value = image.data[(row * width + column) * channels + c];
            if (value > result.data[at]) result.data[at] = value;
          }
  return result;
}

/** Every output is a weighted sum of all inputs, plus its bias. weights: [inputs, outputs]. */
export function dense(x, weights, bias = null) {
  const [inputs, outputs] = weights.shape;
  if (x.data.length !== inputs) throw new RangeError(`the layer takes ${inputs} numbers and was given ${x.data.length}`);
  const result = tensor([outputs]);
  for (let o = 0; o < outputs; o++) result.data[o] = bias ? bias[o] : 0;
  for (let i = 0; i < inputs; i++) {
    const value = x.data[i];
    if (value !== 0) for (let o = 0; o < outputs; o++) result.data[o] += value * weights.data[i * outputs + o];
  }
  return result;
}

/** Make positive numbers of any numbers, in the same order, that sum to 1. */
export function softmax(x) {
  const largest = x.data.reduce((a, b) => Math.max(a, b), -Infinity); // taken off, so that exp never overflows
  const powers = Float64Array.from(x.data, (value) => Math.exp(value - largest));
  const sum = powers.reduce((a, b) => a + b, 0);
  return tensor(x.shape, powers.map((value) => value / sum));
}
