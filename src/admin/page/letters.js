// Dead letters: found, read, put back, removed.

import { age, bytes, count, h, moment, patch, plural } from "./draw.js";
import { ask } from "./feed.js";
import { empty, section } from "./parts.js";

const FIELDS = [
  ["stream", "stream"], ["destination", "destination"], ["class", "class"],
  ["code", "code"], ["key", "partition key"], ["id", "id"],
];
const LOOK_EVERY_MS = 5_000;

const room = { filter: {}, found: null, fault: null, at: 0, busy: false, sure: null };

/** What came of an order: said aloud and shown. */
let say = () => {};
let redraw = () => {};

export function begin(saying, drawing) {
  [say, redraw] = [saying, drawing];
}

/** Asks for the letters again, if it is time or the question changed. */
export async function look(isDue = false) {
  if (room.busy || (!isDue && Date.now() - room.at < LOOK_EVERY_MS)) return;
  Object.assign(room, { busy: true, at: Date.now() });
  const asked = JSON.stringify(room.filter);
  try {
    const { body } = await ask(`/dead?${new URLSearchParams(room.filter)}`);
    Object.assign(room, { found: body, fault: null });
  } catch (error) {
    room.fault = error.message;
  }
  room.busy = false;
  redraw();
  if (asked !== JSON.stringify(room.filter)) look(true);
}

export function letters(state) {
  const mayOrder = state.access === "orders";
  const rows = room.found?.letters || [];
  const isFiltered = Object.keys(room.filter).length > 0;
  const isAny = rows.length > 0 || isFiltered;
  return section("Dead letters", "records that no destination will ever take",
    isAny && h("form", { class: "filter", role: "search", "aria-label": "Find dead letters", onsubmit: (event) => (event.preventDefault(), look(true)) },
      FIELDS.map(([name, label]) => h("label", { key: name }, h("span", {}, label),
        h("input", { type: "text", name, autocomplete: "off", spellcheck: "false", oninput: (event) => narrow(name, event.target.value) })))),
    isAny && rows.length > 0 && h("div", { class: "actions" },
      h("p", {}, `${room.found.more ? `the newest ${count(rows.length)}` : plural(rows.length, "letter")}${isFiltered ? " that fit" : ""}${room.found.is_complete ? "" : "; older ones were not looked through"}`),
      mayOrder
        ? [orderButton("replay", room.filter, isFiltered ? "Replay these" : "Replay all"), isFiltered && orderButton("purge", { ...room.filter, until_unix_ms: rows[0].died_unix_ms + 1 }, "Remove these")]
        : locked()),
    room.fault ? h("p", { class: "empty bad" }, room.fault)
      : !room.found ? h("p", { class: "empty" }, "Looking…")
        : rows.length ? h("ul", { class: "letters" }, rows.map(row))
          : isFiltered ? empty("None fits", "No dead letter is like that.")
            : empty("No dead letters", "Every record was delivered, or still waits its turn."));
}

const locked = () => h("p", { class: "hint" }, "Read only: an operator's key is needed to replay.");

let typing;
function narrow(name, value) {
  const filter = { ...room.filter, [name]: value.trim() };
  if (!filter[name]) delete filter[name];
  Object.assign(room, { filter, sure: null });
  clearTimeout(typing);
  typing = setTimeout(() => look(true), 250);
}

function row(letter, index) {
  const died = age((Date.now() - letter.died_unix_ms) / 1000);
  return h("li", { key: `${letter.id} ${letter.died_unix_ms} ${letter.id ? "" : index}` },
    h("button", { type: "button", class: "letter", onclick: () => open(letter), "aria-haspopup": "dialog" },
      h("span", { class: "when" }, `${died} ago`),
      h("span", { class: "route" }, `${letter.stream} → ${letter.destination}`),
      h("span", { class: "tag dead" }, letter.code || letter.class),
      h("span", { class: "words" }, letter.message),
      h("code", { class: "excerpt" }, excerpt(letter))));
}

function excerpt(letter) {
  if (letter.text !== undefined) return letter.text.replace(/\s+/g, " ") + (letter.is_whole ? "" : "…");
  return letter.base64 === undefined ? `${bytes(letter.bytes)}, payload withheld` : `${bytes(letter.bytes)} that are no text`;
}

