// Somebody in a browser, and what must hold whatever they do: nothing leaves the origin, nothing hurts the page's
// policy, nothing fails in a script, and nothing moves that nobody moved.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { PASSWORD, Person, ROOT } from "./signet.js";

const AXE = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
export const SCREENSHOTS = join(ROOT, "target/admin-screenshots");
await mkdir(SCREENSHOTS, { recursive: true });

function watch() {
  addEventListener("securitypolicyviolation", (event) => {
    window.__tell(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`);
  });
  // What comes of a key or a click is expected within half a second; of a request that was made because of one, within
  // half a second of its answer, however long that took.
  let expected = 0;
  const expect = () => {
    expected = performance.now() + 500;
    // What comes of it is seen with the next frame, whenever the machine makes that.
    requestAnimationFrame(() => (expected = Math.max(expected, performance.now() + 100)));
  };
  for (const kind of ["keydown", "pointerdown", "click", "input"]) addEventListener(kind, expect, true);
  const { fetch } = window;
  window.fetch = (...given) => {
    const answer = fetch(...given);
    if (performance.now() < expected) answer.then(expect, expect);
    return answer;
  };
  new PerformanceObserver((list) => {
    for (const shift of list.getEntries()) {
      // What moves inside of a control is the browser's own.
      if (shift.hadRecentInput || shift.startTime < expected || shift.sources.every(({ node }) => node === null)) continue;
      const moved = shift.sources.map(({ node }) => node?.outerHTML?.slice(0, 120) ?? node?.textContent);
      window.__tell(`layout shift of ${shift.value}: ${moved.join(" | ")}`);
    }
  }).observe({ type: "layout-shift", buffered: true });
}

/** A visitor who ends with the test, when all that must hold is looked at. */
export async function visit(t, browser, base, { as, scheme = "light", width = 1280, height = 900, motion = "reduce" } = {}) {
  const context = await browser.newContext({
    viewport: { width, height },
    colorScheme: scheme,
    reducedMotion: motion,
    locale: "en-GB",
    timezoneId: "Europe/Warsaw",
  });
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  const faults = [];
  await page.exposeFunction("__tell", (fault) => faults.push(fault));
  await page.addInitScript(watch);
  page.on("pageerror", (error) => faults.push(`script: ${error.stack}`));
  page.on("console", (message) => {
    // The browser itself tells of each refusal of the server; those are what is tested.
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) faults.push(message.text());
  });
  page.on("request", (request) => {
    const { origin } = new URL(request.url());
    if (origin !== base && !request.url().startsWith("data:")) faults.push(`request to ${request.url()}`);
  });
  const visitor = new Visitor(base, context, page, faults);
  t.after(async () => {
    await context.close();
    assert.deepEqual(faults, []);
  });
  if (as !== undefined) await visitor.logIn(as);
  return visitor;
}

export class Visitor {
  constructor(base, context, page, faults) {
    Object.assign(this, { base, context, page, faults });
  }

  /** Logs in without the log-in page. */
  async logIn(username, password = PASSWORD) {
    const { jar } = await new Person(this.base).logIn(username, password);
    const url = this.base.replace("http:", "https:");
    const flags = { url, secure: true, httpOnly: true, sameSite: "Strict" };
    await this.context.addCookies([...jar].map(([name, value]) => ({ name, value, ...flags })));
  }

  /** Opens a page, and waits until it is all there. */
  async open(path) {
    await this.page.goto(`${this.base}/admin/${path}`);
    await this.ready();
  }

  async ready() {
    await this.page.locator("h1").first().waitFor();
    await this.page.waitForFunction(() => !document.querySelector(".under-way.on, [aria-busy=true], .loading"));
  }

  /** Waits until a page of this title is there: a link leads to it, and what is on both must not be taken for it. */
  async at(title) {
    await this.page.getByRole("heading", { level: 1, name: title, exact: true }).waitFor();
  }

  button(name, within = this.page) {
    return within.getByRole("button", { name, exact: true });
  }

  field(name, within = this.page) {
    return within.getByLabel(name, { exact: true });
  }

  get dialog() {
    return this.page.locator("dialog[open]").last();
  }

  get problem() {
    return this.page.locator(".problem").last();
  }

  /** Presses a button that asks, reads the question, and says yes; gives what the question said. */
  async act(name, yes, within) {
    await this.button(name, within).first().click();
    const text = await this.dialog.innerText();
    await this.button(yes, this.dialog).click();
    await this.dialog.waitFor({ state: "detached" });
    await this.ready();
    return text;
  }

  async said(text) {
    const notice = this.page.locator(".notices", { hasText: text });
    await notice.waitFor();
    await this.button("Dismiss", notice).click();
  }

  /** Picks from what a picker offers. */
  async pick(legend, one, name, within = this.page) {
    const box = within.getByRole("group", { name: legend, exact: true });
    if (!(await box.locator("details").getAttribute("open"))) {
      if (!(await box.locator(".offers").isVisible())) await box.getByText(`Add a ${one}`).click();
    }
    await box.getByLabel(`Find a ${one}`).fill(name);
    await box.locator(".offers button", { hasText: name }).first().click();
    await box.locator(".chips", { hasText: name }).waitFor();
  }

  async offers(legend, one) {
    const box = this.page.getByRole("group", { name: legend, exact: true });
    await box.getByText(`Add a ${one}`).click();
    await box.locator(".offers button").first().waitFor();
    return box.locator(".offers button span").allInnerTexts();
  }

  /** Every finding of axe-core on what is shown. */
  async axe(what) {
    await this.page.evaluate(`window.axe ?? (() => { ${AXE} })()`);
    const findings = await this.page.evaluate(async () => {
      const { violations } = await window.axe.run(document);
      return violations.flatMap(({ id, nodes }) =>
        nodes.map(({ html, failureSummary }) => `${id}: ${html.slice(0, 200)} ${failureSummary}`),
      );
    });
    assert.deepEqual(findings, [], what);
  }

  /** Nothing is wider than the window. */
  async fits(what) {
    const over = await this.page.evaluate(() => {
      const { scrollWidth, clientWidth } = document.documentElement;
      if (scrollWidth <= clientWidth) return [];
      const wide = [...document.body.querySelectorAll("*")].filter(
        (element) => element.getBoundingClientRect().right > clientWidth && !element.closest("table, .skip"),
      );
      return wide.map((element) => element.outerHTML.slice(0, 100)).concat(`${scrollWidth - clientWidth} pixels`);
    });
    assert.deepEqual(over, [], `${what}: wider than the window`);
  }

  async screenshot(name, fullPage = false) {
    await this.page.screenshot({ path: join(SCREENSHOTS, `${name}.png`), fullPage });
  }
}
