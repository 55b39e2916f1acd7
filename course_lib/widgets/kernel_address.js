// The setting in the page's address, and back: #kernel-explorer-1=i:0;k:blur;b:-150;a:relu

import { tensor } from "./arithmetic.js";
import { decode, encode } from "./arrays.js";
import { readNumber } from "./kernel_numbers.js";
import { PRESETS, learnedKernels, sameKernel } from "./kernel_presets.js";
import { ACTIVATIONS, change, imageNumber } from "./kernel_setting.js";

/** What each letter stands for, and the value that is left out because it is as usual. */
const LINK_FIELDS = {
  b: ["bias", 0],
  a: ["activation", "none"],
  s: ["stride", 1],
  p: ["padding", "valid"],
  f: ["flip", false],
  m: ["pool_size", 1],
};

/** The setting in few letters. */
function writeLink(model) {
  const kernel = decode(model.get("kernel"));
  const preset = PRESETS.find((each) => sameKernel(each.kernel, kernel));
  const learned = learnedKernels(model).findIndex((each) => sameKernel(each, kernel));
  const fields = [`k:${preset?.id ?? (learned >= 0 ? `learned${learned}` : [...kernel.data].join(","))}`];
  const image = imageNumber(model);
  if (image >= 0) fields.unshift(`i:${image}`);
  for (const [letter, [name, usual]] of Object.entries(LINK_FIELDS))
    if (model.get(name) !== usual) fields.push(`${letter}:${name === "flip" ? 1 : model.get(name)}`);
  return fields.join(";");
}

/** The kernel of a link, or null. */
function linkedKernel(text, model) {
  const preset = PRESETS.find(({ id }) => id === text);
  if (preset) return encode(preset.kernel);
  if (/^learned\d{1,4}$/.test(text)) {
    const learned = learnedKernels(model)[Number(text.slice(7))];
    return learned ? encode(learned) : null;
  }
  const numbers = text.split(",").map(readNumber);
  const k = [3, 4, 5, 6, 7].find((side) => [side * side, 3 * side * side].includes(numbers.length));
  if (!k || !numbers.every(Number.isFinite)) return null;
  return encode(tensor(numbers.length === k * k ? [k, k] : [k, k, 3], Float64Array.from(numbers)));
}

/** A whole number from low to high, or null. */
const wholeNumber = (text, low, high) =>
  /^\d{1,4}$/.test(text) && text >= low && text <= high ? Number(text) : null;

/** How what stands after a letter is read: the trait, and its value or null. */
const LINK_READERS = {
  i: (text, model) => ["image", model.get("images")[wholeNumber(text, 0, 9999) ?? -1] ?? null],
  k: (text, model) => ["kernel", linkedKernel(text, model)],
  b: (text) => ["bias", Number.isNaN(readNumber(text)) ? null : readNumber(text)],
  a: (text) => ["activation", Object.hasOwn(ACTIVATIONS, text) ? text : null],
  s: (text) => ["stride", wholeNumber(text, 1, 7)],
  p: (text) => ["padding", ["valid", "same"].includes(text) ? text : null],
  f: (text) => ["flip", text === "1" ? true : null],
  m: (text) => ["pool_size", wholeNumber(text, 1, 8)],
};

/** What a link sets, {trait: value}; an Error says what can't be read. */
function readLink(text, model) {
  const values = Object.fromEntries(Object.values(LINK_FIELDS));
  const seen = new Set();
  for (const field of text.slice(0, 5000).split(";")) {
    const [letter, written = ""] = field.split(":");
    const known = Object.hasOwn(LINK_READERS, letter) && !seen.has(letter);
    const [name, value] = known ? LINK_READERS[letter](written, model) : ["", null];
    if (value === null) throw new Error(`“${field.slice(0, 30)}”`);
    seen.add(letter);
    values[name] = value;
  }
  if (!seen.has("k")) throw new Error("a kernel (k:…) is missing, and it");
  return values;
}

/** The parts of the address after #, each name=text. */
const addressParts = () => location.hash.split(/[#&]/).filter((part) => part.includes("="));

const linkMessages = new Map(); // what became of the link in the address, for each explorer of the page

/** What became of the link in the address, {text, wrong}; undefined if there is none for this explorer. */
export const linkMessage = (model) => linkMessages.get(model.get("link_name"));

/** Take the setting from the address, if it holds one for this explorer. */
export function followLink(model) {
  const name = model.get("link_name");
  linkMessages.delete(name);
  if (model.get("has_kernel")) return; // the address belongs to JupyterLab
  const part = addressParts().find((each) => each.startsWith(`${name}=`));
  if (!part) return;
  try {
    change(model, readLink(decodeURIComponent(part.slice(name.length + 1)), model));
    linkMessages.set(name, { text: "This is the setting of the link you followed.", wrong: false });
  } catch (error) {
    const fault = error instanceof URIError ? "it" : error.message;
    const text = `The link in the address is damaged: ${fault} can't be read. You see this widget's own setting.`;
    linkMessages.set(name, { text, wrong: true });
  }
}

/** Write the setting into the address of the page; the links of other explorers stay. */
export function writeAddress(model) {
  const name = model.get("link_name");
  const others = addressParts().filter((part) => !part.startsWith(`${name}=`));
  history.replaceState(history.state, "", `#${[...others, `${name}=${writeLink(model)}`].join("&")}`);
}
