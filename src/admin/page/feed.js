// What the agent said: once a second its status, every five its numbers.

export const KEPT_MS = 600_000;
const NUMBERS_EVERY = 5;
const TIMEOUT_MS = 8_000;

const feed = { key: null, samples: [], latencies: [], numbers: null, sources: new Map(), uptime: 0 };

export const useKey = (key) => void (feed.key = key);
export const samples = () => feed.samples;
export const latencies = () => feed.latencies;

/** Asks the agent; the answer's JSON, or a refusal in its own words. */
export async function ask(path, order) {
  const headers = order ? { "content-type": "application/json", "weir-admin": "1" } : {};
  if (feed.key) headers.authorization = `Bearer ${feed.key}`;
  const answer = await fetch(path, {
    method: order ? "POST" : "GET",
    headers,
    body: order && JSON.stringify(order),
    cache: "no-store",
    signal: AbortSignal.timeout(order ? 600_000 : TIMEOUT_MS),
  });
  const isJson = (answer.headers.get("content-type") || "").includes("json");
  const body = isJson ? await answer.json() : await answer.text();
  if (!answer.ok) throw Object.assign(new Error(body.detail || `status ${answer.status}`), { status: answer.status });
  return { body, access: answer.headers.get("weir-access") };
}

export async function look(turn) {
  const { body, access } = await ask("/status");
  remember(body);
  if (turn % NUMBERS_EVERY === 0) read((await ask("/metrics")).body);
  return { status: body, access };
}

export function* destinations(status) {
  for (const [stream, queue] of Object.entries(status.streams))
    for (const [name, row] of Object.entries(queue.destinations)) yield { stream, name, row, key: `${stream} ${name}` };
}

function remember(status) {
  // A restarted agent counts some things anew.
  if (status.uptime_s < feed.uptime) Object.assign(feed, { samples: [], latencies: [], numbers: null, sources: new Map() });
  feed.uptime = status.uptime_s;
  const sample = { at: Date.now(), in: 0, out: 0, waiting: 0, waitingBytes: 0 };
  for (const [stream, queue] of Object.entries(status.streams)) {
    sample.in += queue.committed;
    sample[`in ${stream}`] = queue.committed;
    const rows = Object.values(queue.destinations);
    sample[`bytes ${stream}`] = Math.max(0, ...rows.map((row) => row.waiting_bytes));
  }
  for (const { row, key } of destinations(status)) {
    sample.out += row.delivered;
    sample.waiting += row.waiting;
    sample.waitingBytes += row.waiting_bytes;
    sample[`out ${key}`] = row.delivered;
    sample[`waiting ${key}`] = row.waiting;
  }
  feed.samples.push(sample);
  forget(feed.samples, sample.at);
}

function forget(list, now) {
  while (list.length > 2 && list[0].at < now - KEPT_MS) list.shift();
}

/** Change of something per second, over the last so many seconds; null before there are two looks. */
export function slope(name, over = 5) {
  const last = feed.samples.at(-1);
  const first = last && feed.samples.find((one) => one.at >= last.at - over * 1000 - 200 && name in one);
  if (!first || first === last) return null;
  return (last[name] - first[name]) / ((last.at - first.at) / 1000);
}

/** The same at each moment, for a chart. */
export function rates(name) {
  const all = feed.samples;
  const points = [];
  for (let at = 2; at < all.length; at++) {
    const [a, b] = [all[at - 2], all[at]];
    const isGap = b.at - a.at > 15_000;
    points.push([b.at, isGap ? null : Math.max(0, (b[name] - a[name]) / ((b.at - a.at) / 1000))]);
  }
  return points;
}

/** Records a second of each source of a stream, as of the last two looks at the numbers. */
export const sourcesOf = (stream) => [...feed.sources.values()].filter((one) => one.stream === stream);

const LATENCIES = {
  ack: "weir_http_request_duration_seconds_bucket",
  sync: "weir_queue_sync_seconds_bucket",
  delivery: "weir_delivery_request_seconds_bucket",
};

function read(text) {
  const now = { at: Date.now(), buckets: {}, sources: new Map() };
  for (const line of text.split("\n")) {
    const row = /^(\w+)\{(.*)\} (\S+)/.exec(line);
    if (!row) continue;
    const name = Object.keys(LATENCIES).find((key) => LATENCIES[key] === row[1]);
    if (!name && row[1] !== "weir_accepted_records_total") continue;
    const labels = {};
    for (const [, label, value] of row[2].matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) labels[label] = value.replace(/\\(.)/g, "$1");
    if (name) {
      const most = labels.le === "+Inf" ? Infinity : Number(labels.le);
      const buckets = (now.buckets[name] ||= new Map());
      buckets.set(most, (buckets.get(most) || 0) + Number(row[3]));
    } else {
      now.sources.set(`${labels.stream} ${labels.source}`, { stream: labels.stream, name: labels.source, total: Number(row[3]) });
    }
  }
  const before = feed.numbers;
  for (const [key, one] of now.sources) {
    const total = before?.sources.get(key)?.total ?? (before ? 0 : one.total);
    one.rate = before ? Math.max(0, (one.total - total) / ((now.at - before.at) / 1000)) : null;
  }
  feed.sources = now.sources;
  if (before) {
    const point = { at: now.at };
    for (const name in LATENCIES) point[name] = quantiles(before.buckets[name], now.buckets[name]);
    feed.latencies.push(point);
    forget(feed.latencies, now.at);
  }
  feed.numbers = now;
}

/** p50 and p99 of what came between two looks at a histogram; null if nothing did. */
function quantiles(before, now) {
  if (!now) return null;
  const rows = [...now].sort((a, b) => a[0] - b[0]).map(([most, sum]) => [most, sum - (before?.get(most) || 0)]);
  const all = rows.at(-1)?.[1] || 0;
  if (all <= 0) return null;
  return [0.5, 0.99].map((share) => {
    let [least, below] = [0, 0];
    for (const [most, sum] of rows) {
      if (sum >= share * all) return most === Infinity ? least : least + ((most - least) * (share * all - below)) / (sum - below || 1);
      [least, below] = [most, sum];
    }
    return least;
  });
}
