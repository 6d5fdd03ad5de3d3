// The parts of the page, each a function from what the agent said to elements.

import { age, bytes, clock, count, h, plural, short } from "./draw.js";
import { destinations, slope, sourcesOf } from "./feed.js";

const ROW = 64;
const GAP = 10;
const SOURCES_MAX = 6;
const FULL_S_MAX = 2 * 86_400;

const rateOf = (value) => (value === null ? "–" : `${short(value)}/s`);
const now = () => Date.now();

export function header(state, openKey) {
  const { status, lostAt } = state;
  const reasons = status?.unready || [];
  const [cls, word] = lostAt ? ["bad", "no answer"] : !status ? ["quiet", "asking"] : reasons.length ? ["bad", "not ready"] : ["good", "ready"];
  return [
    h("h1", {}, h("svg", { viewBox: "0 0 32 24", "aria-hidden": true }, ["M2 7c5-5 9-5 14 0s9 5 14 0", "M2 17c5-5 9-5 14 0s9 5 14 0"].map((d) => h("path", { d }))), "weir"),
    h("span", { class: "where" }, location.host),
    h("span", { class: `pill ${cls}` }, h("i", { class: "dot" }), word),
    reasons.length > 0 && !lostAt && h("span", { class: "reasons" }, reasons.join("; ")),
    h("span", { class: "fact" }, status ? `version ${status.version} · up ${age(status.uptime_s)}` : ""),
    status && h("button", { class: "plain", type: "button", onclick: openKey, "aria-haspopup": "dialog" },
      state.hasKey ? "Operator" : state.access === "orders" ? "Open on this host" : "Read only · unlock"),
  ];
}

export function tiles(status) {
  const all = [...destinations(status)];
  const sum = (key) => all.reduce((sum, { row }) => sum + row[key], 0);
  const oldest = Math.min(...all.map(({ row }) => row.oldest_unix_ms ?? Infinity));
  const full = soonest(Object.entries(status.streams).map(([name, queue]) => timeToFull(name, queue)));
  const drained = drainedAll(all);
  const held = all.filter(({ row }) => row.hold).length;
  return h("dl", { class: "tiles", "aria-label": "At a glance" },
    tile("In", rateOf(slope("in")), "records accepted"),
    tile("Out", rateOf(slope("out")), "records delivered"),
    tile("Waiting", count(sum("waiting")), `${bytes(sum("waiting_bytes"))} on disk`, sum("waiting") > 0 ? "waiting" : ""),
    tile("Oldest", oldest === Infinity ? "none" : age((now() - oldest) / 1000), "record that waits"),
    tile("Drained", drained.value, drained.what),
    tile("Full", full === null ? "not filling" : `in ${age(full)}`, "queues, at this pace", full !== null && full < 3600 ? "bad" : ""),
    tile("Holds", count(held), `of ${plural(all.length, "destination")}`, held ? "bad" : ""),
    tile("Dead", count(sum("dead")), "records given up", sum("dead") > 0 ? "dead" : ""));
}

const tile = (name, value, what, cls = "") =>
  h("div", { class: `tile ${cls}` }, h("dt", {}, name), h("dd", {}, h("b", {}, value), h("small", {}, what)));

const soonest = (times) => times.reduce((best, time) => (time !== null && (best === null || time < best) ? time : best), null);

/** Seconds until a queue is full at the pace of the last minute; null if it does not fill. */
function timeToFull(name, queue) {
  const growth = slope(`bytes ${name}`, 60);
  const time = growth > 0 && queue.max_bytes ? Math.max(0, queue.max_bytes - queue.used_bytes) / growth : Infinity;
  // A backlog that breathes is no queue that fills.
  return time < FULL_S_MAX ? time : null;
}

/** Seconds until nothing waits; null if it does not get less. */
function timeToDrained({ row, key }) {
  if (row.waiting === 0) return 0;
  const growth = slope(`waiting ${key}`, 30);
  return growth < 0 ? row.waiting / -growth : null;
}

function drainedAll(all) {
  const times = all.map(timeToDrained);
  if (times.every((time) => time === 0)) return { value: "now", what: "nothing waits" };
  if (times.some((time) => time === null)) return { value: "not yet", what: "it does not shrink" };
  return { value: `in ${age(Math.max(...times, 1))}`, what: "at this pace" };
}

