// The page at /docs in a real browser, used as a person uses it: reading, clicking, typing.
//
// Whatever happens, and checked all the while: nothing is asked of any other origin, nothing hurts the page's
// content security policy, and no script can read a cookie.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { PASSWORD, ROOT, startBrowser, startOtherSite, startSignet } from "./signet.js";

const DOCUMENT = JSON.parse(readFileSync(join(ROOT, "openapi/signet.json"), "utf8"));
const SCREENSHOTS = join(ROOT, "target/screenshots");

/** All operations, in the order of the document. */
const OPERATIONS = Object.entries(DOCUMENT.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => {
    const { operationId: id, tags, responses } = operation;
    return { path, method, id, group: tags[0], responses };
  }),
);

/** What needs a token that comes by mail refuses the one of the example. */
const REFUSED = { confirm_password_reset: 422, confirm_email_verification: 422 };

/** Whose account the examples speak of: these need her password or her address. */
const AS_ALICE = ["change_password", "request_email_verification"];

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

    // Once is enough: nothing in these depends on the scheme.
    const testOnce = scheme === "http" ? test : () => {};
    testOnce("every operation does what it says when Execute is pressed, as it is prefilled", async (t) => {
      const mails = await mkdtemp(join(tmpdir(), "signet-mails-"));
      t.after(() => rm(mails, { recursive: true, force: true }));
      const place = await startSignet(atTheEnd, "--mail", `folder:${mails}`);
      const person = await visit(t, browser, place);
      const call = (method, path, body) =>
        person.page.evaluate(
          async ([method, path, body]) => {
            const headers = body ? { "content-type": "application/json" } : {};
            const answer = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
            const text = await answer.text();
            return { status: answer.status, body: text && JSON.parse(text) };
          },
          [method, path, body],
        );
      const made = async (method, path, body) => {
        const answer = await call(method, path, body);
        assert.ok(answer.status < 300, `${method} ${path}: ${JSON.stringify(answer)}`);
        return answer.body;
      };
      const passwords = { admin: [PASSWORD], alice: ["a short sentence", "another short sentence"] };
      const become = async (username) => {
        if ((await call("GET", "/v1/me")).body.username === username) return;
        for (const password of passwords[username]) {
          if ((await call("POST", "/v1/login", { username, password })).status === 200) return;
        }
        assert.fail(`${username} cannot log in`);
      };
      // Identifiers are random, so that nobody can prefill one that is there: each is of a thing made for it.
      let count = 0;
      const id = {
        "/v1/users/{id}": async () => (await made("POST", "/v1/users", { username: `user-${(count += 1)}` })).id,
        "/v1/groups/{id}": async () => (await made("POST", "/v1/groups", { name: `group-${(count += 1)}` })).id,
        "/v1/tokens/{id}": async () => (await made("POST", "/v1/tokens", { name: "one", permissions: [] })).id,
        "/v1/sessions/{sid}": async () => {
          const headers = { "content-type": "application/json" };
          const elsewhere = await fetch(`${place}/v1/login`, { method: "POST", headers, body: ADMIN });
          assert.equal(elsewhere.status, 200);
          const { items } = await made("GET", "/v1/sessions");
          return items.find(({ current }) => !current).id;
        },
      };
      // What belongs to a user: here, to the one who asks.
      const belongings = { sid: "/v1/sessions/{sid}", token_id: "/v1/tokens/{id}" };
      const odd = [];
      let judged = 0;
      for (const operation of OPERATIONS) {
        const { path, method, responses } = operation;
        await become(AS_ALICE.includes(operation.id) ? "alice" : "admin");
        const parameters = {};
        const [, belonging] = path.match(/^\/v1\/users\/\{id\}\/.*\{(sid|token_id)\}$/) ?? [];
        const [prefix, name] = path.match(/^.*\{(id|sid)\}/) ?? [];
        if (belonging) {
          parameters.id = (await made("GET", "/v1/me")).id;
          parameters[belonging] = await id[belongings[belonging]]();
        } else if (prefix) {
          assert.ok(id[prefix], `nothing is made for ${path}`);
          parameters[name] = await id[prefix]();
        }
        // What is kept under a name of the caller's has to be put there before.
        const { put } = DOCUMENT.paths[path];
        if (put && method !== "put" && path.includes("{")) await made("PUT", example(path, put), exampleOf(put));
        const status = await person.execute(operation.id, { parameters });
        await person.close(operation.id);
        judged += 1;
        const refusal = REFUSED[operation.id];
        const isFine = refusal ? status === refusal : status >= 200 && status < 300;
        if (!isFine || !responses[status]) odd.push(`${operation.id}: ${status}`);
      }
      assert.deepEqual(odd, []);
      assert.equal(judged, OPERATIONS.length);
    });

    testOnce("a person logs in with the keyboard alone, and sees where it is", async (t) => {
      const { page } = await visit(t, browser, base);
      const walkTo = async (what, selector) => {
        for (let steps = 0; steps < 8; steps += 1) {
          await page.keyboard.press("Tab");
          if (await page.evaluate((selector) => document.activeElement.matches(selector), selector)) {
            const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
            assert.equal(outline, "solid", what);
            return;
          }
        }
        assert.fail(`the keyboard does not reach ${what}`);
      };
      await walkTo("the link", ".login a");
      await page.keyboard.press("Enter");
      const open = "#operations-Account-login_account.is-open";
      await page.locator(`${open} .opblock-summary-control:focus`).waitFor();
      await page.locator(`${open} .execute`).waitFor();
      await walkTo("the body", `${open} textarea`);
      await page.keyboard.press("Control+A");
      await page.keyboard.type(ADMIN);
      await walkTo("Execute", `${open} .execute`);
      const answered = page.waitForResponse(`${base}/v1/login`);
      await page.keyboard.press("Enter");
      assert.equal((await answered).status(), 200);
    });

    testOnce("in a narrow window nothing lies to the side of it", async (t) => {
      const person = await visit(t, browser, base, { viewport: { width: 360, height: 740 } });
      const width = () => person.page.evaluate(() => document.documentElement.scrollWidth);
      await person.screenshot("narrow-first-screen");
      assert.equal(await width(), 360);
      assert.equal(await person.execute("login_account", { body: ADMIN }), 200);
      for (const id of ["list_users", "update_session", "get_jwks"]) {
        assert.equal(await person.execute(id), 200);
        await person.screenshot(`narrow-${id}`);
        assert.equal(await width(), 360, id);
        await person.close(id);
      }
    });

    testOnce("who asks for dark colours gets them, and who does not gets light ones", async (t) => {
      for (const [colorScheme, isRight] of [
        ["dark", (light) => light < 80],
        ["light", (light) => light > 200],
      ]) {
        const person = await visit(t, browser, base, { colorScheme });
        const picture = await person.screenshot(`${colorScheme}-first-screen`);
        const light = await lightOf(browser, picture);
        assert.ok(isRight(light), `${colorScheme}: ${light} of 255`);
        assert.equal(await person.execute("login_account", { body: ADMIN }), 200);
        await person.screenshot(`${colorScheme}-log-in`);
      }
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

/** The body that the document gives as an example. */
function exampleOf({ requestBody }) {
  const { example, schema } = requestBody.content["application/json"];
  const { examples } = requestBody.content["application/json"];
  const ofSchema = () => DOCUMENT.components.schemas[schema.$ref.split("/").at(-1)].example;
  return example ?? Object.values(examples ?? {})[0]?.value ?? ofSchema();
}

/** The path with the examples of its parameters. */
function example(path, { parameters }) {
  return path.replace(/\{(\w+)\}/g, (_, name) => parameters.find((parameter) => parameter.name === name).example);
}

/** How light a picture is in the middle of its points: 0 is black, 255 white. */
async function lightOf(browser, png) {
  const page = await browser.newPage();
  const light = await page.evaluate(async (url) => {
    const picture = await createImageBitmap(await (await fetch(url)).blob());
    const canvas = new OffscreenCanvas(picture.width, picture.height).getContext("2d");
    canvas.drawImage(picture, 0, 0);
    const points = canvas.getImageData(0, 0, picture.width, picture.height).data.filter((_, at) => at % 4 !== 3);
    return points.reduce((sum, point) => sum + point, 0) / points.length;
  }, `data:image/png;base64,${png.toString("base64")}`);
  await page.close();
  return light;
}

/** Somebody who opened /docs in a browser without a past. */
async function visit(t, browser, base, options = {}) {
  const usual = { ignoreHTTPSErrors: true, viewport: { width: 1280, height: 900 } };
  const context = await browser.newContext({ ...usual, ...options });
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
