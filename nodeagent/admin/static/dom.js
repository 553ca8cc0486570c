// Elements. Whatever is shown becomes text: no string becomes markup in here.

const SVG = "http://www.w3.org/2000/svg";

/**
 * Make an element: `h("p.warn", {id: "x"}, "text", child)`. Of the attributes, which may be left out, `on...` are listeners,
 * and true and false set and leave out; children are nodes or text.
 */
export function h(tag, ...rest) {
  const [name, ...classes] = tag.split(".");
  return filled(document.createElement(name), classes, rest);
}

/** Make an SVG element in the same way. */
export function svg(tag, ...rest) {
  const [name, ...classes] = tag.split(".");
  return filled(document.createElementNS(SVG, name), classes, rest);
}

function filled(element, classes, rest) {
  const attributes = rest[0]?.constructor === Object ? rest.shift() : {};
  element.classList.add(...classes);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, to] of Object.entries(value)) element.style.setProperty(key, to);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...shown(rest));
  return element;
}

function shown(nodes) {
  return nodes.flat(Infinity).filter((node) => node !== null && node !== undefined && node !== false);
}

/** Put `nodes` in the place of what is in `parent`. */
export function show(parent, ...nodes) {
  parent.replaceChildren(...shown(nodes));
}

/** Set a text where it is another one: what stays the same must not be read out again. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Make something of `value` again only when that has changed; `make` returns nodes. */
export function shower(parent, make) {
  let last;
  return (value) => {
    const now = JSON.stringify(value);
    if (now === last) return;
    last = now;
    show(parent, make(value));
  };
}

/** A section with its heading; `label` names it. */
export function section(title, ...children) {
  const id = `s${++section.count}`;
  return h("section", { "aria-labelledby": id }, h("h2", { id }, title), children);
}
section.count = 0;

/** What is said where there is nothing to show. */
export function empty(...children) {
  return h("p.empty", children);
}

export function code(text) {
  return h("code", text);
}

export function chip(kind, text, title) {
  return h("span", { class: `chip ${kind}`, title }, text);
}

/** A button that copies `text`. */
export function copyable(text, what) {
  const button = h("button.copy", { type: "button", "aria-label": `Copy the ${what}` }, "Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Select it";
    }
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
  return h("span.copyable", h("code", text), button);
}