export function holds(status) {
  const rows = [...destinations(status)].flatMap((one) => [...held(one), ...facts(one)]);
  const { refused, needs_restart: parts } = status.config;
  if (refused) rows.push(note("bad", "The changed configuration was refused", refused, "The one before stays."));
  if (parts.length) rows.push(note("warn", `A restart is needed for ${parts.join(", ")}`));
  if (status.state?.why) rows.push(note("warn", "The state store is in memory only", `for ${age((now() - status.state.since_unix_ms) / 1000)}: ${status.state.why}. No record is at risk.`));
  return rows.length > 0 && h("section", { class: "notes", "aria-label": "What is held, and why" }, rows);
}

const note = (cls, title, ...words) => h("article", { class: `note ${cls}` }, h("h3", {}, title), words.map((word) => h("p", {}, word)));

function held({ stream, name, row }) {
  const { hold } = row;
  if (!hold) return [];
  const since = age((now() - hold.since_unix_ms) / 1000);
  const next = hold.next_try_unix_ms ? `next try in ${age(Math.ceil((hold.next_try_unix_ms - now()) / 1000))}` : "being tried now";
  const grave = ["auth", "config", "clock"].includes(hold.class);
  return [h("article", { class: `note ${grave ? "bad" : "warn"}` },
    h("h3", {}, `${stream} to ${name} is held`, h("span", { class: "tag" }, hold.class), h("span", { class: "since" }, `for ${since}, ${next}`)),
    h("p", {}, `${name} ${hold.meaning}. ${plural(row.waiting, "record waits", "records wait")} on disk; none is lost.`),
    h("p", { class: "says" }, "It says: ", h("code", {}, hold.code), ` ${hold.message}`))];
}

const WAITS = {
  window: "its window of time",
  budget: "its budget of bytes",
  others: "streams that go before it",
  catch_up: "its catch-up rate, as its records are old",
  oldest: "its oldest records: the queue keeps track of no more that were sent past them",
};

function facts({ stream, name, row }) {
  const route = `${stream} to ${name}`;
  const all = [];
  if (row.waits_for) all.push(note("calm", `${route} waits for ${WAITS[row.waits_for] || row.waits_for}`));
  if (Math.abs(row.clock_offset_ms || 0) >= 1000)
    all.push(note("warn", `The host's clock is wrong for ${name}`, `The service's time is ${age(Math.abs(row.clock_offset_ms) / 1000)} ${row.clock_offset_ms < 0 ? "behind" : "ahead of"} it; requests are signed for the service's time.`));
  if (row.credentials_expired) all.push(note("bad", `The credentials for ${name} expired`, "No new ones could be had."));
  if (row.missing_permissions?.length) all.push(note("calm", `${route} sends records one by one: the policy lacks ${row.missing_permissions.join(" and ")}.`));
  return all;
}

export function flow(status) {
  const streams = Object.entries(status.streams);
  return section("Flow", "from sources through queues to destinations", streams.length
    ? streams.map(([name, queue]) => lane(status, name, queue))
    : empty("No streams", "A [stream.NAME] in the configuration makes one."));
}

function lane(status, name, queue) {
  let sources = sourcesOf(name).map((one) => ({ ...one, kind: kindOf(one.name) }));
  for (const [tail, stream] of Object.entries(status.tail_streams || {}))
    if (stream === name && !sources.some((one) => one.name === `tail.${tail}`)) sources.push({ name: `tail.${tail}`, kind: "tail", rate: 0 });
  sources.sort((a, b) => b.total - a.total || a.name.localeCompare(b.name));
  const more = sources.length - SOURCES_MAX;
  if (more > 0) sources = [...sources.slice(0, SOURCES_MAX - 1), { name: `and ${more + 1} more`, rate: sources.slice(SOURCES_MAX - 1).reduce((sum, one) => sum + one.rate, 0) }];
  const ends = Object.entries(queue.destinations).map(([destination, row]) => ({ stream: name, name: destination, row, key: `${name} ${destination}` }));
  const rows = Math.max(sources.length, ends.length, 1.6);
  const high = rows * (ROW + GAP) - GAP;
  return h("div", { class: "lane", key: name, role: "group", "aria-label": `Stream ${name}`, vars: { "--row": `${ROW}px`, "--gap": `${GAP}px` } },
    h("ul", { class: "ends", "aria-label": "Sources" }, sources.length
      ? sources.map((one) => h("li", { class: "end", key: one.name }, h("b", {}, one.name), h("span", { class: "rate" }, rateOf(one.rate)), h("small", {}, lag(status, one))))
      : h("li", { class: "end quiet" }, h("b", {}, "no source yet"), h("small", {}, "nothing came in since the start"))),
    pipes(high, sources.length || 1, (index) => sources[index]?.rate, "in"),
    queueCard(name, queue, ends),
    pipes(high, ends.length, (index) => slope(`out ${ends[index].key}`), "out", (index) => ends[index].row.hold),
    h("ul", { class: "ends", "aria-label": "Destinations" }, ends.map(end)));
}

