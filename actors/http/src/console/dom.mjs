// Elements without HTML texts: whatever a model says becomes text nodes.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** An HTML element; attributes and children that are null or false are left out, `onNAME` is a listener. */
export function el(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** An SVG element. */
export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

/** The element with this id; the page has it. */
export function byId(id) {
  return document.getElementById(id);
}

/** Sets a text only where it differs: screen readers and selections stay undisturbed. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** The content of a `<dl class="facts">`, from `[term, text]`. */
export function setFacts(list, facts) {
  facts.forEach(([term, text], at) => {
    const row = list.children[at] ?? list.appendChild(el("div", {}, el("dt"), el("dd")));
    setText(row.children[0], term);
    setText(row.children[1], text);
  });
  while (list.children.length > facts.length) list.lastChild.remove();
}
