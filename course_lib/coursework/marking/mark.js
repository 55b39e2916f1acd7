// The page of `course mark`. All that students wrote enters as text, never as HTML.

const token = location.pathname.split("/")[1];
const at = (id) => document.getElementById(id);

let overview; // the parts of the task
let part; // the one on the page
let roster = []; // its answers, in the order of their numbers
let place = 0; // the answer on the page, in the roster
let seen = null; // its mark as the ledger had it
let mark = null; // its mark as the page shows it; null: not marked
let names = null; // who is behind the numbers, where that is switched on
let typing; // the timer that saves a comment
let queue = Promise.resolve(); // one action after the other: a key pressed while an answer opens is meant for that answer

// What this tab wrote, for undo; it outlives a reload.
const written = JSON.parse(sessionStorage.getItem(token) ?? "[]");
const remember = () => sessionStorage.setItem(token, JSON.stringify(written.slice(-500)));

// The server -------------------------------------------------------------------------------------------------

class Gone extends Error {}

async function ask(way, body) {
  const options = body && {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Course-Token": token },
    body: JSON.stringify(body),
    keepalive: true, // what is under way when the tab closes arrives
  };
  let response;
  try {
    response = await fetch(way, { ...options, cache: "no-store" });
  } catch {
    throw new Gone();
  }
  if (response.ok) return response.json();
  throw new Error(await response.text());
}

function say(words, kind = "") {
  at("state").textContent = words;
  at("state").className = kind;
}

function complain(error) {
  const gone = error instanceof Gone;
  const words = gone
    ? "The server does not answer: is `course mark` still running? Started again, it has a new address."
    : `That did not work: ${error.message}.`;
  at("alert").textContent = unsaved() ? `${words} The last change is not saved; it stands on this page only.` : words;
  at("alert").hidden = false;
  say(unsaved() ? "Not saved" : gone ? "No connection" : "", "unsaved");
}

const doing = (action) => (...words) => {
  queue = queue.then(() => action(...words)).catch(complain);
};

// The mark ---------------------------------------------------------------------------------------------------

const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);
const unsaved = () => !same(mark, seen);
const sum = (items) => (items ?? []).reduce((total, item) => total + (part.rubric[item]?.points ?? 0), 0);
const points = (value) => String(Math.round(value * 1000) / 1000);

function decide(change) {
  mark = { items: null, comment: "", ...mark, ...change }; // items: null as long as nothing but a comment is there
  showMark();
  return save();
}

async function save() {
  clearTimeout(typing);
  const { submission } = roster[place];
  while (unsaved()) {
    say("Saving …");
    const wish = { part: part.id, submission, ...mark, seen };
    const answer = await ask("mark", wish);
    seen = roster[place].mark = answer.mark;
    if (!answer.written) {
      mark = seen;
      showMark();
      showProgress();
      return say("Marked in another tab meanwhile: that mark is shown, yours is not saved", "unsaved");
    }
    written.push({ part: part.id, marks: [{ submission, seen }] });
    remember();
    showProgress();
    at("alert").hidden = true;
    say(seen.items ? `Saved: ${points(sum(seen.items))} of ${points(part.points)}` : "Saved: a comment, and no points yet", "saved");
  }
}

function toggle(item) {
  const items = mark?.items ?? [];
  const rest = items.filter((one) => one !== item);
  return decide({ items: rest.length < items.length ? rest : [...items, item].sort((a, b) => a - b) });
}

async function undo() {
  await save();
  const last = written.at(-1);
  if (!last) return say("Nothing to undo");
  const { undone } = await ask("undo", last);
  written.pop();
  remember();
  if (last.part !== part.id) await choose(last.part);
  else await renew();
  const index = roster.findIndex(({ submission }) => submission === last.marks[0].submission);
  if (last.marks.length === 1 && index >= 0) await show(index);
  else await show(place);
  say(undone ? "Undone" : "Not undone: it was marked elsewhere since", undone ? "saved" : "unsaved");
}

async function markUnanswered() {
  await save();
  const { marks } = await ask("unanswered", { part: part.id });
  if (marks.length) {
    written.push({ part: part.id, marks });
    remember();
  }
  await renew();
  await show(place);
  say(`${marks.length} unanswered marked with 0`, "saved");
}

// The comment ------------------------------------------------------------------------------------------------

function type() {
  mark = mark || at("comment").value ? { items: null, ...mark, comment: at("comment").value } : null;
  showPoints();
  if (!unsaved()) return;
  say("Not saved yet");
  clearTimeout(typing);
  typing = setTimeout(doing(save), 800);
}

function pick(words) {
  const before = mark?.comment ?? "";
  if (!before.split("\n").includes(words)) return decide({ comment: before ? `${before}\n${words}` : words });
}

