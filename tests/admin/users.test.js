// Users, one and many, and two who change the same.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { admin, base, find, fresh, letters, refused, scene, someone, visitor } from "./scene.js";
import { PASSWORD, Person } from "./signet.js";

scene();

describe("a user", { concurrency: 2 }, () => {
  test("each effective permission says where it comes from, before and after a change", async (t) => {
    const user = await someone({ groups: ["Moderators", "Editors"], user_permissions: ["news.view_comment", "wiki.view_page"] });
    const person = await visitor(t, { as: "rita" });
    await person.open(`users/${user.id}`);
    const row = (permission) => person.page.locator(".effective tr", { hasText: permission });
    const origin = async (permission) => (await row(permission).locator("td li").allInnerTexts()).join();
    assert.equal(await origin("news.view_comment"), "direct,Editors,Moderators");
    assert.equal(await origin("news.delete_comment"), "Moderators");
    assert.equal(await origin("wiki.view_page"), "direct");
    await person.button("Take away group Moderators").click();
    assert.match(await row("news.delete_comment").innerText(), /lost when saved/);
    await person.pick("Groups", "group", "Interns");
    await person.pick("Direct permissions", "permission", "stock.view_item");
    assert.match(await row("stock.view_item").innerText(), /when saved/);
    assert.equal(await origin("wiki.view_page"), "direct,Interns");
    await person.axe("a user being edited");
    await person.screenshot("user-edited");

    await person.field("Given name").fill("Sam");
    await person.field("Family name").fill("Something");
    await person.field("Address").fill("sam@example.com");
    await person.field("Staff").check();
    await person.field("Superuser").check();
    await person.button("Save").click();
    await person.said("The user is saved.");
    const now = await fresh(user);
    assert.deepEqual(now.groups, ["Editors", "Interns"]);
    assert.deepEqual(now.user_permissions, ["news.view_comment", "stock.view_item", "wiki.view_page"]);
    assert.deepEqual([now.first_name, now.last_name, now.email], ["Sam", "Something", "sam@example.com"]);
    assert.deepEqual([now.is_staff, now.is_superuser], [true, true]);
    assert.equal(await row("news.delete_comment").count(), 0);
    assert.match(await person.page.locator("main").innerText(), /A superuser has every permission/);
    await person.field("Superuser").uncheck();
    await person.button("Save").click();
    await person.said("The user is saved.");
    assert.equal((await fresh(user)).is_superuser, false);
  });

  test("each act says what it does to whom, asks once, and does it", async (t) => {
    const user = await someone();
    const devices = await Promise.all([1, 2, 3].map(() => new Person(base).logIn(user.username)));
    const tokens = [];
    for (const name of ["first", "second", "third"]) {
      tokens.push(await devices[0].ask("POST", "/v1/tokens", { name, permissions: [] }));
    }
    const person = await visitor(t, { as: "rita" });
    await person.open(`users/${user.id}`);

    // A no is a no.
    await person.button("Delete …").click();
    assert.match(await person.dialog.innerText(), new RegExp(`Delete ${user.username}\\?[^]*3 open sessions and 3 API tokens`));
    await person.axe("the question");
    await person.screenshot("question");
    await person.button("Cancel", person.dialog).click();
    await person.button("Delete …").click();
    await person.page.keyboard.press("Escape");
    await person.dialog.waitFor({ state: "detached" });
    assert.equal((await fresh(user)).username, user.username);

    const sessions = () => admin.ask("GET", `/v1/users/${user.id}/sessions`).then(({ items }) => items.length);
    await person.act(/^End the session of/, "End the session");
    await person.said("The session has ended.");
    assert.equal(await sessions(), 2);
    await person.act("End the API token second", "End the token");
    await person.said("The API token has ended.");
    const left = await admin.ask("GET", `/v1/users/${user.id}/tokens`);
    assert.deepEqual(left.items.map(({ name }) => name).sort(), ["first", "third"]);
    await person.act("End all …", "End all tokens");
    assert.deepEqual((await admin.ask("GET", `/v1/users/${user.id}/tokens`)).items, []);
    assert.equal(await sessions(), 2);
    const said = await person.act("Log out everywhere …", "Log out everywhere");
    assert.match(said, new RegExp(`Log ${user.username} out everywhere\\?[^]*2 open sessions`));
    assert.equal(await sessions(), 0);

    await person.act("Send a password reset …", "Send the mail");
    await person.said("A mail is on its way");
    for (let i = 0; i < 50 && !(await letters()).some((letter) => letter.includes(user.email)); i += 1) {
      await new Promise((later) => setTimeout(later, 100));
    }
    assert.ok((await letters()).some((letter) => letter.includes(user.email)));

    await devices[0].logIn(user.username);
    assert.match(await person.act("Disable …", `Disable ${user.username}`), /cannot log in any more/);
    assert.equal((await fresh(user)).is_active, false);
    assert.equal((await devices[0].send("GET", "/v1/me")).status, 401);
    assert.match(await person.page.locator(".head").innerText(), /disabled/);
    assert.equal(await person.button("Send a password reset …").count(), 0);
    await person.act("Enable …", `Enable ${user.username}`);
    assert.equal((await fresh(user)).is_active, true);
    await person.act("Take the password away …", "Take the password away");
    assert.equal((await fresh(user)).has_usable_password, false);
    assert.equal(await person.button("Send a password reset …").count(), 0);
    await person.act("Delete …", `Delete ${user.username}`);
    assert.equal((await admin.send("GET", `/v1/users/${user.id}`)).status, 404);
    assert.equal(new URL(person.page.url()).pathname, "/admin/users");
  });

  test("a new one is made with everything, and what is wrong is said where it is", async (t) => {
    const person = await visitor(t, { as: "rita" });
    await person.open("users/new");
    await person.field("Name").fill("olga");
    await person.field("Password").fill("password");
    await person.button("Make the user").click();
    await refused(person, /Members of the request cannot be accepted/);
    assert.equal(await person.field("Password").getAttribute("aria-invalid"), "true");
    await person.axe("a refused form");
    await person.field("Password").fill(PASSWORD);
    await person.button("Make the user").click();
    await refused(person, /The name is in use/);
    await person.field("Name").fill("newcomer");
    await person.field("Given name").fill("Nina");
    await person.field("Family name").fill("New");
    await person.field("Address").fill("nina@example.com");
    await person.field("Active").uncheck();
    await person.field("Staff").check();
    await person.pick("Groups", "group", "Auditors");
    await person.pick("Direct permissions", "permission", "wiki.add_page");
    await person.button("Make the user").click();
    await person.page.getByRole("heading", { name: "newcomer" }).waitFor();
    const user = await find("newcomer");
    const { first_name, last_name, email, is_active, is_staff, is_superuser, groups, user_permissions } = user;
    assert.deepEqual(
      { first_name, last_name, email, is_active, is_staff, is_superuser, groups, user_permissions },
      {
        first_name: "Nina",
        last_name: "New",
        email: "nina@example.com",
        is_active: false,
        is_staff: true,
        is_superuser: false,
        groups: ["Auditors"],
        user_permissions: ["wiki.add_page"],
      },
    );
  });

  test("many are acted on at once, with progress, and each refusal is told", async (t) => {
    const users = [];
    for (let i = 0; i < 12; i += 1) users.push(await someone({ last_name: "Bulk" }));
    const person = await visitor(t, { as: "rita" });
    await person.open("users?search=bulk");
    await person.field("Choose all on this page").check();
    await admin.ask("DELETE", `/v1/users/${users[5].id}`);
    await person.page.route("**/v1/users/**", async (route) => {
      await new Promise((later) => setTimeout(later, 40));
      await route.continue();
    });
    await person.button("Disable …").click();
    assert.match(await person.dialog.innerText(), /Disable 12 users\?[^]*someone\d+, [^]*and 4 more/);
    await person.button("Disable", person.dialog).click();
    await person.dialog.getByText(/^[1-9]\d* of 12 someone/).waitFor();
    await person.axe("progress");
    await person.page.getByRole("heading", { name: "Done for 11, refused for 1" }).waitFor();
    await person.axe("what was refused");
    assert.match(await person.dialog.getByRole("alert").innerText(), /someone\d+: .*\(request [\w-]+\)/);
    for (const [at, user] of users.entries()) if (at !== 5) assert.equal((await fresh(user)).is_active, false);
    await person.button("Close").click();
    await person.field("Choose all on this page").check();
    const group = person.page.locator(".acts").getByLabel("Group");
    await group.fill("Interns");
    await group.press("Enter");
    await person.button("Put in …").click();
    await person.button("Put in", person.dialog).click();
    await person.said("Done for 11 users.");
    assert.deepEqual((await fresh(users[0])).groups, ["Interns"]);
    await person.field(`Choose ${users[0].username}`).check();
    await person.button("Enable …").click();
    await person.button("Enable", person.dialog).click();
    await person.said("Done for 1 user.");
    assert.equal((await fresh(users[0])).is_active, true);
  });
});

