// What a network answers: its probabilities, in percent and as bars.

import { element, setText } from "./elements.js";

const MOST = 12; // classes that get a bar; of more classes, the most probable

/** A probability in percent: never 0 or 100 unless it is. */
export function percent(share) {
  if (share === 0 || share === 1) return `${100 * share} %`;
  if (share < 0.0005) return "< 0.1 %";
  if (share >= 0.9995) return "> 99.9 %";
  return `${(100 * share).toFixed(1)} %`;
}

/** A probability in percent; the element's value is exact. */
export const inPercent = (probability) =>
  element("data", { class: "share", value: probability }, percent(probability));

/** Change what inPercent() made to another probability. */
export function setPercent(data, probability) {
  data.value = probability;
  setText(data, percent(probability));
}

/** The class with the largest probability, as [index, probability]. */
export function answerOf(probabilities) {
  const largest = Math.max(...probabilities);
  return [probabilities.indexOf(largest), largest];
}

/** The classes that get a bar: all in their order; of many, the most probable, and the true one. */
function classesWithBar(number, probabilities, truth) {
  const classes = Array.from({ length: number }, (_, k) => k);
  if (number <= MOST) return classes;
  if (probabilities) classes.sort((a, b) => probabilities[b] - probabilities[a] || a - b);
  const most = classes.slice(0, MOST);
  return truth === null || most.includes(truth) ? most : [...most, truth];
}

/** One bar: the name of a class, the bar, and the probability. */
function barRow() {
  const name = element("span", { class: "name" });
  const note = element("span", { class: "soft" }, " (true)");
  const bar = element("span");
  const share = element("span");
  const number = inPercent(0);
  const root = element("li", {}, element("span", {}, name, note), element("span", { class: "track" }, bar), share);

  function show(words, probability, kind, isTrue, inNumbers) {
    setText(name, words);
    note.hidden = !isTrue;
    root.classList.toggle("true", isTrue);
    bar.className = `bar ${kind}`;
    bar.style.backgroundSize = `${100 * Math.min(probability ?? 0, 1)}% 100%`; // unlike a width, no new layout
    if (!inNumbers) return;
    if (probability === undefined) return number.remove();
    setPercent(number, probability);
    if (!number.parentElement) share.append(number);
  }
  return { root, show };
}

/**
 * A bar for the probability of each class; show(probabilities, answer, truth) marks the answer, and whether it is the
 * true class where that is known. Without probabilities, the bars are empty. The numbers can be left for later: new
 * bars are only painted, new numbers lay out the page anew.
 */
export function probabilityBars(names) {
  const rows = Array.from({ length: Math.min(names.length, MOST + 1) }, barRow);
  const rest = element("li", { class: "rest soft" });
  const root = element(
    "ul",
    { class: "bars", role: "list", "aria-label": "Probability of each class" },
    rows.map((row) => row.root),
    rest,
  );

  function show(probabilities, answer = null, truth = null, inNumbers = true) {
    root.classList.toggle("without-numbers", !inNumbers);
    const classes = classesWithBar(names.length, probabilities, truth);
    rows.forEach((row, place) => {
      const k = classes[place];
      row.root.hidden = k === undefined;
      if (row.root.hidden) return;
      const rightly = truth === null ? "" : k === truth ? "good" : "bad";
      row.show(names[k], probabilities?.[k], k === answer ? `chosen ${rightly}` : "", k === truth, inNumbers);
    });
    rest.hidden = classes.length === names.length;
    setText(rest, `and ${names.length - classes.length} more`);
  }
  return { root, show };
}