/** A button that asks once more before it removes something. */
function orderButton(what, order, words, then = () => {}) {
  const name = `${what} ${JSON.stringify(order)}`;
  const isSure = what === "replay" || room.sure === name;
  const press = async () => {
    room.sure = isSure ? null : name;
    if (!isSure) return redraw();
    await carryOut(what, order);
    then();
  };
  return h("button", { type: "button", key: name, class: what === "purge" ? "danger" : "main", onclick: press }, isSure && what === "purge" ? `${words}: for good?` : words);
}

async function carryOut(what, order) {
  try {
    const { body } = await ask(`/dead/${what}`, order);
    if (what === "purge") say(`${plural(body.letters, "dead letter")} removed${body.in_use ? "; some are just being written and stay" : ""}.`);
    else say(`${plural(body.records, "dead letter is", "dead letters are")} back in ${body.records === 1 ? "its queue" : "their queues"}${body.left ? `; ${count(body.left)} cannot be put back and stay` : ""}.`);
    for (const words of body.notes || []) say(words);
  } catch (error) {
    say(error.message, true);
  }
  await look(true);
}

const dialog = () => document.getElementById("letter");

async function open(letter) {
  show(letter);
  dialog().showModal();
  if (!letter.id) return;
  try {
    const { body } = await ask(`/dead?${new URLSearchParams({ id: letter.id, stream: letter.stream, destination: letter.destination })}`);
    show(body.letters[0] || letter, !body.letters[0]);
  } catch (error) {
    say(error.message, true);
  }
}

let shown = null;
export const refresh = () => shown && dialog().open && show(shown);

function show(letter, isGone = false) {
  shown = letter;
  const close = () => dialog().close();
  const mayOrder = document.documentElement.dataset.access === "orders";
  const order = { id: letter.id, stream: letter.stream, destination: letter.destination };
  const facts = [
    ["Given up", `${moment(letter.died_unix_ms)}, after ${plural(letter.attempts, "attempt")}`],
    ["Accepted", letter.accepted_unix_ms ? moment(letter.accepted_unix_ms) : "unknown"],
    ["Route", `${letter.stream} → ${letter.destination}`],
    ["From", [letter.source, letter.caller].filter(Boolean).join(", ") || "unknown"],
    ["Reason", `${letter.class}: ${letter.code}`],
    ["Key", letter.partition_key ?? (letter.bytes && letter.text === undefined && letter.base64 === undefined ? "withheld" : "none")],
    ["Id", letter.id || "none"],
  ];
  patch(dialog(), [
    h("h2", { id: "letter-title" }, "Dead letter", isGone && h("small", {}, "it is not on the shelf any more")),
    h("p", { class: "says" }, letter.message),
    h("dl", { class: "facts" }, facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
    h("h3", {}, "Payload", h("small", {}, `${bytes(letter.bytes)}${letter.is_whole === false ? ", the beginning of it" : ""}`)),
    h("pre", { tabindex: 0, "aria-label": "Payload" }, payload(letter)),
    h("div", { class: "actions" },
      mayOrder && letter.id && !isGone && [orderButton("replay", order, "Replay", close), orderButton("purge", order, "Remove", close)],
      !mayOrder && locked(),
      h("button", { type: "button", class: "plain", onclick: close }, "Close")),
  ]);
}

function payload(letter) {
  if (letter.base64 !== undefined) return dump(atob(letter.base64));
  if (letter.text === undefined) return "Withheld: show an operator's key to read it.";
  try {
    return letter.is_whole ? JSON.stringify(JSON.parse(letter.text), null, 2) : letter.text;
  } catch {
    return letter.text;
  }
}

/** Sixteen bytes a line, as hexdump writes them. */
function dump(text) {
  const lines = [];
  for (let at = 0; at < text.length; at += 16) {
    const part = [...text.slice(at, at + 16)];
    const hex = part.map((c) => c.charCodeAt(0).toString(16).padStart(2, "0")).join(" ").padEnd(48);
    lines.push(`${at.toString(16).padStart(6, "0")}  ${hex} ${part.map((c) => (c >= " " && c <= "~" ? c : ".")).join("")}`);
  }
  return lines.join("\n");
}
