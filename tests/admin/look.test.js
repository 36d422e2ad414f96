// How it looks, in each theme and at each width.

import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import { admin, scene, visitor } from "./scene.js";
import { identity } from "./world.js";

scene({ users: 2_000 });

describe("the look", { concurrency: 2 }, () => {
  const PAGES = {
    overview: "",
    users: "users",
    "new-user": "users/new",
    user: () => `users/${identity(rich)}`,
    groups: "groups",
    "new-group": "groups/new",
    group: `groups/${identity("Editors")}`,
    permissions: "permissions",
    permission: "permissions/wiki/view_page",
    sessions: "sessions",
    audit: "audit",
    account: "account",
  };
  let rich;
  before(async () => {
    const { items } = await admin.ask("GET", "/v1/users?permission=shop.view_order&group=Editors&limit=1");
    rich = items[0].username;
  });

  for (const scheme of ["light", "dark"]) {
    for (const width of [360, 1280, 3840]) {
      test(`every page in ${scheme} at ${width} pixels`, async (t) => {
        const person = await visitor(t, { as: "rita", scheme, width, height: width === 3840 ? 2160 : 900 });
        for (const [name, path] of Object.entries(PAGES)) {
          await person.open(typeof path === "function" ? path() : path);
          const what = `${name}, ${scheme}, ${width}`;
          await person.fits(what);
          await person.screenshot(`${name}-${scheme}-${width}`);
          await person.axe(what);
        }
        if (width === 360) {
          await person.button("Menu").click();
          await person.page.getByRole("link", { name: "Audit log" }).waitFor();
          await person.axe(`the menu, ${scheme}`);
          await person.screenshot(`menu-${scheme}-360`);
        }
      });
    }
  }

  test("the switch is stronger than the system, and is kept", async (t) => {
    const person = await visitor(t, { as: "rita", scheme: "light" });
    await person.open("groups");
    const ground = () => person.page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const light = await ground();
    await person.field("Theme").selectOption("Dark");
    const dark = await ground();
    assert.notEqual(dark, light);
    await person.page.reload();
    await person.ready();
    assert.equal(await ground(), dark);
    await person.axe("dark by the switch");
    await person.field("Theme").selectOption("As the system");
    assert.equal(await ground(), light);
    await person.page.emulateMedia({ colorScheme: "dark" });
    assert.equal(await ground(), dark);
  });

  test("everything that is loaded weighs less than 100 KB", async (t) => {
    const person = await visitor(t);
    let weight = 0;
    const sizes = [];
    person.page.on("response", (response) => {
      if (!new URL(response.url()).pathname.startsWith("/admin")) return;
      sizes.push(response.request().sizes().then(({ responseBodySize, responseHeadersSize }) => {
        weight += responseBodySize + responseHeadersSize;
      }));
    });
    await person.logIn("rita");
    await person.open("");
    for (const path of ["users", "audit", "account"]) await person.page.getByRole("link").filter({ visible: true }).first().waitFor().then(() => person.open(path));
    await Promise.all(sizes);
    assert.ok(weight > 20_000 && weight < 100_000, `${weight} bytes`);
  });
});
