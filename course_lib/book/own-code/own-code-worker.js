// A reader's Python, in a worker: the page stays alive whatever the code does, and can end it.

import { loadPyodide } from "./pyodide/pyodide.mjs";

const BASE = new URL("pyodide/", self.location.href).href;
const FILES = ["pyodide.asm.wasm", "python_stdlib.zip", "pyodide-lock.json"];
const CHECKS = [
  ["public_checks.py", "public_checks.py"],
  ["judgement.py", "course_lib/questions/judgement.py"],
];
const MOST_PRINTED = 20000; // characters of one run
const fetchFile = self.fetch.bind(self);

let loaded = 0;
let printed = 0;

/** Send the page a message. */
const tell = (kind, data = {}) => self.postMessage({ kind, ...data });

/** Fetch a file of Pyodide's whole, and tell the page how many bytes have come. */
async function fetched(name) {
  const response = await fetchFile(BASE + name);
  if (!response.ok) throw new Error(`${name}: ${response.status}`);
  const counter = new TransformStream({
    transform(chunk, stream) {
      loaded += chunk.length;
      tell("loading", { loaded });
      stream.enqueue(chunk);
    },
  });
  const blob = await new Response(response.body.pipeThrough(counter)).blob();
  const type = name.endsWith(".wasm") ? "application/wasm" : "application/octet-stream";
  return new Response(blob, { headers: { "content-type": type } });
}

/** Pass on what the code prints, up to a limit: an endless loop can print without end. */
function print(line) {
  if (printed > MOST_PRINTED) return;
  const text = `${line}\n`.slice(0, MOST_PRINTED - printed);
  printed += line.length + 1;
  tell("printed", { text: printed > MOST_PRINTED ? `${text}\n… (the rest is left out)\n` : text });
}

/** Load Python and the checks; from then on nothing more is fetched. */
async function load() {
  const all = FILES.map(async (name) => [BASE + name, await fetched(name)]);
  const files = Object.fromEntries(await Promise.all(all));
  const checks = await Promise.all(CHECKS.map(async ([name, place]) =>
    [place, await (await fetchFile(new URL(name, self.location.href))).text()]));
  self.fetch = async (address) => files[new URL(address, BASE).href];
  const python = await loadPyodide({ indexURL: BASE, packageBaseUrl: BASE });
  for (const name of ["fetch", "XMLHttpRequest", "WebSocket", "EventSource", "close"]) self[name] = undefined;
  python.FS.mkdirTree("course_lib/questions");
  for (const [place, text] of checks) python.FS.writeFile(place, text);
  python.setStdout({ batched: print });
  python.setStderr({ batched: print });
  const { run } = python.pyimport("public_checks");
  tell("ready");
  return run;
}

const python = load();

self.onmessage = async ({ data: { asked, code, earlier } }) => {
  try {
    const run = await python;
    printed = 0;
    tell("started");
    run(asked, code, earlier, (result) => tell("checked", { result: JSON.parse(result) }));
    tell("done");
  } catch (error) {
    tell("failed", { message: error.message });
  }
};
python.catch((error) => tell("failed", { message: error.message }));
