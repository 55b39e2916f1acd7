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

  /** An editor: its elements, what it keeps of a run, and the worker in which the run happens. */
  class Editor {
    worker = null;
    clock = 0;
    results = [];

    constructor({ question, asked, starter, needs, bytes }) {
      Object.assign(this, { question, asked, starter, needs, bytes });
      this.field = make("textarea", {
        id: this.id("field"), wrap: "off", spellcheck: "false", autocapitalize: "off", autocomplete: "off",
        autocorrect: "off", "aria-describedby": this.id("keys"), oninput: () => this.changed(),
      });
      this.numbers = make("pre", { class: "own-code-numbers", "aria-hidden": "true" });
      this.note = make("p", { class: "own-code-note" });
      this.runButton = make("button", { type: "button", class: "own-code-run", onclick: () => this.run() }, "Run");
      this.stopButton = make("button", { type: "button", onclick: () => this.end("Stopped.") }, "Stop");
      this.again = make("button", { type: "button", onclick: () => this.startOver() }, "Start over");
      this.bar = make("progress", { max: bytes, value: 0, "aria-label": "Python loaded" });
      this.status = make("p", { class: "own-code-status", role: "status" });
      this.printed = make("pre", { class: "own-code-printed", tabindex: "0", role: "region",
        "aria-label": "What your code printed" });
      this.checks = make("ul", { class: "own-code-checks", "aria-label": "Public checks" });
      this.field.value = kept.read(question) || starter;
      this.printed.hidden = true;
      keys(this.field, () => this.run());
      this.changed();
      this.sayWhatIsNeeded();
      this.working(false);
    }

    /** An id that no other editor of the page has. */
    id(name) {
      return `own-code-${this.question.replace(".", "-")}-${name}`;
    }

    /** Its elements, as they stand one below the other. */
    elements() {
      return [
        make("label", { for: this.field.id }, `Your code for ${this.question}`),
        make("div", { class: "own-code-paper" }, this.numbers, this.field),
        this.note,
        make("p", { id: this.id("keys"), class: "own-code-keys" },
          "Ctrl+Enter runs. Tab indents; to leave the field, press Escape, then Tab."),
        make("div", { class: "own-code-buttons" }, this.runButton, this.stopButton, this.again),
        this.bar, this.status, this.printed, this.checks,
        make("p", { class: "own-code-keys" }, "Your code stays in this browser. Python by Pyodide (",
          make("a", { href: new URL("pyodide-licence.txt", HERE) }, "licences"), ")."),
      ];
    }

    /** Keep the code, and let the field and its line numbers have as many lines as it. */
    changed() {
      const lines = this.field.value.split("\n").length;
      this.field.rows = Math.max(lines + 1, 8); // one more, where the bar to scroll sideways may lie
      this.numbers.textContent = Array.from({ length: lines }, (_, line) => line + 1).join("\n");
      kept.write(this.question, this.field.value);
    }

    startOver() {
      if (!confirm("Put the first lines back? Your code is then gone.")) return;
      this.field.value = this.starter;
      this.changed();
      this.field.focus();
    }

    /** The code from the question that this one needs, as it last passed its checks. */
    earlier() {
      return this.needs && kept.read(`${this.needs}-passed`);
    }

    /** Say which convolution the layer will call. */
    sayWhatIsNeeded() {
      this.note.hidden = !this.needs;
      this.note.textContent = this.earlier()
        ? `convolution(X, K) is here: yours from ${this.needs}, as it last passed its checks.`
        : `Your convolution(X, K) has not yet passed its checks in ${this.needs} in this browser. ` +
          "Write it there first, or paste it above the layer.";
    }

    /** Let a run be stopped while there is one, and begun while there is none; the focus goes along. */
    working(yes) {
      const [dead, alive] = yes ? [this.runButton, this.stopButton] : [this.stopButton, this.runButton];
      const focused = document.activeElement === dead;
      dead.disabled = true;
      alive.disabled = false;
      if (focused) alive.focus();
    }

    /** Begin a worker, which begins to load Python. */
    start() {
      this.status.textContent = "Loading Python …";
      this.bar.value = 0;
      this.bar.hidden = false;
      const worker = new Worker(new URL("own-code-worker.js", HERE), { type: "module" });
      // What an ended worker has yet to say is no longer heard.
      const hear = (data) => worker === this.worker && heard[data?.kind]?.(this, data);
      worker.onmessage = ({ data }) => hear(data);
      worker.onerror = ({ message }) => hear({ kind: "failed", message: message || "a file of it is missing" });
      this.worker = worker;
    }

    /** End the worker, and whatever runs in it. The next run begins another one. */
    end(words) {
      clearTimeout(this.clock);
      this.worker?.terminate();
      this.worker = null;
      this.bar.hidden = true;
      this.status.textContent = words;
      this.working(false);
    }

    run() {
      if (this.runButton.disabled) return;
      this.working(true);
      this.results = [];
      this.printed.replaceChildren();
      this.printed.hidden = true;
      this.checks.replaceChildren();
      this.sayWhatIsNeeded();
      if (!this.worker) this.start();
      this.code = this.field.value;
      this.worker.postMessage({ asked: this.asked, code: this.code, earlier: this.earlier() });
    }

    /** Say how many checks pass, and keep code that passes all. */
    judge() {
      const passed = this.results.filter((result) => result.passed).length;
      const all = passed === this.results.length;
      if (all) kept.write(`${this.question}-passed`, this.code);
      this.status.textContent = all
        ? `All ${passed} public checks pass.`
        : this.results.length > 1
          ? `${passed} of ${this.results.length} public checks pass.`
          : this.results[0].text;
    }
  }

  /** What an editor does with each kind of message from its worker. */
  const heard = {
    loading(editor, { loaded }) {
      editor.bar.value = loaded;
      if (loaded >= editor.bytes) editor.status.textContent = "Starting Python …";
    },
    ready(editor) {
      editor.bar.hidden = true;
      editor.status.textContent = "Python is ready.";
    },
    started(editor) {
      const words = `Stopped after ${SECONDS} seconds. Is there a loop that does not end?`;
      editor.status.textContent = "Running …";
      editor.clock = setTimeout(() => editor.end(words), SECONDS * 1000);
    },
    printed(editor, { text }) {
      editor.printed.hidden = false;
      editor.printed.append(text);
    },
    checked(editor, { result }) {
      editor.results.push(result);
      editor.checks.append(line(result));
    },
    done(editor) {
      clearTimeout(editor.clock);
      editor.working(false);
      editor.judge();
    },
    failed(editor, { message }) {
      editor.end(`Python does not run here (${message}). Press Run to try again.`);
    },
  };

  /** Turn the place into an editor and begin to load Python. */
  function open(place) {
    const editor = new Editor(place.dataset);
    place.replaceChildren(...editor.elements());
    editor.field.focus();
    editor.start();
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
