// Predict first: the explorer hides a pixel of the feature map, asks for its number, and says how far off it is.

import { element, labelled, say } from "./elements.js";
import { notANumber, placeInWords, readNumber } from "./kernel_numbers.js";
import { productsAt } from "./kernel_setting.js";

/** The question: { root, button, show() }. While it is open, view.hidden is the place that it asks for. */
export function prediction(view) {
  let place = null; // the one that is asked for, answered or not
  const guess = element("input", { type: "text", inputmode: "decimal", class: "bias" });
  const asked = element("p", { class: "name" });
  const verdict = element("p", { role: "status" });
  const button = element(
    "button",
    { type: "button", "aria-pressed": "false", onclick: () => (place ? end() : ask()) },
    "Predict first",
  );
  const another = element("button", { type: "button", onclick: () => ask() }, "Another pixel");
  const onsubmit = (event) => {
    event.preventDefault();
    judge();
  };
  const compare = element("button", { type: "submit" }, "Compare");
  const root = element(
    "form",
    { class: "question", hidden: true, onsubmit },
    asked,
    element("div", { class: "course-row" }, labelled("your answer", guess), compare, another),
    verdict,
  );

  /** Hide a pixel, one where something can be computed if there is one, and ask for its number. */
  function ask() {
    const { setting, result } = view;
    if (!result.featureMap) return view.tell(result.problem, true);
    view.tell("");
    const draw = () => result.size.map((side) => Math.floor(Math.random() * side));
    place = draw();
    const isDull = () => productsAt(setting, result, place).every(({ product }) => product === 0);
    for (let tries = 0; tries < 200 && isDull(); tries++) place = draw();
    Object.assign(view, { place, hidden: place, pointedAt: "feature map" });
    guess.value = verdict.textContent = "";
    view.refresh();
    root.hidden = false;
    guess.focus();
  }

  function end() {
    place = view.hidden = null;
    root.hidden = true;
    view.refresh();
  }

  function judge() {
    const { featureMap, size } = view.result;
    const value = readNumber(guess.value);
    if (Number.isNaN(value)) return void (verdict.textContent = notANumber(guess.value, "Your answer"));
    const right = featureMap.data[place[0] * size[1] + place[1]];
    const off = value - right;
    const offBy = `${say(Math.abs(off), 3)} too ${off > 0 ? "high" : "low"}`;
    verdict.textContent =
      Math.abs(off) <= 0.005 * Math.max(1, Math.abs(right))
        ? `Right: it is ${say(right, 3)}.`
        : `You said ${say(value, 3)}. It is ${say(right, 3)}: your answer is ${offBy}.`;
    Object.assign(view, { place, hidden: null, pointedAt: "feature map" });
    view.refresh();
  }

  function show() {
    const [rows, columns] = view.result.size;
    if (place && (place[0] >= rows || place[1] >= columns)) {
      view.tell(`The question is closed: ${placeInWords(place)} of the feature map is gone.`);
      end();
    }
    button.setAttribute("aria-pressed", String(Boolean(place)));
    if (!place) return;
    asked.textContent = `Which number stands in the feature map at ${placeInWords(place)}, bias included?`;
  }
  return { root, button, show };
}
