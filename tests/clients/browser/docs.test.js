// The page at /docs in a real browser, used as a person uses it: reading, clicking, typing.
//
// Whatever happens, and checked all the while: nothing is asked of any other origin, nothing hurts the page's
// content security policy, and no script can read a cookie.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { PASSWORD, ROOT, startBrowser, startOtherSite, startSignet } from "./signet.js";

const DOCUMENT = JSON.parse(readFileSync(join(ROOT, "openapi/signet.json"), "utf8"));
const SCREENSHOTS = join(ROOT, "target/screenshots");

/** All operations, in the order of the document. */
const OPERATIONS = Object.entries(DOCUMENT.paths).flatMap(([path, methods]) =>
  Object.values(methods).map((operation) => ({ path, id: operation.operationId, group: operation.tags[0] })),
);

const ADMIN = JSON.stringify({ username: "admin", password: PASSWORD });

for (const [scheme, flags] of [
  ["http", []],
  ["https", ["--tls", "dev"]],
]) {
  describe(`the page at /docs over ${scheme}`, () => {
    const ends = [];
    const atTheEnd = (end) => ends.push(end);
    let base, browser;

    before(async () => {
      await mkdir(SCREENSHOTS, { recursive: true });
      base = await startSignet(atTheEnd, ...flags);
      browser = await startBrowser(atTheEnd);
    });
    after(async () => {
      for (const end of ends.reverse()) await end();
    });

    test("the first screen says how to log in and shows every operation in its group, in order", async (t) => {
      const person = await visit(t, browser, base);
      await person.screenshot(`${scheme}-first-screen`);
      const tags = await person.page.locator(".opblock-tag").evaluateAll((all) => all.map((tag) => tag.dataset.tag));
      assert.deepEqual(tags, DOCUMENT.tags.map((tag) => tag.name));
      const shown = await person.page.locator(".opblock").evaluateAll((all) => all.map((block) => block.id));
      const inOrder = tags.flatMap((tag) => OPERATIONS.filter(({ group }) => group === tag));
      assert.deepEqual(shown, inOrder.map(({ group, id }) => `operations-${group}-${id}`));
      assert.equal(await person.page.locator(".login").isVisible(), true);
      const version = await person.page.locator(".info .version").innerText();
      assert.equal(version.trim(), DOCUMENT.info.version);
      const useless = ".auth-wrapper, .authorize, .authorization__btn, .servers, .models, .try-out";
      assert.equal(await person.page.locator(useless).count(), 0);
    });

    test("a person logs in, sees users, keeps a value, logs out, and is nobody again", async (t) => {
      const person = await visit(t, browser, base);
      assert.deepEqual(await person.jar(), []);

      await person.page.getByRole("link", { name: "Account → Log in" }).click();
      await person.page.locator("#operations-Account-login_account.is-open .execute").waitFor();
      await person.screenshot(`${scheme}-log-in`);
      assert.equal(await person.execute("login_account", { body: ADMIN }), 200);
      const jar = await person.jar();
      assert.deepEqual(jar.map(({ name }) => name).sort(), ["__Host-signet", "__Host-signet-device"]);
      for (const { httpOnly, secure, sameSite, path, domain } of jar) {
        assert.deepEqual(
          { httpOnly, secure, sameSite, path, domain },
          { httpOnly: true, secure: true, sameSite: "Strict", path: "/", domain: "localhost" },
        );
      }

      assert.equal(await person.execute("list_users"), 200);
      assert.equal(JSON.parse(await person.answer("list_users")).items[0].username, "admin");
      const kept = { parameters: { key: "colour" }, body: '{"value": "petrol"}' };
      assert.equal(await person.execute("set_session_data", kept), 200);
      assert.equal(await person.execute("get_session"), 200);
      const { data, user } = JSON.parse(await person.answer("get_session"));
      assert.deepEqual([data, user.username], [{ colour: "petrol" }, "admin"]);

      assert.equal(await person.execute("logout_account"), 204);
      // The device stays known.
      assert.deepEqual((await person.jar()).map(({ name }) => name), ["__Host-signet-device"]);
      assert.equal(await person.execute("get_me"), 401);
    });

    // Once is enough: nothing in it depends on the scheme.
    const testOnce = scheme === "http" ? test : () => {};
    testOnce("every operation can be executed as it is prefilled", async (t) => {
      const person = await visit(t, browser, base);
      const logIn = () =>
        person.page.evaluate(async (body) => {
          const headers = { "content-type": "application/json" };
          return (await fetch("/v1/login", { method: "POST", headers, body })).status;
        }, ADMIN);
      // The first group tells one story: somebody registers with the example, logs in and changes things.
      const story = ["register_account", "login_account", "get_me", "update_me", "change_password", "logout_account"];
      const known = new Set(OPERATIONS.map(({ id }) => id));
      assert.deepEqual(story.filter((id) => !known.has(id)), []);
      const rest = OPERATIONS.filter(({ id }) => !story.includes(id));
      // What takes away the thing that the others show comes last.
      rest.sort((a, b) => Number(a.id.startsWith("delete_")) - Number(b.id.startsWith("delete_")));
      const ends = ["delete_session", "delete_sessions", "advance_epoch"];
      const odd = [];
      for (const { id, path } of [...story.map((id) => ({ id, path: "" })), ...rest]) {
        const isStory = story.includes(id);
        if (!isStory && (await person.jar()).every(({ name }) => name !== "__Host-signet")) {
          assert.equal(await logIn(), 200);
        }
        const status = await person.execute(id);
        await person.close(id);
        // Identifiers are random: nobody can prefill one that is there.
        // Nor a link that was mailed.
        const expected = /\{(id|sid)\}/.test(path) ? [404] : id.startsWith("confirm_") ? [422] : [200, 201, 202, 204];
        const fine = expected.includes(status);
        if (!fine) odd.push(`${id}: ${status}`);
        if (ends.includes(id)) assert.equal(await logIn(), 200);
      }
      assert.deepEqual(odd, []);
    });

    test("a page of another origin can neither log out nor log in", async (t) => {
      const person = await visit(t, browser, base);
      assert.equal(await person.execute("login_account", { body: ADMIN }), 200);
      const jar = await person.jar();
      // As text, a form's field can be made to look like JSON.
      const form = (action, type, name, value) =>
        `<form method="post" action="${base}${action}" enctype="${type}">` +
        `<input name='${name}' value='${value}'><button>${action} ${type}</button></form>`;
      const attack = [
        form("/v1/logout", "application/x-www-form-urlencoded", "a", "b"),
        form("/v1/logout", "text/plain", "a", "b"),
        form("/v1/login", "application/x-www-form-urlencoded", "username", "admin"),
        form("/v1/login", "text/plain", ADMIN.replace("}", ',"x":"'), '"}'),
        form("/v1/login", "multipart/form-data", "username", "admin"),
      ];
      // 127.0.0.1 is another site; localhost with another port is the same site, and so is sent the cookie.
      for (const host of ["127.0.0.1", "localhost"]) {
        const evil = await startOtherSite((end) => t.after(end), host, attack.join(""));
        const page = await person.context.newPage();
        for (let at = 0; at < attack.length; at += 1) {
          await page.goto(evil);
          const button = page.locator("button").nth(at);
          const what = `${await button.textContent()} from ${evil}`;
          const answered = page.waitForResponse((response) => response.url().startsWith(base));
          await button.click();
          const response = await answered;
          assert.equal(response.request().method(), "POST", what);
          assert.equal(response.status(), 403, what);
          assert.deepEqual(await person.jar(), jar, what);
        }
        await page.close();
      }
      assert.equal(await person.execute("get_me"), 200);

      const nobody = await browser.newContext({ ignoreHTTPSErrors: true });
      t.after(() => nobody.close());
      const evil = await startOtherSite((end) => t.after(end), "127.0.0.1", attack.join(""));
      const page = await nobody.newPage();
      await page.goto(evil);
      await page.locator("button").nth(3).click();
      await page.waitForURL(`${base}/**`);
      assert.deepEqual(await nobody.cookies(), []);
    });
  });
}