describe("two at once", { concurrency: 2 }, () => {
  test("a conflict shows both changes, and none is lost", async (t) => {
    const user = await someone({ groups: ["Interns", "Authors"], first_name: "Old" });
    const person = await visitor(t, { as: "rita" });
    await person.open(`users/${user.id}`);
    await person.field("Given name").fill("Mine");
    await person.field("Address").fill("mine@example.com");
    await person.button("Take away group Interns").click();
    await person.pick("Groups", "group", "Moderators");
    await admin.ask("PATCH", `/v1/users/${user.id}`, {
      first_name: "Theirs",
      last_name: "Also theirs",
      groups: ["Interns", "Authors", "Editors"],
    });
    await person.button("Save").click();
    await person.dialog.waitFor();
    assert.match(await person.dialog.innerText(), /Somebody else changed this meanwhile/);
    await person.axe("the merge view");
    await person.screenshot("merge");
    assert.equal((await fresh(user)).first_name, "Theirs");
    assert.equal(await person.button("Save both").isDisabled(), true);
    await person.dialog.getByRole("radio").nth(1).check();

    // And once more, while it is looked at.
    await admin.ask("PATCH", `/v1/users/${user.id}`, { email: "theirs@example.com" });
    await person.button("Save both").click();
    await person.dialog.getByText("theirs@example.com").waitFor();
    await person.dialog.locator("tr", { hasText: "Address" }).getByRole("radio").nth(0).check();
    await person.button("Save both").click();
    await person.said("The user is saved.");
    const now = await fresh(user);
    assert.deepEqual([now.first_name, now.last_name, now.email], ["Mine", "Also theirs", "theirs@example.com"]);
    assert.deepEqual(now.groups, ["Authors", "Editors", "Moderators"]);
  });

  test("a change of something else is no conflict", async (t) => {
    const user = await someone();
    const person = await visitor(t, { as: "rita" });
    await person.open(`users/${user.id}`);
    await person.field("Given name").fill("Mine");
    await admin.ask("DELETE", `/v1/users/${user.id}/password`);
    await person.button("Save").click();
    await person.said("The user is saved.");
    assert.equal((await fresh(user)).first_name, "Mine");
  });

  test("a group and a permission have the same manners", async (t) => {
    const group = await admin.ask("POST", "/v1/groups", { name: "Shared", permissions: ["wiki.view_page"] });
    const person = await visitor(t, { as: "rita" });
    await person.open(`groups/${group.id}`);
    await person.pick("Permissions", "permission", "wiki.add_page");
    await admin.ask("PATCH", `/v1/groups/${group.id}`, { permissions: ["news.view_article"] });
    await person.button("Save").click();
    await person.button("Save both", person.dialog).click();
    await person.said("The group is saved.");
    const { permissions } = await admin.ask("GET", `/v1/groups/${group.id}`);
    assert.deepEqual(permissions, ["news.view_article", "wiki.add_page"]);
    await person.open("permissions/wiki/view_page");
    await person.field("Description").fill("Mine");
    await admin.ask("PATCH", "/v1/permissions/wiki.view_page", { description: "Theirs" });
    await person.button("Save").click();
    await person.button("Go on editing", person.dialog).click();
    assert.equal(await person.field("Description").inputValue(), "Mine");
    await person.button("Save").click();
    await person.said("The permission is saved.");
  });
});
