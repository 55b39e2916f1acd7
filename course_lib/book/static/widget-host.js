// Brings the widgets of a page to life where no Python answers: a host for anywidget's modules (AFM, as of 0.11).
//
// The page holds a place for each widget: a picture, and beside it the state as JSON. The module and the style of
// a widget's class come from widgets/<class>.js, large arrays from widgets/<hash>.js: plain scripts that hand over
// texts, so that all of it works from https, from localhost and from a folder (file://) alike.
"use strict";

(() => {
  const FILES = new URL("widgets/", document.currentScript.src);
  const NO_PYTHON = "no Python answers on a page of the book; it does in Jupyter";

  // Values ---------------------------------------------------------------------------------------------------

  /** Are two values of a state the same? Lists, objects and bytes are compared by what they hold. */
  function same(a, b) {
    if (Object.is(a, b)) return true;
    if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
    if (Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return false;
    if (ArrayBuffer.isView(a)) return sameBytes(a, b);
    const names = Object.keys(a);
    const sameName = (name) => Object.hasOwn(b, name) && same(a[name], b[name]);
    return names.length === Object.keys(b).length && names.every(sameName);
  }

  function sameBytes(a, b) {
    if (a.byteLength !== b.byteLength) return false;
    const [these, those] = [a, b].map((view) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength));
    for (let i = 0; i < these.length; i++) if (these[i] !== those[i]) return false;
    return true;
  }

  /** A state with its binary parts in their places, as DataViews. */
  async function whole({ state, buffers }) {
    for (const { path, data, file } of buffers) {
      if (path.includes("__proto__")) throw new TypeError("a state has no such place");
      const text = atob(data ?? (await fileOf("courseBuffers", file)));
      const view = new DataView(new ArrayBuffer(text.length));
      for (let i = 0; i < text.length; i++) view.setUint8(i, text.charCodeAt(i));
      path.slice(0, -1).reduce((part, name) => part[name], state)[path.at(-1)] = view;
    }
    return state;
  }

  // Files ----------------------------------------------------------------------------------------------------

  /** What widgets/<name>.js hands over in window[shelf][name]; the script is fetched unless the page has it. */
  function fileOf(shelf, name) {
    const found = () => window[shelf]?.[name];
    if (found()) return Promise.resolve(found());
    return new Promise((resolve, reject) => {
      const script = document.createElement("script");
      const address = new URL(`${name}.js`, FILES).href;
      script.onload = () => (found() ? resolve(found()) : reject(new Error(`${address} holds no ${name}`)));
      script.onerror = () => reject(new Error(`${address} could not be read`));
      script.src = address;
      document.head.append(script);
    });
  }

  const definitions = new Map();

  /** The module of a widget class: imported, and its style added, once for a page. */
  function definitionOf(name) {
    if (!definitions.has(name)) definitions.set(name, load(name));
    return definitions.get(name);
  }

  async function load(name) {
    const { esm, css } = await fileOf("courseWidgets", name);
    const address = URL.createObjectURL(new Blob([esm], { type: "text/javascript" }));
    const { default: exported } = await import(address).finally(() => URL.revokeObjectURL(address));
    const definition = typeof exported === "function" ? await exported() : exported;
    if (typeof definition !== "object" || definition === null)
      throw new TypeError(`the module of ${name} must export an object, or a function that returns one`);
    const style = new CSSStyleSheet();
    style.replaceSync(css);
    document.adoptedStyleSheets = [...document.adoptedStyleSheets, style];
    return definition;
  }

  // Models ---------------------------------------------------------------------------------------------------

  let told = false;
  /** Say, once for a page, that a message to Python goes nowhere. */
  function tellOnce() {
    if (!told) console.info(`A widget sent a message, but ${NO_PYTHON}.`);
    told = true;
  }

  /** The state that the views of one widget share, and who listens to it. */
  class Model {
    listeners = [];

    constructor(state) {
      this.state = state;
    }

    set(changes) {
      const changed = Object.keys(changes).filter((name) => !same(this.state[name], changes[name]));
      for (const name of changed) this.state[name] = changes[name];
      for (const name of changed) this.tell(`change:${name}`, changes[name]);
      if (changed.length) this.tell("change");
    }

    /** Call those who listen; one that fails is reported and stops no other. */
    tell(event, ...details) {
      for (const listener of this.listeners.filter((other) => other.event === event)) {
        try {
          listener.callback.call(listener.view, listener.view, ...details);
        } catch (error) {
          reportError(error);
        }
      }
    }

    /** What one view sees of the model. What it listens to is its own: its off() leaves the other views alone. */
    seenByAView() {
      const view = {
        get: (name) => this.state[name],
        set: (name, value) => this.set(typeof name === "object" ? name : { [name]: value }),
        save_changes: () => {},
        send: () => tellOnce(),
        on: (events, callback) => {
          for (const event of events.split(/\s+/)) this.listeners.push({ view, event, callback });
        },
        off: (events = null, callback = null) => {
          const named = events?.split(/\s+/);
          const meant = (each) =>
            each.view === view && (named?.includes(each.event) ?? true) && (callback ?? each.callback) === each.callback;
          this.listeners = this.listeners.filter((each) => !meant(each));
        },
      };
      return view;
    }
  }

  /** What cannot be had without Python is refused in words. */
  const refuse = (what) => Promise.reject(new Error(`${what}: ${NO_PYTHON}`));
  const experimental = {
    invoke(name) {
      tellOnce();
      return refuse(`"${name}" was not called`);
    },
  };
  const host = {
    getModel: (reference) => refuse(`${reference} cannot be reached`),
    getWidget: (reference) => refuse(`${reference} cannot be reached`),
  };

  /** Run initialize or render. When the controller aborts, its listeners go and what it returned is called. */
  async function run(hook, model, controller, more) {
    const view = model.seenByAView();
    controller.signal.addEventListener("abort", () => view.off());
    const made = await hook?.({ model: view, signal: controller.signal, experimental, ...more });
    if (typeof made === "function") controller.signal.addEventListener("abort", () => made());
  }

  const started = new Map();

  /** The definition and the model of a widget: one for all places of the page that hold the same. */
  function start(text) {
    if (!started.has(text)) started.set(text, initialize(JSON.parse(text)));
    return started.get(text);
  }

  async function initialize(widget) {
    const controller = endingWithThePage();
    try {
      const [definition, state] = await Promise.all([definitionOf(widget.widget), whole(widget)]);
      const model = new Model(state);
      await run(definition.initialize, model, controller);
      return { definition, model };
    } catch (error) {
      controller.abort();
      throw error;
    }
  }

  /** A controller that aborts when the reader leaves; not if the browser keeps the page to come back to. */
  function endingWithThePage() {
    const controller = new AbortController();
    const { signal } = controller;
    window.addEventListener("pagehide", ({ persisted }) => persisted || controller.abort(), { signal });
    return controller;
  }

  // Places ---------------------------------------------------------------------------------------------------

  /** Put a living widget beside the picture in its place; the style sheet then shows the one or the other. */
  async function wake(place) {
    if (place.dataset.state) return;
    place.dataset.state = "waking";
    const element = document.createElement("div");
    element.className = "course-widget-live supplemental"; // the second name keeps it out of reader modes
    const controller = endingWithThePage();
    try {
      const { definition, model } = await start(place.querySelector("script").textContent);
      place.append(element);
      await run(definition.render, model, controller, { el: element, host });
      place.dataset.state = "alive";
    } catch (error) {
      controller.abort();
      element.remove();
      place.dataset.state = "failed";
      place.append(apology(error));
      console.error(error);
    }
  }

  /** A sentence that says why there is only a picture. */
  function apology(error) {
    const sentence = document.createElement("p");
    sentence.className = "course-widget-fault";
    sentence.textContent = `This is only a picture: the live widget did not start (${error?.message ?? error}).`;
    return sentence;
  }

  const idle = () => new Promise((resolve) => (window.requestIdleCallback ?? setTimeout)(resolve));
  const places = [...document.querySelectorAll(".course-widget-place")];

  // What the reader sees or is about to see comes first. A folded part of the page wakes when it is opened.
  const near = new IntersectionObserver(
    (entries) => entries.filter((entry) => entry.isIntersecting).forEach(({ target }) => wake(target)),
    { rootMargin: "100% 0px" },
  );
  places.forEach((place) => near.observe(place));

  // The others follow when the page has loaded, but for those that have more to fetch.
  window.addEventListener("load", async () => {
    for (const place of places.filter((each) => !each.hasAttribute("data-fetches"))) {
      await idle();
      if (place.checkVisibility?.() ?? true) await wake(place);
    }
  });
})();