async function keep() {
  const words = at("comment").value.trim();
  if (!words) return say("Write a comment first, then keep it");
  const { comments } = await ask("comment", { part: part.id, words });
  showBank(comments);
  await save();
  say("Kept in the comment bank", "saved");
}

// From answer to answer --------------------------------------------------------------------------------------

async function renew() {
  const { answers, comments } = await ask(`roster/${part.id}`);
  const here = roster[place]?.submission;
  roster = answers;
  place = Math.max(0, roster.findIndex(({ submission }) => submission === here));
  showBank(comments);
  showProgress();
}

async function choose(id) {
  part = overview.parts.find((one) => one.id === id) ?? overview.parts[0];
  at("question").value = part.id;
  for (const pre of document.querySelectorAll("pre")) pre.classList.toggle("prose", part.kind === "text");
  showRubric();
  await renew();
}

async function show(index) {
  const { submission, number } = roster[index];
  const answer = await ask(`answer/${part.id}/${submission}`);
  if (unsaved()) { // what was typed meanwhile
    await save();
    if (roster[place].submission === submission) answer.mark = seen;
  }
  place = index;
  seen = mark = roster[index].mark = answer.mark;
  history.replaceState(null, "", `#${part.id}/${number}`);
  document.title = `${number} · ${part.title} · Marking`;
  at("who").textContent = names ? `${names[submission]} · ${number}` : `Answer ${number}`;
  at("place").textContent = `${index + 1} of ${roster.length}`;
  at("text").textContent = answer.text;
  at("text").hidden = !answer.text;
  at("empty").hidden = answer.answered;
  at("warning").textContent = answer.warning;
  at("warning").hidden = !answer.warning;
  at("asked").textContent = answer.asked;
  at("own").textContent = answer.own && `${answer.own} The model answer speaks of the book's digit.`;
  at("own").hidden = !answer.own;
  at("rubric").querySelectorAll("label").forEach((label, item) => { label.children[2].textContent = answer.rubric[item]; });
  showModel(answer.model, part.pictures);
  at("pictures").replaceChildren(...answer.pictures.map((picture) => figure(submission, picture)));
  at("found").hidden = !answer.found.length;
  at("found").open = answer.found.some((found) => found.part === part.id); // an error says why there is no picture
  at("found").querySelector("dl").replaceChildren(...answer.found.flatMap(finding));
  showMark();
  showProgress();
}

async function go(index) {
  await save();
  if (index < 0 || index >= roster.length) return say(index < 0 ? "This is the first answer" : "This is the last answer");
  await show(index);
  say(mark?.items ? "" : "Not marked yet");
  at("who").focus({ preventScroll: true });
  scrollTo(0, 0);
}

async function goUnmarked() {
  await save();
  await renew(); // others may have marked meanwhile
  const order = roster.map((_, step) => (place + 1 + step) % roster.length);
  const index = order.find((one) => !roster[one].mark?.items);
  if (index === undefined) return say("All answers to this question are marked", "saved");
  await go(index);
}

async function start() {
  overview = await ask("overview");
  at("task").textContent = overview.task.replace("-", " ");
  at("question").replaceChildren(...overview.parts.map(({ id, title, kind }) => new Option(`${title} · ${kind}`, id)));
  const [id, number] = location.hash.slice(1).split("/");
  await open(id, Number(number));
}

async function open(id, number) {
  await choose(id);
  if (!roster.length) {
    at("who").textContent = "No submission is there yet";
    at("judging").hidden = true;
    for (const button of document.querySelectorAll("footer button")) button.disabled = true;
    return;
  }
  const known = roster.findIndex((answer) => answer.number === number);
  await show(known >= 0 ? known : Math.max(0, roster.findIndex((answer) => !answer.mark?.items)));
}

// What is seen -----------------------------------------------------------------------------------------------