const kindOf = (name) => name.split(".")[0];

function lag(status, source) {
  const files = status.tails?.[source.name.replace(/^tail\./, "")];
  if (source.kind !== "tail" || !files) return source.total === undefined ? "" : `${count(source.total)} since the start`;
  const behind = files.reduce((sum, file) => sum + Math.max(0, file.bytes - file.queued), 0);
  return `${plural(files.length, "file")}, ${behind ? `${bytes(behind)} to read` : "read to the end"}`;
}

function queueCard(name, queue, ends) {
  const used = queue.max_bytes ? queue.used_bytes / queue.max_bytes : 0;
  const waiting = Math.max(0, ...ends.map(({ row }) => row.waiting));
  const full = timeToFull(name, queue);
  const share = `${used > 0 && used < 0.01 ? "under 1" : Math.round(used * 100)} %`;
  return h("div", { class: `queue ${used > 0.9 ? "bad" : used > 0.7 ? "warn" : ""}` },
    h("div", { class: "line" }, h("b", {}, name), h("span", { class: "rate" }, waiting ? `${short(waiting)} waiting` : "empty")),
    h("div", { class: "gauge", role: "meter", "aria-label": `${name}: disk used`, "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": Math.round(used * 100) }, h("i", { vars: { width: `${Math.min(100, used * 100)}%` } })),
    h("small", {}, `${bytes(queue.used_bytes)} of ${bytes(queue.max_bytes)}, ${share}`,
      full !== null ? ` · full in ${age(full)}` : "", queue.dropping ? " · drops its oldest" : "",
      queue.sync !== "always" ? ` · sync = ${queue.sync}` : ""));
}

function end(one) {
  const { name, row } = one;
  const time = timeToDrained(one);
  const [cls, word] = row.hold ? ["bad", "held"] : row.waits_for ? ["warn", "paced"] : row.waiting ? ["busy", "sending"] : ["good", "in step"];
  const oldest = (now() - row.oldest_unix_ms) / 1000;
  const behind = row.waiting
    ? `${short(row.waiting)} behind, oldest ${age(oldest)}${time && oldest > 10 ? `, drained in ${age(time)}` : ""}`
    : `${count(row.delivered)} delivered`;
  return h("li", { class: `end ${cls}`, key: name }, h("b", {}, h("i", { class: "dot" }), name), h("span", { class: "rate" }, rateOf(slope(`out ${one.key}`))), h("small", {}, h("em", {}, word), ` · ${behind}`));
}

/** Curves from each row on one side to the queue, or back; wider the more flows. */
function pipes(high, rows, rate, way, isHeld = () => false) {
  const middle = high / 2;
  const top = middle - (rows * (ROW + GAP) - GAP) / 2 + ROW / 2;
  return h("svg", { class: "pipes", "aria-hidden": true, viewBox: `0 0 100 ${high}`, preserveAspectRatio: "none", vars: { height: `${high}px` } },
    Array.from({ length: rows }, (_, index) => {
      const y = top + index * (ROW + GAP);
      const [from, to] = way === "in" ? [y, middle] : [middle, y];
      const flow = rate(index) || 0;
      const cls = isHeld(index) ? "held" : flow > 0 ? `flows ${way}` : "";
      const d = `M0 ${from}C50 ${from} 50 ${to} 100 ${to}`;
      const width = { "stroke-width": Math.min(7, 1.5 + Math.log10(1 + flow)).toFixed(1) };
      return [h("path", { class: `pipe ${cls}`, d, vars: width }), flow > 0 && !isHeld(index) && h("path", { class: "drops", d })];
    }));
}

