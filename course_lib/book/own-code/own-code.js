// Run your own code here: a button that becomes an editor, whose Python runs in this browser. Nothing is loaded
// before the click, and nothing from another host after it.

(() => {
  const HERE = document.currentScript.src;
  const SECONDS = 10; // that a run may take
  const INDENT = "    ";

  /** Make an element; names that begin with "on" are listeners, texts are never read as HTML. */
  function make(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else made.setAttribute(name, value);
    }
    made.append(...children);
    return made;
  }

  /** What this browser keeps: the reader's code, and the code that last passed its checks. */
  const kept = {
    read(name) {
      try {
        return localStorage.getItem(`course-own-code-${name}`) ?? "";
      } catch {
        return ""; // a browser may refuse to keep anything
      }
    },
    write(name, text) {
      try {
        localStorage.setItem(`course-own-code-${name}`, text);
      } catch {
        // then the code lives as long as the page
      }
    },
  };

  // Typing ----------------------------------------------------------------------------------------------------

  /** Replace the selection, so that the browser can undo it. */
  function type(field, text) {
    const done = document.execCommand(text ? "insertText" : "delete", false, text);
    if (done) return;
    field.setRangeText(text, field.selectionStart, field.selectionEnd, "end");
    field.dispatchEvent(new Event("input"));
  }

  /** Move the lines of the selection by one indent: to the right, or back to the left. */
  function move(field, right) {
    const { selectionStart: from, selectionEnd: to, value } = field;
    const start = value.lastIndexOf("\n", from - 1) + 1;
    const lines = value.slice(start, to).split("\n");
    const moved = lines.map((line) => (right ? INDENT + line : line.replace(/^ {1,4}/, ""))).join("\n");
    if (moved === lines.join("\n")) return;
    field.setSelectionRange(start, to);
    type(field, moved);
    if (lines.length > 1) field.setSelectionRange(start, start + moved.length);
  }

  /** Keys of an editor. Escape gives the next Tab back to the browser, so that nobody is caught. */
  function keys(field, run) {
    let leaving = false;
    field.addEventListener("focus", () => (leaving = false));
    field.addEventListener("keydown", (event) => {
      if (event.isComposing || event.altKey) return;
      const tab = event.key === "Tab" && !leaving;
      if (event.key !== "Shift" && event.key !== "Tab") leaving = event.key === "Escape";
      const { selectionStart: from, selectionEnd: to, value } = field;
      const before = value.slice(value.lastIndexOf("\n", from - 1) + 1, from);
      if ((event.ctrlKey || event.metaKey) && event.key === "Enter") {
        event.preventDefault();
        run();
      } else if (event.ctrlKey || event.metaKey) {
        // the browser's own
      } else if (tab && (event.shiftKey || value.slice(from, to).includes("\n"))) {
        event.preventDefault();
        move(field, !event.shiftKey);
      } else if (tab) {
        event.preventDefault();
        type(field, INDENT);
      } else if (event.key === "Enter") {
        event.preventDefault();
        type(field, `\n${/^ */.exec(before)[0]}${before.trimEnd().endsWith(":") ? INDENT : ""}`);
      } else if (event.key === "Backspace" && from === to && /^( {4})+$/.test(before)) {
        event.preventDefault();
        move(field, false);
      }
    });
  }

  // The editor ------------------------------------------------------------------------------------------------

  /** Turn the place into an editor and begin to load Python. */
  function open(place) {
    const { question, starter, needs, bytes } = place.dataset;
    const id = (name) => `own-code-${question.replace(".", "-")}-${name}`;
    let worker = null;
    let clock = 0;
    let results = [];

    const field = make("textarea", {
      id: id("field"), wrap: "off", spellcheck: "false", autocapitalize: "off", autocomplete: "off",
      autocorrect: "off", "aria-describedby": id("keys"), oninput: changed,
    });
    const numbers = make("pre", { class: "own-code-numbers", "aria-hidden": "true" });
    const status = make("p", { class: "own-code-status", role: "status" });
    const bar = make("progress", { max: bytes, value: 0, "aria-label": "Python loaded" });
    const note = make("p", { class: "own-code-note" });
    const printed = make("pre", { class: "own-code-printed", tabindex: "0", role: "region",
      "aria-label": "What your code printed" });
    const checks = make("ul", { class: "own-code-checks", "aria-label": "Public checks" });
    const runButton = make("button", { type: "button", class: "own-code-run", onclick: run }, "Run");
    const stopButton = make("button", { type: "button", onclick: () => end("Stopped.") }, "Stop");
    const again = make("button", { type: "button", onclick: startOver }, "Start over");

    /** Keep the code, and let the field and its line numbers have as many lines as it. */
    function changed() {
      const lines = field.value.split("\n").length;
      field.rows = Math.max(lines + 1, 8); // one more, where the bar to scroll sideways may lie
      numbers.textContent = Array.from({ length: lines }, (_, line) => line + 1).join("\n");
      kept.write(question, field.value);
    }

    function startOver() {
      if (!confirm("Put the first lines back? Your code is then gone.")) return;
      field.value = starter;
      changed();
      field.focus();
    }

    /** Say which convolution the layer will call. */
    function sayWhatIsNeeded() {
      note.hidden = !needs;
      note.textContent = kept.read(`${needs}-passed`)
        ? `convolution(X, K) is here: yours from ${needs}, as it last passed its checks.`
        : `Your convolution(X, K) has not yet passed its checks in ${needs} in this browser. ` +
          "Write it there first, or paste it above the layer.";
    }

    function working(yes) {
      runButton.disabled = yes;
      stopButton.disabled = !yes;
    }

    /** Begin a worker, which begins to load Python. */
    function start() {
      status.textContent = "Loading Python …";
      bar.value = 0;
      bar.hidden = false;
      worker = new Worker(new URL("own-code-worker.js", HERE), { type: "module" });
      const own = worker; // what an ended one has yet to say is no longer heard
      worker.onmessage = ({ data }) => own === worker && heard[data?.kind]?.(data);
      worker.onerror = ({ message }) => {
        if (own === worker) heard.failed({ message: message || "a file of it is missing" });
      };
    }

    /** End the worker, and whatever runs in it. The next run begins another one. */
    function end(words) {
      clearTimeout(clock);
      worker?.terminate();
      worker = null;
      bar.hidden = true;
      status.textContent = words;
      giveFocusBack();
    }

    /** A button that is disabled loses the focus; the one beside it takes it. */
    function giveFocusBack() {
      const lost = document.activeElement === stopButton;
      working(false);
      if (lost) runButton.focus();
    }

    function run() {
      if (runButton.disabled) return;
      const focused = document.activeElement === runButton;
      working(true);
      if (focused) stopButton.focus();
      results = [];
      printed.replaceChildren();
      printed.hidden = true;
      checks.replaceChildren();
      sayWhatIsNeeded();
      if (!worker) start();
      worker.postMessage({ question, code: field.value, earlier: needs && kept.read(`${needs}-passed`) });
      worker.code = field.value;
    }

    const heard = {
      loading({ loaded }) {
        bar.value = loaded;
        if (loaded >= bytes) status.textContent = "Starting Python …";
      },
      ready() {
        bar.hidden = true;
        status.textContent = "Python is ready.";
      },
      started() {
        status.textContent = "Running …";
        clock = setTimeout(() => {
          end(`Stopped after ${SECONDS} seconds. Is there a loop that does not end?`);
        }, SECONDS * 1000);
      },
      printed({ text }) {
        printed.hidden = false;
        printed.append(text);
      },
      checked({ result }) {
        results.push(result);
        checks.append(line(result));
      },
      done() {
        clearTimeout(clock);
        giveFocusBack();
        const passed = results.filter((result) => result.passed).length;
        const all = passed === results.length;
        if (all) kept.write(`${question}-passed`, worker.code);
        status.textContent = all
          ? `All ${passed} public checks pass.`
          : results.length > 1
            ? `${passed} of ${results.length} public checks pass.`
            : results[0].text;
      },
      failed({ message }) {
        end(`Python does not run here (${message}). Press Run to try again.`);
      },
    };

    field.value = kept.read(question) || starter;
    place.replaceChildren(
      make("label", { for: id("field") }, `Your code for ${question}`),
      make("div", { class: "own-code-paper" }, numbers, field),
      note,
      make("p", { id: id("keys"), class: "own-code-keys" },
        "Ctrl+Enter runs. Tab indents; to leave the field, press Escape, then Tab."),
      make("div", { class: "own-code-buttons" }, runButton, stopButton, again),
      bar, status, printed, checks,
      make("p", { class: "own-code-keys" }, "Your code stays in this browser. Python by Pyodide (",
        make("a", { href: new URL("pyodide-licence.txt", HERE) }, "licences"), ")."),
    );
    printed.hidden = true;
    keys(field, run);
    changed();
    sayWhatIsNeeded();
    working(false);
    field.focus();
    start();
  }

  /** One check in words, its hint, and the traceback where there is one. */
  function line({ passed, text, hint, traceback }) {
    return make("li", { class: passed ? "own-code-right" : "own-code-wrong" },
      make("span", { class: "own-code-mark" }, passed ? "Right: " : "Not yet: "), text,
      ...(traceback ? [make("pre", {}, traceback)] : []),
      ...(hint ? [make("p", { class: "own-code-hint" }, hint)] : []));
  }

  for (const place of document.querySelectorAll(".own-code-place")) {
    if (location.protocol === "file:") {
      place.append(make("p", {}, "A page that was opened as a file may not load Python. Serve the book with ",
        make("code", {}, "python -m http.server --directory _build/html"),
        " and open ", make("code", {}, "http://localhost:8000"), "."));
    } else {
      place.append(make("button", { type: "button", class: "own-code-run", onclick: () => open(place) },
        `Open the editor (loads Python, about ${place.dataset.size})`));
    }
  }
})();