function make(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function figure(submission, { part: shown, number }) {
  const words = `Picture ${number + 1}${shown === part.id ? "" : ` of the cell ${shown}`}`;
  const image = make("img", { src: `picture/${shown}/${submission}/${number}`, alt: `${words}, made by the student's code` });
  return make("figure", {}, image, make("figcaption", {}, words));
}

function finding({ part: id, points: reached, words }) {
  const head = make("dt", {}, reached ? `${id}: ${reached}` : id);
  return [make("div", {}, head, ...words.map((one) => make("dd", {}, one)))];
}

function showModel(text, pictures) {
  const alt = "Picture of the model answer";
  at("model").hidden = !text;
  at("model").querySelector("pre").textContent = text;
  at("model").querySelector("div").replaceChildren(...pictures.map((png) => make("img", { src: `data:image/png;base64,${png}`, alt })));
}

function showRubric() {
  const items = part.rubric.map((item, index) => {
    const box = make("input", { type: "checkbox", onchange: doing(() => toggle(index)) });
    const worth = make("span", { className: "worth" }, `+${points(item.points)}`);
    return make("label", {}, box, make("kbd", {}, String(index + 1)), make("span", {}, item.text), worth);
  });
  at("rubric").replaceChildren(...items);
}

function showBank(comments) {
  const items = comments.map((words, index) => {
    const key = make("kbd", {}, index < 9 ? `⇧${index + 1}` : "·");
    return make("li", {}, make("button", { type: "button", onclick: doing(() => pick(words)) }, key, make("span", { dir: "auto" }, words)));
  });
  at("bank").replaceChildren(...items);
}

function showPoints() {
  const [strong, soft] = at("points").children;
  strong.textContent = mark?.items ? points(sum(mark.items)) : "–";
  soft.textContent = mark?.items ? `of ${points(part.points)}` : `of ${points(part.points)}, not marked yet`;
  at("points").classList.toggle("marked", Boolean(mark?.items));
}

function showMark() {
  at("rubric").querySelectorAll("input").forEach((box, item) => { box.checked = Boolean(mark?.items?.includes(item)); });
  if (at("comment").value !== (mark?.comment ?? "")) at("comment").value = mark?.comment ?? "";
  showPoints();
}

function showProgress() {
  const marked = roster.filter(({ mark }) => mark?.items).length;
  const empty = roster.filter(({ mark, answered }) => !mark && !answered).length;
  at("progress").textContent = `${marked} of ${roster.length} marked`;
  at("bar").max = Math.max(1, roster.length);
  at("bar").value = marked;
  at("unanswered").hidden = !empty;
  at("unanswered").lastElementChild.textContent = `Mark ${empty} unanswered 0`;
}

// Keys and buttons -------------------------------------------------------------------------------------------

async function showNames() {
  names = at("names").checked ? await ask("names") : null;
  await save();
  await show(place);
}

function fold(id) {
  at(id).open = !at(id).open;
}

function throughBank(step) {
  const buttons = [...at("bank").querySelectorAll("button")];
  const next = buttons[buttons.indexOf(document.activeElement) + step];
  (next ?? at("comment")).focus();
}

const actions = {
  n: () => go(place + 1),
  ArrowRight: () => go(place + 1),
  p: () => go(place - 1),
  ArrowLeft: () => go(place - 1),
  m: goUnmarked,
  u: undo,
  x: markUnanswered,
  a: () => decide({ items: part.rubric.map((_, item) => item) }),
  0: () => decide({ items: [] }),
  c: () => at("comment").focus(),
  b: () => throughBank(1),
  k: keep,
  q: () => at("question").focus(),
  s: () => fold("model"),
  "?": () => fold("keys"),
};

function actionOf(event) {
  if (event.altKey || event.metaKey || event.ctrlKey) {
    return !event.altKey && !event.shiftKey && event.key === "z" ? undo : undefined;
  }
  const inBank = at("bank").contains(event.target);
  if (inBank && event.key === "ArrowDown") return () => throughBank(1);
  if (inBank && event.key === "ArrowUp") return () => throughBank(-1);
  if (!at("single-keys").checked) return undefined;
  const digit = /^(Digit|Numpad)([1-9])$/.exec(event.code)?.[2];
  if (digit && event.shiftKey) return () => at("bank").querySelectorAll("button")[digit - 1]?.click();
  if (/^[1-9]$/.test(event.key)) return part.rubric[event.key - 1] && (() => toggle(event.key - 1));
  return actions[event.key];
}

addEventListener("keydown", (event) => {
  if (event.target.matches("textarea")) {
    if (event.key === "Escape") at("who").focus({ preventScroll: true });
    return;
  }
  if (event.target.matches("select") || !roster.length || event.repeat && !event.key.startsWith("Arrow")) return;
  const action = actionOf(event);
  if (!action) return;
  event.preventDefault();
  doing(action)();
});

const clicks = { previous: actions.p, next: actions.n, unmarked: goUnmarked, undo, unanswered: markUnanswered, all: actions.a, none: actions[0], keep };
for (const [id, action] of Object.entries(clicks)) at(id).addEventListener("click", doing(action));
at("comment").addEventListener("input", type);
at("comment").addEventListener("change", doing(save));
at("names").addEventListener("change", doing(showNames));
at("question").addEventListener("change", doing(async () => {
  await save();
  await open(at("question").value);
}));

// What other tabs wrote is seen when this one is looked at again; what this one holds is saved when it is left.
document.addEventListener("visibilitychange", doing(async () => {
  if (!roster.length) return;
  await save();
  if (document.visibilityState === "visible") {
    await renew();
    await show(place);
  }
}));
addEventListener("beforeunload", (event) => {
  if (unsaved()) event.preventDefault();
});

doing(start)();