const KINDS = ["delivered", "dead", "dropped", "damaged", "waiting"];

export function ledger(status) {
  const all = [...destinations(status)];
  return section("Ledger", "accepted = delivered + dead + dropped + damaged + waiting", all.length
    ? h("ol", { class: "ledger" }, all.map(balance))
    : empty("No books yet", "Each stream and destination has one."));
}

function balance({ stream, name, row, key }) {
  const sum = KINDS.reduce((sum, kind) => sum + row[kind], 0);
  const ok = sum === row.accepted;
  return h("li", { key, class: "account" },
    h("h3", {}, stream, h("span", { class: "to" }, " → "), name),
    h("div", { class: "bar", "aria-hidden": true }, row.accepted
      ? KINDS.map((kind) => row[kind] > 0 && h("i", { class: kind, key: kind, vars: { "flex-grow": row[kind] } }))
      : ""),
    h("dl", { class: "sum" }, cell("accepted", row.accepted), KINDS.map((kind) => cell(kind, row[kind]))),
    h("p", { class: ok ? "proof good" : "proof bad" }, ok ? "balances" : `off by ${count(row.accepted - sum)}`));
}

const cell = (name, value) => h("div", { class: `${name} ${value ? "" : "zero"}` }, h("dt", {}, name), h("dd", {}, count(value)));

const FILES_MAX = 200;

export function tails(status) {
  const files = Object.entries(status.tails || {}).flatMap(([tail, files]) => files.map((file) => ({ tail, ...file })));
  files.sort((a, b) => b.bytes - b.delivered - (a.bytes - a.delivered) || a.path.localeCompare(b.path));
  const more = files.length - FILES_MAX;
  return section("Tailed files", "read, queued, delivered", files.length
    ? [h("ul", { class: "files" }, files.slice(0, FILES_MAX).map(file)), more > 0 && h("p", { class: "empty" }, `and ${count(more)} more: weir status shows all`)]
    : empty("No files are followed", "A [tail.NAME] block with globs follows log files; their positions stand here."));
}

function file(one) {
  const part = (value) => (one.bytes ? Math.min(100, (value / one.bytes) * 100) : 100);
  const [cls, word] = one.is_delivered ? ["good", "safe to delete"] : one.is_passed_over ? ["quiet", "passed over in part"] : ["busy", "to do"];
  const slash = one.path.lastIndexOf("/") + 1;
  const lag = Math.max(0, one.bytes - one.delivered);
  return h("li", { class: "file", key: `${one.tail} ${one.path}` },
    h("div", { class: "line" }, h("span", { class: "path", title: one.path }, h("bdi", { class: "folder" }, one.path.slice(0, slash)), h("bdi", {}, one.path.slice(slash))),
      h("span", { class: `chip ${cls}` }, word, one.gone_unix_ms ? `, gone ${age((now() - one.gone_unix_ms) / 1000)}` : "")),
    h("div", { class: "gauge three", "aria-hidden": true }, ["read", "queued", "delivered"].map((kind) => h("i", { class: kind, vars: { width: `${part(one[kind])}%` } }))),
    h("small", {}, `${one.tail} · ${lag ? `${bytes(lag)} behind` : "in step"} · size ${count(one.bytes)} · read ${count(one.read)} · queued ${count(one.queued)} · delivered ${count(one.delivered)}`));
}

export function section(title, what, ...kids) {
  const id = `s-${title.toLowerCase().replace(/\W+/g, "-")}`;
  return h("section", { class: `panel ${id}`, key: id, "aria-labelledby": id }, h("h2", { id }, title, h("small", {}, what)), kids);
}

export const empty = (title, words) => h("p", { class: "empty" }, h("b", {}, title), " ", words);

export function lost(state) {
  const since = state.status ? `What stands below is of ${clock(state.answeredAt)}, and it is not live.` : "";
  return h("article", { class: "note bad lost", role: "alert" }, h("h3", {}, "The agent can't be reached"),
    h("p", {}, `No answer since ${clock(state.lostAt)} (${state.why}). It is asked again every second. ${since}`));
}
