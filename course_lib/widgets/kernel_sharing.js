// Taking the setting along: as Python, and as a link.

import { element } from "./elements.js";
import { writeAddress } from "./kernel_address.js";
import { kerasCode, numpyCode } from "./kernel_code.js";
import { imageNumber } from "./kernel_setting.js";

/** The buttons, and below them what was copied: { buttons, copied, code, show() }. */
export function sharing(view) {
  const { model } = view;
  const code = element("pre", {
    tabindex: 0,
    role: "region",
    "aria-label": "Python code of the present setting",
    hidden: true,
  });
  const copied = element("p", { class: "message", role: "status" });
  const writers = { NumPy: numpyCode, Keras: kerasCode };
  let library = null; // the one whose code is on screen

  const copyButtons = Object.keys(writers).map((name) =>
    element(
      "button",
      {
        type: "button",
        "aria-label": `Copy as Python: ${name}`,
        "aria-pressed": "false",
        onclick() {
          library = name;
          show();
          copy(code.textContent, `Here is the setting in ${name}.`);
        },
      },
      name,
    ),
  );
  const hide = element("button", { type: "button", hidden: true, onclick: hideCode }, "Hide the code");
  const link = element("button", { type: "button", onclick: copyLink }, "Link");
  const words = element("span", { class: "soft" }, "Copy as Python:");
  const attributes = { class: "course-field", role: "group", "aria-label": "Copy as Python" };
  // In Jupyter the address is JupyterLab's own.
  const buttons = [element("span", attributes, words, copyButtons, hide), model.get("has_kernel") ? [] : link].flat();

  async function copy(text, done) {
    try {
      await navigator.clipboard.writeText(text);
      copied.textContent = `${done} It is copied.`;
    } catch {
      copied.textContent = `${done} This browser does not let the widget copy it: mark it and copy it by hand.`;
    }
  }

  function copyLink() {
    writeAddress(model);
    const without = imageNumber(model) < 0 ? " Your own picture is not in it." : "";
    copy(location.href, `The address of this page now holds the setting.${without}`);
  }

  function hideCode() {
    library = null;
    copied.textContent = "";
    show();
    copyButtons[0].focus();
  }

  function show() {
    const before = code.hidden ? null : code.textContent;
    for (const button of copyButtons)
      button.setAttribute("aria-pressed", String(button.textContent === library));
    code.hidden = hide.hidden = !library;
    if (!library) return;
    const { setting, result } = view;
    code.textContent = result.problem ? `# ${result.problem}\n` : writers[library](model.get("image"), setting);
    if (before && before !== code.textContent) copied.textContent = ""; // that was another setting
  }
  return { buttons, copied, code, show };
}
