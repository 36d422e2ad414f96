// Without a mouse.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { admin, base, fresh, scene, someone, visitor } from "./scene.js";
import { PASSWORD } from "./signet.js";

scene();

/** Waits for what is said, and lets it pass by itself. */
const heard = (person, text) => person.page.locator(".notices", { hasText: text }).waitFor();

/** Somebody's keys. Where the focus is comes of them alone: nothing here moves it. */
function keysOf(person) {
  const { page } = person;
  const { keyboard } = page;
  const focused = () =>
    page.evaluate(() => {
      const at = document.activeElement;
      return (at?.getAttribute("aria-label") ?? at?.labels?.[0]?.textContent ?? at?.textContent ?? "").trim();
    });
  const tabTo = async (name, key = "Tab") => {
    for (let i = 0; i < 160; i += 1) {
      if ((await focused()) === name) {
        const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
        assert.equal(outline, "solid", `the focus on ${name} is seen`);
        const isCovered = await page.evaluate(() => {
          const { left, top, width, height } = document.activeElement.getBoundingClientRect();
          const seen = document.elementFromPoint(left + width / 2, top + height / 2);
          return seen !== null && seen.closest(".save") !== null && !document.activeElement.closest(".save");
        });
        assert.equal(isCovered, false, `${name} is not behind the foot of a form`);
        return;
      }
      await keyboard.press(key);
    }
    assert.fail(`no way to ${name} by the keyboard`);
  };
  const backTo = (name) => tabTo(name, "Shift+Tab");
  /** Goes there, and presses Enter. */
  const press = async (name) => {
    await tabTo(name);
    await keyboard.press("Enter");
  };
  return { page, keyboard, focused, tabTo, backTo, press };
}

describe("the keyboard alone", { concurrency: 1 }, () => {
  test("suffices to log in, find a user, change and disable them, and leave", async (t) => {
    const user = await someone({ last_name: "Keyboardist" });
    const person = await visitor(t);
    const { page, keyboard, focused, tabTo, backTo } = keysOf(person);
    await page.goto(`${base}/admin/`);
    await person.at("Log in");
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
    await person.at("Users");
    assert.equal(await focused(), "Users", "the heading of the new page has the focus");
    await tabTo("Search");
    await keyboard.type("keyboardist");
    await page.waitForFunction(
      () =>
        location.search.includes("search=keyboardist") &&
        !document.querySelector("[aria-busy=true]") &&
        document.querySelectorAll("tbody th a").length === 1,
    );
    await tabTo(user.username);
    await keyboard.press("Enter");
    await person.at(user.username);
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
    await heard(person, "The user is saved.");
    const now = await fresh(user);
    assert.deepEqual([now.first_name, now.groups], ["Kay", ["Interns"]]);
    await backTo("Disable …");
    await keyboard.press("Enter");
    assert.equal(await focused(), "Cancel", "what does nothing has the focus");
    await keyboard.press("Escape");
    await person.dialog.waitFor({ state: "detached" });
    assert.equal(await focused(), "Disable …", "the focus is where it was");
    await keyboard.press("Enter");
    await tabTo(`Disable ${user.username}`);
    await keyboard.press("Enter");
    await heard(person, `${user.username} is disabled.`);
    assert.equal((await fresh(user)).is_active, false);
  });

  test("suffices to make a group, put somebody in, and end it", async (t) => {
    const user = await someone();
    const person = await visitor(t, { as: "rita" });
    const { page, keyboard, focused, tabTo, backTo, press } = keysOf(person);
    await person.open("groups");
    await press("New group");
    await person.at("New group");
    await tabTo("Name");
    await keyboard.type("Keyboard club");
    await press("Add a permission");
    await tabTo("Find a permission");
    await keyboard.type("wiki.view_page");
    await page.waitForFunction(() => document.querySelectorAll(".offers button").length === 1);
    await keyboard.press("Tab");
    await keyboard.press("Enter");
    await page.locator(".chips", { hasText: "wiki.view_page" }).waitFor();
    assert.equal(await focused(), "Find a permission", "the focus is where more are found");
    await press("Make the group");
    await person.at("Keyboard club");
    assert.equal(await focused(), "Keyboard club");
    await tabTo("Add a user");
    await keyboard.type(user.username);
    await keyboard.press("Enter");
    await heard(person, `${user.username} is in Keyboard club.`);
    assert.deepEqual((await fresh(user)).groups, ["Keyboard club"]);
    await page.getByRole("link", { name: user.username }).waitFor();
    await press(`Take out ${user.username}`);
    await press("Take out");
    await heard(person, `${user.username} is out of Keyboard club.`);
    assert.deepEqual((await fresh(user)).groups, []);
    await backTo("Delete …");
    await keyboard.press("Enter");
    await press("Delete the group");
    await heard(person, "The group Keyboard club is deleted.");
    await person.at("Groups");
  });

  test("suffices to say which of two changes holds", async (t) => {
    const user = await someone({ first_name: "Old" });
    const person = await visitor(t, { as: "rita" });
    const { keyboard, tabTo, press } = keysOf(person);
    await person.open(`users/${user.id}`);
    await tabTo("Given name");
    await keyboard.press("Control+a");
    await keyboard.type("Mine");
    await admin.ask("PATCH", `/v1/users/${user.id}`, { first_name: "Theirs" });
    await keyboard.press("Enter");
    await person.dialog.getByText("Somebody else changed this meanwhile").waitFor();
    await tabTo("Theirs");
    await keyboard.press("ArrowRight");
    await tabTo("Mine");
    assert.equal(await person.dialog.getByRole("radio").nth(1).isChecked(), true);
    await press("Save both");
    await heard(person, "The user is saved.");
    assert.equal((await fresh(user)).first_name, "Mine");
  });

  test("suffices to log in again, and the focus is where it was", async (t) => {
    const user = await someone();
    const clerk = await someone({ is_staff: true, is_superuser: true });
    const person = await visitor(t, { as: clerk.username });
    const { keyboard, focused, tabTo } = keysOf(person);
    await person.open(`users/${user.id}`);
    await tabTo("Given name");
    await keyboard.type("Typed");
    await admin.ask("DELETE", `/v1/users/${clerk.id}/sessions`);
    await keyboard.press("Enter");
    await person.dialog.getByText("Your session has ended").waitFor();
    assert.equal(await focused(), "Password");
    await keyboard.type(PASSWORD);
    await keyboard.press("Enter");
    await person.dialog.waitFor({ state: "detached" });
    assert.equal(await focused(), "Given name");
    await person.page.getByText("The user is saved.").waitFor();
    assert.equal((await fresh(user)).first_name, "Typed");
  });
});
