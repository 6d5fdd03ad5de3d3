// Looks at the dashboard as an operator would, in Chromium: reads it, walks it by keyboard, replays.
//
// node dashboard.mjs ADDRESS look PID        all there is to see; ends the agent at last
// node dashboard.mjs ADDRESS keyed KEY       an agent whose orders need a key
// node dashboard.mjs ADDRESS empty           an agent that nothing happened to yet
// node dashboard.mjs ADDRESS reloaded        one that refused a configuration, after one that takes a restart
// node dashboard.mjs ADDRESS pictures FOLDER SECONDS  pictures of it, after that time
// The last line it writes is `done`.

import assert from "node:assert/strict";
import { createRequire } from "node:module";

const require = createRequire(process.env.WEIR_TEST_CLIENTS + "/");
const { chromium } = require("playwright-core");
const [address, what, argument, seconds] = process.argv.slice(2);
const url = `http://${address}/`;

const browser = await chromium.launch({
  executablePath: process.env.WEIR_TEST_CHROMIUM || "/usr/bin/chromium",
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});

/** A page at the dashboard, and everything it complained about or asked elsewhere. */
async function visit(width, colorScheme) {
  const page = await browser.newPage({ viewport: { width, height: width > 800 ? 1000 : 860 }, colorScheme });
  const faults = [];
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && faults.push(message.text()));
  page.on("pageerror", (error) => faults.push(String(error)));
  page.on("request", (request) => request.url().startsWith(url) || request.url().startsWith("data:") || faults.push(`asked ${request.url()}`));
  await page.goto(url);
  await page.locator(".pill", { hasText: "ready" }).waitFor();
  return { page, faults };
}

const texts = (page, where) => page.locator(where).allInnerTexts();
const number = (text) => Number(text.replace(/\D/g, ""));

/** Nothing sticks out at the side, and nothing is cut off there that does not say so. */
async function fits(page, width) {
  const wide = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(wide <= width, `${wide} px in a window of ${width}`);
}

