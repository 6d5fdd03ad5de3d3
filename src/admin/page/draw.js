// Elements as values, and putting them on the page so that what stays keeps its focus and scroll.

const SVG = "http://www.w3.org/2000/svg";

export const h = (tag, props, ...kids) => ({
  tag,
  props: props || {},
  kids: kids.flat(Infinity).filter((kid) => kid !== null && kid !== undefined && kid !== false && kid !== ""),
});

/** Makes the children of an element those that are given, changing as little as it can. */
export function patch(parent, kids) {
  const keyed = new Map();
  for (const node of parent.childNodes) if (node.$key !== undefined) keyed.set(node.$key, node);
  kids.forEach((kid, index) => {
    const here = parent.childNodes[index];
    const node = found(here, kid, keyed) || made(parent, kid);
    if (node !== here) parent.insertBefore(node, here || null);
    typeof kid === "object" ? update(node, kid) : says(node, String(kid));
  });
  while (parent.childNodes.length > kids.length) parent.lastChild.remove();
}

function found(here, kid, keyed) {
  if (typeof kid !== "object") return here && here.nodeType === 3 ? here : null;
  if (kid.props.key !== undefined) return keyed.get(kid.props.key);
  return here && here.$key === undefined && here.localName === kid.tag ? here : null;
}

function made(parent, kid) {
  if (typeof kid !== "object") return document.createTextNode("");
  const isSvg = kid.tag === "svg" || (parent.namespaceURI === SVG && parent.localName !== "foreignObject");
  const node = isSvg ? document.createElementNS(SVG, kid.tag) : document.createElement(kid.tag);
  node.$key = kid.props.key;
  return node;
}

function says(node, text) {
  if (node.data !== text) node.data = text;
}

function update(node, kid) {
  const before = node.$props || {};
  for (const name in before) if (!(name in kid.props)) set(node, name, null);
  for (const name in kid.props) if (name !== "key") set(node, name, kid.props[name], before[name]);
  node.$props = kid.props;
  patch(node, kid.kids);
}

function set(node, name, value, before) {
  if (name.startsWith("on")) node[name] = value;
  else if (name === "vars") for (const key in value || {}) node.style.setProperty(key, value[key]);
  else if (value === before) return;
  else if (value === null || value === undefined || value === false) node.removeAttribute(name);
  else node.setAttribute(name, value === true ? "" : value);
}

/** `18 204`, with thin spaces; nothing is rounded. */
export const count = (number) => String(Math.round(number)).replace(/\B(?=(\d{3})+$)/g, "\u202f");

/** `18.2 k`: for where there is little room. */
export function short(number) {
  if (number < 9999.5) return number > 0 && number < 9.95 && number % 1 ? number.toFixed(1) : count(number);
  for (const [size, unit] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]])
    if (number >= size * 0.9995) return `${(number / size).toPrecision(3)} ${unit}`;
  return count(number);
}

export function bytes(number) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (number >= 1024 && unit < 4) [number, unit] = [number / 1024, unit + 1];
  return `${unit === 0 ? Math.round(number) : number.toFixed(number < 10 ? 1 : 0)} ${units[unit]}`;
}

/** `42 s`, `3 min`, `2 h`, `5 d`. */
export function age(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 120) return `${s} s`;
  if (s < 7200) return `${Math.floor(s / 60)} min`;
  return s < 172800 ? `${Math.floor(s / 3600)} h` : `${count(Math.floor(s / 86400))} d`;
}

export function seconds(value) {
  if (value < 0.001) return `${Math.round(value * 1e6)} µs`;
  return value < 1 ? `${(value * 1000).toPrecision(value < 0.01 ? 2 : 3)} ms` : `${value.toPrecision(3)} s`;
}

const two = (number) => String(number).padStart(2, "0");

export function clock(unixMs) {
  const at = new Date(unixMs);
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

export function moment(unixMs) {
  const at = new Date(unixMs);
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${clock(unixMs)}`;
}

export const plural = (number, one, many) => `${count(number)} ${number === 1 ? one : many || `${one}s`}`;
