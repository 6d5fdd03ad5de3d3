// The page lives: it asks once a second while somebody looks, and draws what it was told.

import { charts } from "./charts.js";
import { h, patch } from "./draw.js";
import { look, useKey } from "./feed.js";
import * as letters from "./letters.js";
import * as parts from "./parts.js";

const EVERY_MS = 1_000;
const SAID_MS = 8_000;

const state = { status: null, access: "looks", hasKey: false, answeredAt: 0, lostAt: null, why: "", needsKey: false };
const byId = (id) => document.getElementById(id);

let frame = 0;
/** Draws once before the next picture, however often it is asked for. */
const redraw = () => void (frame ||= requestAnimationFrame(() => ((frame = 0), draw())));

function draw() {
  const { status } = state;
  const page = document.documentElement;
  page.dataset.access = state.access;
  page.dataset.live = state.lostAt ? "no" : "yes";
  document.title = title();
  patch(byId("top"), parts.header(state, openKey).filter(Boolean));
  patch(byId("main"), [
    state.needsKey && h("p", { class: "empty" }, h("b", {}, state.hasKey ? "That key opens nothing" : "An operator's key is needed to look"), h("button", { type: "button", class: "main", onclick: openKey }, "Enter the key")),
    state.lostAt && parts.lost(state),
    !status && !state.lostAt && !state.needsKey && h("p", { class: "empty" }, "Asking the agent…"),
    status && h("div", { class: "live", key: "live" },
      parts.tiles(status), parts.holds(status) || h("section", { hidden: true }), parts.flow(status), charts(redraw), parts.ledger(status),
      h("div", { class: "pair" }, parts.tails(status), letters.letters(state))),
  ].filter(Boolean));
  letters.refresh();
}

function title() {
  if (state.lostAt) return "no answer · weir";
  const held = state.status ? Object.values(state.status.streams).flatMap((one) => Object.values(one.destinations)).filter((one) => one.hold).length : 0;
  return held ? `${held} held · weir` : state.status?.unready.length ? "not ready · weir" : "weir";
}

let silence;
function say(words, isFault = false) {
  const said = byId("said");
  said.textContent = words;
  said.className = isFault ? "shown bad" : "shown";
  clearTimeout(silence);
  silence = setTimeout(() => (said.className = ""), SAID_MS);
}

let turn = 0;
let next = null;
let isAsking = false;

async function live() {
  if (isAsking) return;
  [next, isAsking] = [null, true];
  const begun = performance.now();
  try {
    const { status, access } = await look(turn++);
    Object.assign(state, { status, access: access || "looks", answeredAt: Date.now(), lostAt: null, needsKey: false });
    letters.look();
  } catch (error) {
    if (error.status === 401) Object.assign(state, { needsKey: true, status: null, lostAt: null });
    else {
      state.lostAt ??= Date.now();
      state.why = error.name === "TimeoutError" ? "it does not answer in time" : error.status ? error.message : "nobody listens there";
    }
  }
  isAsking = false;
  redraw();
  if (!document.hidden) next = setTimeout(live, Math.max(100, EVERY_MS - (performance.now() - begun)));
  else turn = 0;
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden && next === null) live();
  if (document.hidden) next = (clearTimeout(next), null);
});

function openKey() {
  const dialog = byId("key");
  const close = () => dialog.close();
  const take = (event) => {
    event.preventDefault();
    const input = dialog.querySelector("input");
    useKey(input.value.trim() || null);
    state.hasKey = input.value.trim() !== "";
    input.value = "";
    close();
    letters.look(true);
  };
  const drop = () => (useKey(null), (state.hasKey = false), close(), redraw());
  patch(dialog, [
    h("h2", { id: "key-title" }, "Operator's key"),
    h("p", {}, state.access === "orders" && !state.hasKey
      ? "No key is asked for: whoever reaches this listener may order. [admin] key_file changes that."
      : "With a key of [admin] key_file you may read payloads, replay and remove. It stays in this page and is forgotten when the page is closed."),
    h("form", { onsubmit: take },
      h("label", {}, h("span", {}, "Key"), h("input", { type: "password", autocomplete: "off", required: true })),
      h("div", { class: "actions" }, h("button", { class: "main" }, "Use it"), state.hasKey && h("button", { type: "button", class: "danger", onclick: drop }, "Forget it"),
        h("button", { type: "button", class: "plain", onclick: close }, "Close"))),
  ]);
  dialog.showModal();
}

letters.begin(say, redraw);
draw();
live();
