// The pages that links in mails lead to, in a real browser: reached by the link of a real mail, used with the keyboard.

import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { PASSWORD, ROOT, startBrowser, startSignet } from "./signet.js";

const NEW = "a password that is new";

describe("the pages that links in mails lead to", () => {
  const ends = [];
  let base, browser, mails;

  before(async () => {
    mails = await mkdtemp(join(tmpdir(), "signet-mails-"));
    ends.push(() => rm(mails, { recursive: true, force: true }));
    base = await startSignet((end) => ends.push(end), "--mail", `folder:${mails}`);
    browser = await startBrowser((end) => ends.push(end));
    await mkdir(join(ROOT, "target/screenshots"), { recursive: true });
  });
  after(async () => {
    for (const end of ends.reverse()) await end();
  });

  const call = (path, body) =>
    fetch(base + path, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });

  /** The link in the next mail, once it is there. */
  const link = async () => {
    for (;;) {
      const [name] = (await readdir(mails)).filter((name) => name.endsWith(".eml"));
      if (name) {
        const text = await readFile(join(mails, name), "utf8");
        await rm(join(mails, name));
        return text.replaceAll("=\r\n", "").replaceAll("=3D", "=").match(/http\S+#token=\S+/)[0];
      }
      await new Promise((later) => setTimeout(later, 20));
    }
  };

  /** Follows a link, until the page has put the keyboard where a person starts: `autofocus` comes after `load`. */
  const follow = async (page, link) => {
    await page.goto("about:blank");
    await page.goto(link);
    await page.locator("form :focus").waitFor();
  };

  /** A page of a small window, which asks nothing of others and hurts no policy. */
  const visit = async (t, scheme) => {
    const context = await browser.newContext({ viewport: { width: 360, height: 640 }, colorScheme: scheme });
    const page = await context.newPage();
    const faults = [];
    page.on("request", (request) => {
      if (!request.url().startsWith(base) && !request.url().startsWith("data:")) faults.push(request.url());
      if (request.url().includes("token")) faults.push(`the token in ${request.url()}`);
    });
    page.on("pageerror", (error) => faults.push(String(error)));
    page.on("console", (message) => {
      if (message.text().includes("Content Security Policy")) faults.push(message.text());
    });
    t.after(async () => {
      await context.close();
      assert.deepEqual(faults, []);
    });
    return page;
  };

  /** What the page says in the end; when it does not, what stands there instead. */
  const says = async (page, text) => {
    try {
      await page.getByText(text).waitFor({ timeout: 10_000 });
    } catch (error) {
      const focus = await page.evaluate(() => document.activeElement.outerHTML.slice(0, 200));
      throw new Error(`the page says: ${await page.innerText("body")}\nthe keyboard is in: ${focus}`, { cause: error });
    }
  };

  const tidy = async (page, name) => {
    assert.equal(new URL(page.url()).hash, "", "the token is out of the address");
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= 360, `${width} wide`);
    await page.screenshot({ path: join(ROOT, `target/screenshots/${name}.png`) });
  };

  test("an address is confirmed with one key", async (t) => {
    await call("/v1/register", { username: "alice", password: PASSWORD, email: "alice@example.com" });
    const page = await visit(t, "light");
    const there = await link();
    await follow(page, there);
    await tidy(page, "verify");
    await page.keyboard.press("Enter");
    await says(page, "Your address is confirmed.");

    await follow(page, there);
    await page.keyboard.press("Enter");
    await says(page, "Only the newest link works, once, for 30 minutes.");
  });

  test("a new password is set with the keyboard, after one that is refused in the server's own words", async (t) => {
    assert.equal((await call("/v1/password/reset", { email: "alice@example.com" })).status, 202);
    const page = await visit(t, "dark");
    await follow(page, await link());
    await tidy(page, "reset");
    await page.keyboard.type("short");
    await page.keyboard.press("Enter");
    await says(page, "A password has at least 8 characters");
    assert.equal(await page.locator("#new_password").getAttribute("aria-invalid"), "true");
    await tidy(page, "reset-refused");
    await page.keyboard.press("ControlOrMeta+A");
    await page.keyboard.type(NEW);
    await page.keyboard.press("Enter");
    await says(page, "Your password is set.");
    await tidy(page, "reset-done");
    assert.equal((await call("/v1/login", { username: "alice", password: NEW })).status, 200);
    assert.equal((await call("/v1/login", { username: "alice", password: PASSWORD })).status, 401);
  });

  test("a page without a token says what to do", async (t) => {
    const page = await visit(t, "light");
    for (const path of ["/reset", "/verify", "/reset#token="]) {
      await page.goto("about:blank");
      await page.goto(base + path);
      await says(page, "This page is opened by the link in a mail.");
      assert.equal(await page.locator("form").isVisible(), false);
    }
  });
});
