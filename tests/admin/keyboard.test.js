// Without a mouse.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { base, fresh, scene, someone, visitor } from "./scene.js";
import { PASSWORD } from "./signet.js";

scene();

describe("the keyboard alone", { concurrency: 1 }, () => {
  test("suffices to log in, find a user, change and disable them, and leave", async (t) => {
    const user = await someone({ last_name: "Keyboardist" });
    const person = await visitor(t);
    const { page } = person;
    const { keyboard } = page;
    const focused = () =>
      page.evaluate(() => {
        const at = document.activeElement;
        return (at?.getAttribute("aria-label") ?? at?.labels?.[0]?.textContent ?? at?.textContent ?? "").trim();
      });
    const tabTo = async (name) => {
      for (let i = 0; i < 120; i += 1) {
        if ((await focused()) === name) {
          const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
          assert.equal(outline, "solid", `the focus on ${name} is seen`);
          return;
        }
        await keyboard.press("Tab");
      }
      assert.fail(`no way to ${name} by the keyboard`);
    };
    await page.goto(`${base}/admin/`);
    await page.getByRole("heading", { name: "Log in" }).waitFor();
    await tabTo("Name");
    await keyboard.type("rita");
    await keyboard.press("Tab");
    await keyboard.type(PASSWORD);
    await keyboard.press("Enter");
    await page.locator(".chart").first().waitFor();
    await keyboard.press("Tab");
    assert.equal(await focused(), "Skip to the content");
    await person.screenshot("skip-link");
    await keyboard.press("Enter");
    assert.equal(await page.evaluate(() => document.activeElement?.id), "main");
    await keyboard.press("Shift+Tab");
    await page.reload();
    await person.ready();
    await tabTo("Users");
    await keyboard.press("Enter");
    await page.getByRole("heading", { name: "Users" }).waitFor();
    assert.equal(await focused(), "Users", "the heading of the new page has the focus");
    await tabTo("Search");
    await keyboard.type("keyboardist");
    await page.waitForFunction(() => document.querySelectorAll("tbody th a").length === 1);
    await tabTo(user.username);
    await keyboard.press("Enter");
    await page.getByRole("heading", { name: user.username }).waitFor();
    await tabTo("Given name");
    await keyboard.type("Kay");
    await tabTo("Add a group");
    await keyboard.press("Enter");
    await tabTo("Find a group");
    await keyboard.type("intern");
    await page.waitForFunction(() => document.querySelectorAll(".offers button").length === 1);
    await keyboard.press("Tab");
    await keyboard.press("Enter");
    await page.locator(".chips", { hasText: "Interns" }).first().waitFor();
    await tabTo("Save");
    await keyboard.press("Enter");
    await person.said("The user is saved.");
    const now = await fresh(user);
    assert.deepEqual([now.first_name, now.groups], ["Kay", ["Interns"]]);
    await page.evaluate(() => document.querySelector("h1").focus());
    await tabTo("Disable …");
    await keyboard.press("Enter");
    assert.equal(await focused(), "Cancel", "what does nothing has the focus");
    await keyboard.press("Escape");
    await person.dialog.waitFor({ state: "detached" });
    assert.equal(await focused(), "Disable …", "the focus is where it was");
    await keyboard.press("Enter");
    await tabTo(`Disable ${user.username}`);
    await keyboard.press("Enter");
    await person.said(`${user.username} is disabled.`);
    assert.equal((await fresh(user)).is_active, false);
  });
});
