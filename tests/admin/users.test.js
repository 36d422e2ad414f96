// Users, one and many, and two who change the same.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { admin, base, find, fresh, hold, letters, refused, scene, someone, staff, visitor } from "./scene.js";
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
    await person.said("a mail is on its way.");
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
    await person.at("Users");
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
    await person.at("newcomer");
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
    await person.field(`Choose ${users[1].username}`).check();
    await group.fill("Interns");
    await group.press("Enter");
    await person.button("Take out …").click();
    assert.match(await person.dialog.innerText(), /Take 2 users out of Interns\?[^]*They lose what Interns grants\./);
    await person.button("Take out", person.dialog).click();
    await person.said("Done for 2 users.");
    assert.deepEqual(await Promise.all([0, 1, 2].map(async (at) => (await fresh(users[at])).groups)), [[], [], ["Interns"]]);
    await person.field(`Choose ${users[0].username}`).check();
    await person.button("Enable …").click();
    await person.button("Enable", person.dialog).click();
    await person.said("Done for 1 user.");
    assert.equal((await fresh(users[0])).is_active, true);
  });

  test("many are logged out at once, and a stop says how far it came", async (t) => {
    const users = [];
    for (let i = 0; i < 6; i += 1) users.push(await someone({ last_name: "Stopped" }));
    const people = await Promise.all(users.map(({ username }) => new Person(base).logIn(username)));
    const gone = async () => {
      const answers = await Promise.all(people.map((person) => person.send("GET", "/v1/me")));
      return answers.filter(({ status }) => status === 401).length;
    };
    const person = await visitor(t, { as: "rita" });
    await person.open("users?search=stopped");
    await person.field("Choose all on this page").check();
    const { held, goOn } = hold();
    let asked = 0;
    await person.page.route("**/v1/users/*/sessions", async (route) => {
      asked += 1;
      if (asked === 3) await held;
      await route.continue();
    });
    await person.button("Log out …").click();
    assert.match(await person.dialog.innerText(), /Log out 6 users\?[^]*All of their sessions and API tokens end\./);
    await person.button("Log out", person.dialog).click();
    await person.dialog.getByText(/^2 of 6 someone/).waitFor();
    // Twice, as the second Escape closes a dialog without a question.
    await person.page.keyboard.press("Escape");
    await person.page.keyboard.press("Escape");
    await person.dialog.getByText(/^2 of 6 someone/).waitFor();
    goOn();
    await person.page.getByRole("heading", { name: "Done for 3, refused for 0, stopped before 3" }).waitFor();
    await person.axe("what was stopped");
    assert.equal(await gone(), 3);
    await person.button("Close").click();
    await person.field("Choose all on this page").check();
    await person.button("Log out …").click();
    await person.button("Log out", person.dialog).click();
    await person.said("Done for 6 users.");
    assert.equal(await gone(), 6);
  });

  test("sessions come by fifty, and what counts them tells the truth", async (t) => {
    const user = await someone();
    for (let at = 0; at < 11; at += 1) {
      await Promise.all(Array.from({ length: 5 }, () => new Person(base).logIn(user.username)));
    }
    const person = await visitor(t, { as: "rita" });
    await person.open(`users/${user.id}`);
    const rows = person.page.getByRole("region", { name: `Open sessions of ${user.username}` }).locator("tbody tr");
    assert.equal(await rows.count(), 50);
    await person.page.getByText("The newest 50 sessions; there are more.").waitFor();
    await person.button("Show more").scrollIntoViewIfNeeded();
    await person.axe("more sessions");
    await person.screenshot("show-more");
    await person.button("Delete …").click();
    assert.match(await person.dialog.innerText(), /This ends every open session and 0 API tokens/);
    await person.button("Cancel", person.dialog).click();
    await person.button("Show more").focus();
    await person.page.keyboard.press("Enter");
    await rows.nth(54).waitFor();
    assert.equal(await rows.count(), 55);
    assert.equal(await person.button("Show more").count(), 0);
    const place = await person.page.evaluate(() => document.activeElement.getAttribute("aria-label"));
    assert.equal(place, `Open sessions of ${user.username}`, "the focus is not lost");
    await person.act(/^End the session of/, "End the session");
    assert.equal(await rows.count(), 54, "what was shown stays");
    const said = await person.act("Log out everywhere …", "Log out everywhere");
    assert.match(said, /This ends 54 open sessions/);
  });

  test("the own account is left for good by what ends it", async (t) => {
    const acts = [
      ["Disable …", (name) => `Disable ${name}`, /cannot log in again until somebody else enables it/],
      ["Take the password away …", () => "Take the password away", /cannot log in again until that command was run/],
      ["Delete …", (name) => `Delete ${name}`, /you are logged out, and cannot log in again\./],
    ];
    for (const [act, yes, words] of acts) {
      const self = await staff({ is_superuser: true });
      const person = await visitor(t, { as: self.username });
      await person.open(`users/${self.id}`);
      await person.field("Given name").fill("Typed");
      await person.button(act).click();
      assert.match(await person.dialog.innerText(), words);
      await person.button(yes(self.username), person.dialog).click();
      await person.at("Log in");
      assert.equal(await person.page.locator("dialog[open]").count(), 0);
      assert.equal((await new Person(base).send("POST", "/v1/login", { username: self.username, password: PASSWORD })).status, 401);
      await person.field("Name").fill("rita");
      await person.field("Password").fill(PASSWORD);
      await person.button("Log in").click();
      await person.page.locator(".chart").first().waitFor();
    }
  });

  test("the own address is changed where the present password is asked for", async (t) => {
    const self = await staff({ is_superuser: true });
    const person = await visitor(t, { as: self.username });
    await person.open(`users/${self.id}`);
    assert.equal(await person.field("Address").getAttribute("readonly"), "");
    assert.equal(await person.field("Address").inputValue(), self.email);
    await person.field("Given name").fill("Selma");
    await person.button("Save").click();
    await person.said("The user is saved.");
    await person.page.getByRole("link", { name: "change it in your account" }).click();
    await person.at("Your account");
    assert.equal(await person.field("Address").inputValue(), self.email);
  });

  test("a picker says what is wrong with what was picked", async (t) => {
    const group = await admin.ask("POST", "/v1/groups", { name: "Short-lived", permissions: [] });
    const person = await visitor(t, { as: "rita" });
    await person.open("users/new");
    await person.field("Name").fill("never-made");
    await person.pick("Groups", "group", "Short-lived");
    await admin.ask("DELETE", `/v1/groups/${group.id}`);
    await person.button("Make the user").click();
    await refused(person, /Members of the request cannot be accepted/);
    const box = person.page.getByRole("group", { name: "Groups", exact: true });
    const fault = person.page.locator(`[id="${await box.getAttribute("aria-describedby")}"]`);
    assert.match(await fault.innerText(), /there is no group of this name/);
    assert.equal(await box.getByLabel("Find a group").getAttribute("aria-invalid"), "true");
    await person.axe("a picker with a fault");
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

  test("an act beside the form does not hide that somebody else changed the same", async (t) => {
    const user = await someone({ first_name: "Old" });
    await new Person(base).logIn(user.username);
    const person = await visitor(t, { as: "rita" });
    await person.open(`users/${user.id}`);
    await person.field("Given name").fill("Mine");
    await admin.ask("PATCH", `/v1/users/${user.id}`, { first_name: "Theirs", last_name: "Also theirs" });
    await person.act("Log out everywhere …", "Log out everywhere");
    await person.act("Disable …", `Disable ${user.username}`);
    assert.match(await person.page.locator(".head").innerText(), /disabled/, "what was done is seen");
    assert.equal(await person.field("Given name").inputValue(), "Mine");
    await person.button("Save").click();
    await person.dialog.getByText("Somebody else changed this meanwhile").waitFor();
    assert.equal((await fresh(user)).first_name, "Theirs");
    await person.dialog.getByRole("radio").nth(0).check();
    await person.button("Save both").click();
    await person.said("The user is saved.");
    const now = await fresh(user);
    assert.deepEqual([now.first_name, now.last_name, now.is_active], ["Theirs", "Also theirs", false]);

    // What does not contradict is taken over, and nothing is asked.
    await person.field("Given name").fill("Mine again");
    await admin.ask("PATCH", `/v1/users/${user.id}`, { last_name: "New" });
    await person.act("Enable …", `Enable ${user.username}`);
    assert.equal(await person.field("Family name").inputValue(), "New");
    await person.button("Save").click();
    await person.said("The user is saved.");
    assert.deepEqual([(await fresh(user)).first_name, (await fresh(user)).last_name], ["Mine again", "New"]);
  });

  test("what is typed while it is being saved stays, and is not saved yet", async (t) => {
    const user = await someone();
    const person = await visitor(t, { as: "rita" });
    await person.open(`users/${user.id}`);
    await person.page.route(`**/v1/users/${user.id}`, async (route) => {
      if (route.request().method() === "PATCH") await new Promise((later) => setTimeout(later, 600));
      await route.continue();
    });
    await person.field("Given name").fill("Sent");
    await person.button("Save").click();
    await person.field("Given name").fill("Sent and more");
    await person.field("Family name").fill("Later");
    await person.said("The user is saved.");
    assert.equal(await person.field("Given name").inputValue(), "Sent and more");
    assert.equal(await person.field("Family name").inputValue(), "Later");
    await person.page.getByText("Unsaved: 2 members").waitFor();
    assert.equal((await fresh(user)).first_name, "Sent");
    await person.button("Save").click();
    await person.said("The user is saved.");
    assert.deepEqual([(await fresh(user)).first_name, (await fresh(user)).last_name], ["Sent and more", "Later"]);
  });

  test("what cannot be read again is said beside what is there", async (t) => {
    const user = await someone();
    await Promise.all([1, 2].map(() => new Person(base).logIn(user.username)));
    const person = await visitor(t, { as: "rita" });
    await person.open(`users/${user.id}`);
    await person.field("Given name").fill("Typed");
    const problem = { type: "about:blank", title: "Busy", status: 503, detail: "Wait.", code: "unavailable", request_id: "testtest" };
    await person.page.route("**/v1/users/*/sessions?*", (route) =>
      route.fulfill({ status: 503, contentType: "application/problem+json", json: problem }),
    );
    await person.act(/^End the session of/, "End the session");
    await refused(person, /Busy\. Wait\./);
    await person.axe("what cannot be read again");
    assert.equal(await person.field("Given name").inputValue(), "Typed");
    assert.equal(await person.page.getByRole("region", { name: /^Open sessions of/ }).locator("tbody tr").count(), 2);
    await person.page.unroute("**/v1/users/*/sessions?*");
    await person.button("Try again").click();
    await person.page.locator(".problem").waitFor({ state: "detached" });
    assert.equal(await person.page.getByRole("region", { name: /^Open sessions of/ }).locator("tbody tr").count(), 1);
    await person.button("Save").click();
    await person.said("The user is saved.");
  });

  test("a change that is outdated again and again is given up, and stays as it was typed", async (t) => {
    const user = await someone();
    const person = await visitor(t, { as: "rita" });
    await person.open(`users/${user.id}`);
    let tries = 0;
    const problem = { type: "about:blank", title: "Outdated", status: 412, detail: "Again.", code: "precondition_failed", request_id: "testtest" };
    await person.page.route(`**/v1/users/${user.id}`, async (route) => {
      if (route.request().method() !== "PATCH") return route.continue();
      tries += 1;
      return route.fulfill({ status: 412, contentType: "application/problem+json", json: problem });
    });
    await person.field("Given name").fill("Typed");
    await person.button("Save").click();
    await refused(person, /Outdated\. Again\./);
    assert.equal(tries, 3);
    assert.equal(await person.field("Given name").inputValue(), "Typed");
  });

  test("a tag that was weakened on the way is as good; without one nothing is saved", async (t) => {
    const user = await someone();
    const person = await visitor(t, { as: "rita" });
    let change = (headers) => ({ ...headers, etag: `W/${headers.etag}` });
    const sent = [];
    await person.page.route(`**/v1/users/${user.id}`, async (route) => {
      if (route.request().method() === "PATCH") sent.push(route.request().headers()["if-match"]);
      const response = await route.fetch();
      await route.fulfill({ response, headers: change(response.headers()) });
    });
    await person.open(`users/${user.id}`);
    await person.field("Given name").fill("Weak");
    await person.button("Save").click();
    await person.said("The user is saved.");
    assert.match(sent.join(), /^"\d+"$/);
    change = ({ etag, ...headers }) => headers;
    await person.page.reload();
    await person.ready();
    await person.field("Given name").fill("None");
    await person.button("Save").click();
    await person.page.getByText(/takes the tags \(ETag\) of its answers away/).waitFor();
    assert.equal(sent.length, 1);
    assert.equal((await fresh(user)).first_name, "Weak");
    // So that leaving asks nothing.
    await person.button("Undo").click();
  });
});