/** Somebody who opened /docs in a browser without a past. */
async function visit(t, browser, base) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true, viewport: { width: 1280, height: 900 } });
  const faults = [];
  const page = await context.newPage();
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (url.origin !== base && url.protocol !== "data:") faults.push(`asked ${url}`);
  });
  page.on("console", (message) => {
    if (/content security policy|refused to/i.test(message.text())) faults.push(message.text());
  });
  page.on("pageerror", (error) => faults.push(`script: ${error}`));
  await page.exposeFunction("reportFault", (fault) => faults.push(fault));
  await page.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) =>
      window.reportFault(`policy: ${violatedDirective} ${blockedURI}`),
    );
    setInterval(() => document.cookie && window.reportFault("a script can read a cookie"), 20);
  });
  t.after(async () => {
    assert.equal(await page.evaluate(() => document.cookie), "");
    await context.close();
    assert.deepEqual(faults, []);
  });
  await page.goto(`${base}/docs`);
  await page.locator(".opblock").first().waitFor();

  const blockOf = (id) => {
    const { group } = OPERATIONS.find((operation) => operation.id === id);
    return page.locator(`#operations-${group}-${id}`);
  };
  return {
    context,
    page,
    jar: () => context.cookies(),
    screenshot: (name) => page.screenshot({ path: join(SCREENSHOTS, `${name}.png`) }),
    /** Opens the operation, puts in what is given, presses Execute; gives the status that is shown. */
    async execute(id, { body, parameters = {} } = {}) {
      const block = blockOf(id);
      if (!(await block.evaluate((element) => element.classList.contains("is-open")))) {
        await block.locator(".opblock-summary-control").click();
      }
      await block.locator(".execute").waitFor();
      for (const [name, value] of Object.entries(parameters)) {
        await block.locator(`tr[data-param-name="${name}"] input`).fill(value);
      }
      if (body) await block.locator("textarea.body-param__text").fill(body);
      const answered = page.waitForResponse((response) => response.url().startsWith(`${base}/`));
      await block.locator(".execute").click();
      const status = (await answered).status();
      const shown = block.locator(".live-responses-table .response .response-col_status");
      await shown.filter({ hasText: String(status) }).waitFor();
      return status;
    },
    /** Folds the operation up again: a page with dozens of open ones is slow. */
    close: (id) => blockOf(id).locator(".opblock-summary-control").click(),
    /** The body that the operation shows. */
    answer: (id) => blockOf(id).locator(".live-responses-table .response-col_description .highlight-code code").innerText(),
  };
}
