// Elements of the page, and nothing that could run a text as HTML.

/**
 * Make an element: element("button", { type: "button", onclick: play }, "Play").
 *
 * Names that begin with "on" are listeners; class, style and every other name are attributes. true writes an empty
 * attribute, false and null write none. Children are elements or texts; a text is never read as HTML.
 */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== false && value !== null && value !== undefined)
      made.setAttribute(name, value === true ? "" : String(value));
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

let made = 0;
/** An id that no other element of the page has, to tie a label to its field. */
export const freshId = (name) => `course-${name}-${++made}`;

/**
 * The element that holds a widget: a group with a name.
 *
 * Keys pressed in it stay in it, but for those with Ctrl or ⌘: JupyterLab would move to another cell with an arrow,
 * and delete this one with "d d".
 */
export function widgetFrame(name, label, ...children) {
  const keep = (event) => event.ctrlKey || event.metaKey || event.stopPropagation();
  return element("div", { class: `course-widget ${name}`, role: "group", "aria-label": label, onkeydown: keep }, ...children);
}

/** Keys that move a place: [rows down, columns to the right]. */
export const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

/** A label and its field, one after the other. */
export function labelled(text, field) {
  field.id ||= freshId("field");
  return element("span", { class: "course-field" }, element("label", { for: field.id }, text), field);
}

/** A list to choose from: choices is [[value, text], …]. */
export function choice(text, choices, chosen, onchange) {
  const field = element("select", { onchange: () => onchange(field.value) });
  field.append(...choices.map(([value, words]) => element("option", { value, selected: value === chosen }, words)));
  return labelled(text, field);
}

/** Say a number as a reader would write it: a true minus sign, at most `digits` places, no needless zeros. */
export function say(value, digits = 2) {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "not a number" : value > 0 ? "∞" : "−∞";
  const rounded = Number(value.toFixed(digits));
  if (rounded === 0) return value !== 0 && Math.abs(value) < 10 ** -digits / 2 ? value.toExponential(1).replaceAll("-", "−") : "0";
  const text = Math.abs(rounded) >= 1e6 ? rounded.toExponential(2) : String(rounded);
  return text.replaceAll("-", "−");
}

/** Call a listener when one of the model's values changes, until the signal. */
export function whenChanged(model, names, listener, signal) {
  for (const name of names) model.on(`change:${name}`, listener);
  signal?.addEventListener("abort", () => names.forEach((name) => model.off(`change:${name}`, listener)));
}

/** Set values of the model and send them to Python. */
export function assign(model, values) {
  for (const [name, value] of Object.entries(values)) model.set(name, value);
  model.save_changes();
}

/** Change a text, if it is another one: the page is laid out anew after every change. */
export function setText(place, text) {
  if (place.textContent !== text) place.textContent = text;
}

/** Run a function once, at the next repaint, however often it is asked for before. */
export function atNextFrame(paint, signal) {
  let asked = 0;
  signal?.addEventListener("abort", () => cancelAnimationFrame(asked));
  return () => {
    cancelAnimationFrame(asked);
    asked = requestAnimationFrame(paint);
  };
}
