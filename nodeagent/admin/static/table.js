// A table that is kept up to date: rows by key, sorted, in pages; only what changed is touched.

import { h, show, setText } from "./dom.js";
import { plural } from "./format.js";

const PAGE = 50;

/**
 * Columns are {title, cell(row, element), sort?(row), kind?, about?}: `cell` returns text or nodes, or nothing when it has
 * itself put what it shows into `element`. `key(row)` names a row, `mark(row)` returns its classes.
 */
export class Table {
  #rows = new Map();
  #shown = [];
  #places = new Map();
  #page = 0;

  constructor(caption, columns, { key, mark = () => "", order = null, down = true, page = PAGE, nothing = "Nothing here." }) {
    Object.assign(this, { columns, key, mark, order, down, nothing, page });
    this.heads = columns.map((column, index) => this.#head(column, index));
    this.body = h("tbody", { role: "rowgroup" });
    this.table = h("table", { role: "table", class: "live" },
      h("caption.unseen", caption),
      h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, this.heads)), this.body);
    this.blank = h("p.empty", { hidden: true });
    this.pages = h("nav.pages", { "aria-label": `Pages of: ${caption}`, hidden: true });
    this.where = h("span");
    this.back = h("button", { type: "button", class: "button", onclick: () => this.#turn(-1) }, "Back");
    this.on = h("button", { type: "button", class: "button", onclick: () => this.#turn(1) }, "Next");
    this.pages.append(this.back, this.where, this.on);
    this.element = h("div.framed", this.table, this.blank, this.pages);
  }

  #head(column, index) {
    const attributes = { role: "columnheader", scope: "col", class: column.kind, title: column.about };
    if (!column.sort) return h("th", attributes, column.title);
    return h("th", attributes, h("button", { type: "button", onclick: () => this.#sort(index) }, column.title));
  }

  #sort(index) {
    this.down = this.order === index ? !this.down : this.columns[index].kind?.includes("number") ?? false;
    this.order = index;
    this.#page = 0;
    this.#draw();
  }

  #turn(by) {
    this.#page += by;
    this.#draw();
    if (document.activeElement?.disabled) (by > 0 ? this.back : this.on).focus();
  }

  show(rows, nothing = this.nothing) {
    this.#shown = rows;
    this.nothing = nothing;
    // Rows do not run away from whoever points at them.
    this.#draw(!this.element.matches(":hover, :focus-within"));
  }

  #sorted(afresh) {
    if (this.order === null) return this.#shown;
    const by = this.columns[this.order].sort;
    const placed = (row) => this.#places.get(this.key(row)) ?? this.#places.size;
    const keyed = this.#shown.map((row) => [afresh ? by(row) : placed(row), row]);
    const rows = keyed.sort(([a], [b]) => compare(a, b) * (afresh && this.down ? -1 : 1)).map(([, row]) => row);
    this.#places = new Map(rows.map((row, index) => [this.key(row), index]));
    return rows;
  }

  #draw(afresh = true) {
    this.heads.forEach((head, index) => {
      if (this.columns[index].sort) head.setAttribute("aria-sort", index !== this.order ? "none" : this.down ? "descending" : "ascending");
    });
    const rows = this.#sorted(afresh);
    const last = Math.max(0, Math.ceil(rows.length / this.page) - 1);
    this.#page = Math.max(0, Math.min(this.#page, last));
    const first = this.#page * this.page;
    const visible = rows.slice(first, first + this.page);
    this.pages.hidden = last === 0;
    setText(this.where, `${first + 1} to ${first + visible.length} of ${plural(rows.length, "row")}`);
    this.back.disabled = this.#page === 0;
    this.on.disabled = this.#page === last;
    this.table.hidden = !visible.length;
    this.blank.hidden = visible.length > 0;
    if (!visible.length) show(this.blank, this.nothing);
    this.#put(visible);
  }

  #put(visible) {
    const kept = new Map();
    let at = this.body.firstChild;
    for (const row of visible) {
      const key = this.key(row);
      const line = this.#rows.get(key) ?? this.#line();
      kept.set(key, line);
      this.#fill(line, row);
      if (line.element === at) at = at.nextSibling;
      else this.body.insertBefore(line.element, at);
    }
    for (const [key, line] of this.#rows) if (!kept.has(key)) line.element.remove();
    this.#rows = kept;
  }

  #line() {
    const cells = this.columns.map((column) => h("td", { role: "cell", class: column.kind, "data-label": column.title }));
    return { cells, texts: [], element: h("tr", { role: "row" }, cells) };
  }

  #fill(line, row) {
    const mark = this.mark(row);
    if (line.element.className !== mark) line.element.className = mark;
    this.columns.forEach((column, index) => {
      const content = column.cell(row, line.cells[index]);
      if (content === undefined) return;
      // What stays the same is left alone, and so is a focus or a selection in it.
      const parts = [content].flat();
      const text = parts.map((part) => part?.outerHTML ?? part).join("");
      if (line.texts[index] === text) return;
      line.texts[index] = text;
      show(line.cells[index], parts);
    });
  }
}

/** A column of numbers. */
export function number(title, cell, sort, about) {
  return { title, cell, sort, about, kind: "number" };
}

/** What narrows a table down: a field for a text, checkboxes and the like; `change` hears of each change. */
export class Tools {
  constructor(placeholder, change, ...others) {
    this.field = h("input", { type: "search", id: "filter", placeholder });
    this.element = h("div.tools", h("label", { for: "filter" }, "Filter"), this.field, others);
    this.element.addEventListener("input", change);
  }

  /** Whether one of these values has what was typed in it. */
  fits(...values) {
    const wanted = this.field.value.trim().toLowerCase();
    return !wanted || values.join(" ").toLowerCase().includes(wanted);
  }
}

/** A checkbox with its label, for `Tools`. */
export function check(text, input = h("input", { type: "checkbox" })) {
  return h("label.check", input, text);
}

function compare(a, b) {
  if (a === b) return 0;
  if (a === null || a === undefined) return -1;
  if (b === null || b === undefined) return 1;
  return a < b ? -1 : 1;
}