/** Words and what they stand on differ enough to be read: 4.5 to 1, as WCAG 2.2 has it. */
async function isLegible(page) {
  const bad = await page.evaluate(() => {
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const rgba = (css) => {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = css;
      canvas.fillRect(0, 0, 1, 1);
      return canvas.getImageData(0, 0, 1, 1).data;
    };
    const light = (css) => {
      const [r, g, b] = [...rgba(css)].slice(0, 3).map((part) => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (node) => {
      while (node && rgba(getComputedStyle(node).backgroundColor)[3] < 255) node = node.parentElement;
      return getComputedStyle(node || document.body).backgroundColor;
    };
    const found = [];
    for (const node of document.querySelectorAll("#top *, main *")) {
      const says = [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
      if (!says || !node.checkVisibility() || node.closest("svg")) continue;
      const [a, b] = [light(getComputedStyle(node).color), light(ground(node))].sort((x, y) => y - x);
      const ratio = (a + 0.05) / (b + 0.05);
      if (ratio < 4.5) found.push(`${node.className || node.localName}: ${ratio.toFixed(2)}`);
    }
    return [...new Set(found)];
  });
  assert.deepEqual(bad, []);
}

/** Goes on by the key until something has the focus; each stop on the way can be seen. */
async function walk(page, selector, key = "Tab", most = 60) {
  for (let step = 0; step < most; step++) {
    await page.keyboard.press(key);
    const at = await page.evaluate((selector) => {
      const node = document.activeElement;
      const style = getComputedStyle(node);
      return { is: node.matches(selector), name: node.outerHTML.slice(0, 120), seen: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2 };
    }, selector);
    assert.ok(at.seen, `the focus cannot be seen on ${at.name}`);
    if (at.is) return;
  }
  assert.fail(`${selector} cannot be reached by ${key}`);
}

async function balances(page) {
  const accounts = await page.locator(".account").all();
  assert.ok(accounts.length >= 2, `${accounts.length} accounts`);
  for (const account of accounts) {
    // One picture of it, as it is drawn anew each second.
    const [proof, ...cells] = await account.evaluate((node) => [node.querySelector(".proof").textContent, ...[...node.querySelectorAll("dd")].map((cell) => cell.textContent)]);
    const [accepted, ...rest] = cells.map(number);
    assert.equal(rest.length, 5);
    assert.equal(rest.reduce((sum, one) => sum + one, 0), accepted);
    assert.equal(proof, "balances");
  }
}

async function lookAtAll() {
  const grounds = [];
  for (const [width, scheme] of [[1600, "light"], [1600, "dark"], [400, "light"], [400, "dark"]]) {
    const { page, faults } = await visit(width, scheme);
    await page.locator("button.letter").first().waitFor();
    await page.locator(".chart path.line[d^=M]").first().waitFor({ state: "attached" });
    await fits(page, width);
    await isLegible(page);
    grounds.push(await page.evaluate(() => getComputedStyle(document.body).backgroundColor));
    assert.deepEqual(faults, []);
    await page.close();
  }
  assert.equal(new Set(grounds).size, 2, `light and dark: ${grounds}`);

  const { page, faults } = await visit(1600, "light");
  await page.locator("button.letter").first().waitFor();
  const hold = (await texts(page, ".note.bad")).join(" ");
  for (const words of ["audit to refusing is held", "auth", "mend the credentials or the policy", "none is lost", "AccessDeniedException", "it is not for you"]) assert.ok(hold.includes(words), `${words}: ${hold}`);
  const lanes = await texts(page, ".lane");
  const orders = lanes.find((lane) => lane.includes("cloud"));
  for (const words of ["http.local", "tail.log", "orders", "cloud", "archive"]) assert.ok(orders.includes(words), `${words}: ${orders}`);
  assert.ok(lanes.some((lane) => lane.includes("refusing") && lane.includes("held")), String(lanes));
  await balances(page);
  const file = (await texts(page, ".file")).join(" ");
  assert.match(file, /app\.log/);
  assert.match(file, /safe to delete/);
  assert.equal(await page.locator(".chart").count(), 6);
  assert.match(await page.locator(".chart svg").first().getAttribute("aria-label"), /^Throughput, records a second: in/);
  // What a sender wrote is text, whatever it looks like.
  assert.match((await texts(page, ".excerpt")).join(" "), /<img src=x onerror=alert\(1\)>/);
  assert.equal(await page.locator("main img, main script").count(), 0);

  // By keyboard alone: find, read, replay.
  const before = await page.locator("button.letter").count();
  assert.equal(before, 3);
  await walk(page, "input[name=code]");
  await page.keyboard.type("NoSuchCode");
  await page.getByText("None fits").waitFor();
  for (let times = 0; times < 10; times++) await page.keyboard.press("Backspace");
  await page.locator("button.letter").first().waitFor();
  await walk(page, "button.letter");
  const focused = await page.evaluate(() => ((window.kept = document.activeElement), window.kept.innerText));
  // The page is drawn anew while the focus stays.
  await page.waitForFunction((kept) => document.querySelector(".when").textContent !== kept, await page.locator(".when").first().innerText());
  assert.ok(await page.evaluate(() => document.activeElement === window.kept), focused);
  await page.keyboard.press("Enter");
  await page.locator("dialog[open] pre").waitFor();
  const payload = await page.locator("dialog[open] pre").innerText();
  assert.match(payload, /poison/);
  assert.match((await texts(page, "dialog[open] .facts")).join(" "), /poison: ValidationException/);
  await page.keyboard.press("Escape");
  assert.ok(await page.evaluate(() => document.activeElement === window.kept), "the focus comes back to the letter");
  await page.keyboard.press("Enter");
  await walk(page, "dialog[open] button.main");
  await page.keyboard.press("Enter");
  await page.locator("#said.shown", { hasText: "1 dead letter is back in its queue" }).waitFor();
  await page.waitForFunction((before) => document.querySelectorAll("button.letter").length === before - 1, before);

  // Removing asks once more.
  await walk(page, "button.letter");
  await page.keyboard.press("Enter");
  await walk(page, "dialog[open] button.danger");
  await page.keyboard.press("Enter");
  const sure = page.locator("dialog[open] button.danger", { hasText: "for good?" });
  await sure.waitFor();
  assert.equal(await page.locator("button.letter").count(), 2);
  await sure.press("Enter");
  await page.locator("#said.shown", { hasText: "1 dead letter removed" }).waitFor();
  await page.waitForFunction(() => document.querySelectorAll("button.letter").length === 1);
  await balances(page);

  // Hidden, it asks nobody.
  let asked = 0;
  page.on("request", () => asked++);
  const hide = (hidden) => page.evaluate((hidden) => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
    document.dispatchEvent(new Event("visibilitychange"));
  }, hidden);
  await hide(true);
  await page.waitForTimeout(1500);
  const then = asked;
  await page.waitForTimeout(3000);
  assert.equal(asked, then);
  await hide(false);
  await page.waitForRequest((request) => request.url().endsWith("/status"));
  assert.deepEqual(faults, []);

  // And without an agent it says so, and shows what it knew as what it is: old.
  process.kill(Number(argument), "SIGTERM");
  const alert = page.locator("[role=alert]");
  await alert.waitFor();
  assert.match(await alert.innerText(), /The agent can't be reached[^]*it is not live/);
  assert.equal(await page.locator(".pill").innerText(), "no answer");
  assert.equal(await page.locator(".lane").count(), 2);
}

async function lookWithKey() {
  const { page, faults } = await visit(1600, "light");
  await page.locator("button.letter").first().waitFor();
  const panel = page.locator(".s-dead-letters");
  const words = await panel.innerText();
  assert.match(words, /payload withheld/);
  assert.match(words, /Read only: an operator's key is needed/);
  assert.doesNotMatch(words, /Replay|poison \d/);

  await page.keyboard.press("Tab");
  await walk(page, "#top button");
  await page.keyboard.press("Enter");
  await page.keyboard.type(`${argument}x`);
  await page.keyboard.press("Enter");
  await page.getByText("That key opens nothing").waitFor();
  await page.locator("main button").press("Enter");
  await page.keyboard.type(argument);
  await page.keyboard.press("Enter");
  await panel.getByText("Replay all").waitFor();
  await panel.locator(".excerpt", { hasText: "poison" }).first().waitFor();
  assert.equal(await page.locator("#top button").innerText(), "Operator");
  assert.ok(!(await page.content()).includes(argument), "the key stands nowhere in the page");
  await panel.getByText("Replay all").press("Enter");
  await page.locator("#said.shown", { hasText: "3 dead letters are back in their queues" }).waitFor();
  await panel.getByText("No dead letters").waitFor();
  // A browser tells of each refused request.
  assert.deepEqual(faults.filter((words) => !words.includes("401")), []);
}

async function lookAtNothing() {
  for (const width of [1600, 400]) {
    const { page, faults } = await visit(width, "light");
    for (const words of ["No dead letters", "No files are followed", "no source yet", "nothing waits"]) await page.getByText(words).first().waitFor();
    await page.locator(".charts .nothing").first().waitFor();
    await balances(page);
    await fits(page, width);
    assert.deepEqual(faults, []);
    await page.close();
  }
}

async function lookAtReload() {
  const { page, faults } = await visit(400, "light");
  for (const words of ["The changed configuration was refused", "unknown", "A restart is needed for admin"]) await page.locator(".notes").getByText(words).first().waitFor();
  await fits(page, 400);
  await isLegible(page);
  assert.deepEqual(faults, []);
}

async function takePictures() {
  const sizes = [["dashboard-light", 1600, "light"], ["dashboard-dark", 1600, "dark"], ["dashboard-narrow", 400, "light"]];
  const visits = await Promise.all(sizes.map(([, width, scheme]) => visit(width, scheme)));
  await visits[0].page.waitForTimeout(Number(seconds) * 1000);
  for (const [index, [name, width]] of sizes.entries()) {
    const { page } = visits[index];
    if (width > 800) await page.setViewportSize({ width: 1400, height: 1060 });
    await page.waitForTimeout(1500);
    await page.screenshot({ path: `${argument}/${name}.png` });
  }
}

try {
  await { look: lookAtAll, keyed: lookWithKey, empty: lookAtNothing, reloaded: lookAtReload, pictures: takePictures }[what]();
  console.log("done");
} finally {
  await browser.close();
}
