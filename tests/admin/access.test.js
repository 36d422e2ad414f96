// Who gets in, what they see of what they may do, and what is left when a session ends.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { admin, base, find, fresh, refused, scene, someone, staff, visitor } from "./scene.js";
import { PASSWORD, Person } from "./signet.js";
import { GROUPS, identity } from "./world.js";

scene();

describe("ways in and out", { concurrency: 1 }, () => {
  test("nobody is asked to log in, is told why it failed, and lands where they wanted to go", async (t) => {
    const person = await visitor(t);
    await person.page.goto(`${base}/admin/groups?search=Wiki`);
    await person.at("Log in");
    await person.screenshot("log-in");
    await person.axe("log in");
    await person.field("Name").fill("rita");
    await person.field("Password").fill("not the password");
    await person.button("Log in").click();
    await refused(person, /The log-in failed\. Check the name and the password\./);
    await person.axe("log-in refused");
    await person.field("Password").fill(PASSWORD);
    await person.button("Log in").click();
    await person.page.getByRole("link", { name: "Wiki editors" }).waitFor();
    assert.equal(new URL(person.page.url()).search, "?search=Wiki");

    const cookies = await person.context.cookies();
    const session = cookies.find(({ name }) => name === "__Host-signet");
    await person.button("Log out").click();
    await person.at("Log in");
    const answer = await fetch(`${base}/v1/me`, { headers: { cookie: `__Host-signet=${session.value}` } });
    assert.equal(answer.status, 401);
  });

  test("who is not staff gets a clear no, and their own account", async (t) => {
    const person = await visitor(t, { as: "olga" });
    for (const path of ["", "users", "sessions", `users/${identity("x")}`]) {
      await person.open(path);
      assert.match(await person.page.locator("main").innerText(), /This is for staff[^]*logged in as olga, who is not staff/);
    }
    await person.screenshot("not-staff");
    await person.axe("not staff");
    assert.equal(await person.page.getByRole("navigation", { name: "Administration" }).count(), 0);
    await person.page.getByRole("link", { name: "Go to your own account" }).click();
    await person.ready();
    assert.match(await person.page.locator("main").innerText(), /What you may do[^]*Authors[^]*wiki\.add_page/);
  });

  test("a place that is none says so", async (t) => {
    const person = await visitor(t, { as: "rita" });
    await person.open("nowhere/at/all");
    assert.equal(await person.page.locator("h1").innerText(), "There is no such page");
    await person.page.goto(`${base}/admin/users/${identity("nobody")}`);
    await refused(person, /There is no such thing/);
  });
});

describe("rights", { concurrency: 1 }, () => {
  test("nobody sees a control that the server would refuse", async (t) => {
    const beyond = await someone({ groups: ["Chief editors"] });
    const within = await someone({ groups: ["Interns"] });
    const person = await visitor(t, { as: "hilda" });
    const acts = async () => (await person.page.locator("main button").allInnerTexts()).filter((name) => /…|New|Add|Save/.test(name));

    for (const user of [beyond, await find("rita")]) {
      await person.open(`users/${user.id}`);
      assert.deepEqual(await acts(), []);
      assert.equal(await person.page.locator("main input").count(), 0);
      assert.match(await person.page.locator("main").innerText(), /rights beyond your own/);
    }
    await person.open(`users/${within.id}`);
    assert.deepEqual(await acts(), ["Send a password reset …", "Take the password away …", "Disable …", "Delete …", "Save"]);
    assert.equal(await person.field("Staff").count(), 0);
    assert.equal(await person.field("Superuser").count(), 0);
    assert.deepEqual(await person.offers("Groups", "group"), ["Help desk"]);
    assert.deepEqual(await person.offers("Direct permissions", "permission"), [...GROUPS["Help desk"]].sort());
    await person.pick("Groups", "group", "Help desk");
    await person.button("Save").click();
    await person.said("The user is saved.");
    assert.deepEqual((await fresh(within)).groups, ["Help desk", "Interns"]);

    await person.open("permissions");
    assert.deepEqual(await acts(), []);
    await person.open("permissions/wiki/view_page");
    assert.deepEqual(await acts(), []);
    await person.open(`groups/${identity("Chief editors")}`);
    assert.deepEqual(await acts(), []);
    await person.open(`groups/${identity("Interns")}`);
    assert.deepEqual((await acts()).filter((name) => name !== "Take out …"), ["Save"]);
    assert.equal(await person.field("Name").count(), 0);
    await person.open("sessions");
    assert.equal(await person.button("Log everybody out …").count(), 0);
    const rows = person.page.locator("tbody tr");
    assert.equal(await person.button(/^End the session of (rita|admin)/).count(), 0);
    assert.ok((await rows.count()) > 0);
    await person.open("users?search=someone");
    assert.equal(await person.page.getByLabel(`Choose ${beyond.username}`).count(), 0);
    assert.equal(await person.page.getByLabel(`Choose ${within.username}`).count(), 1);
    await person.open("users/new");
    assert.equal(await person.field("Staff").count(), 0);
  });

  test("the last superuser who is staff keeps what makes one", async (t) => {
    const [rita, self] = [await find("rita"), await find("admin")];
    const person = await visitor(t, { as: "admin" });
    const offers = async () => {
      const acts = await Promise.all(["Disable …", "Delete …"].map((name) => person.button(name).count()));
      const flags = await Promise.all(["Staff", "Superuser"].map((name) => person.field(name).count()));
      return [...acts, ...flags];
    };
    await person.open(`users/${self.id}`);
    assert.deepEqual(await offers(), [1, 1, 1, 1]);
    // One who may not enter administration is no help, and the server knows it.
    for (const change of [{ is_staff: false }, { is_superuser: false }]) {
      await admin.ask("PATCH", `/v1/users/${rita.id}`, change);
      for (const loss of [{ is_staff: false }, { is_superuser: false }, { is_active: false }]) {
        assert.equal((await admin.send("PATCH", `/v1/users/${self.id}`, loss)).status, 409);
      }
      await person.open(`users/${self.id}`);
      assert.deepEqual(await offers(), [0, 0, 0, 0]);
      assert.match(await person.page.locator("main").innerText(), /the last active superuser who may enter administration/);
      await admin.ask("PATCH", `/v1/users/${rita.id}`, { is_staff: true, is_superuser: true });
    }
  });

  test("a group is deleted by whoever has all that its members have, and by nobody else", async (t) => {
    const helper = await staff({ groups: ["Help desk", "Interns"] });
    const [mine, theirs] = await Promise.all(
      ["Within reach", "Beyond reach"].map((name) => admin.ask("POST", "/v1/groups", { name, permissions: ["wiki.view_page"] })),
    );
    await someone({ groups: ["Within reach", "Interns"] });
    const beyond = await someone({ groups: ["Beyond reach", "Chief editors"] });
    const person = await visitor(t, { as: helper.username });
    await person.open(`groups/${theirs.id}`);
    await person.page.getByText("Somebody in it has rights beyond your own").waitFor();
    assert.equal(await person.button("Delete …").count(), 0);

    // What is refused all the same is told, and is not offered again.
    await person.open(`groups/${mine.id}`);
    await person.button("Delete …").waitFor();
    await admin.ask("PATCH", `/v1/users/${beyond.id}`, { groups: ["Within reach", "Chief editors"] });
    await person.button("Delete …").click();
    await person.button("Delete the group", person.dialog).click();
    await refused(person, /This reaches beyond your own rights/);
    await person.button("Cancel", person.dialog).click();
    await person.page.getByText("Somebody in it has rights beyond your own").waitFor();
    assert.equal(await person.button("Delete …").count(), 0);
    await admin.ask("PATCH", `/v1/users/${beyond.id}`, { groups: [] });
    await person.page.reload();
    await person.act("Delete …", "Delete the group");
    assert.equal((await admin.send("GET", `/v1/groups/${mine.id}`)).status, 404);
  });

  test("whoever is no superuser ends the own sessions among everybody's, and those of others at their users", async (t) => {
    const helper = await staff({ groups: ["Help desk", "Interns"] });
    const user = await someone({ groups: ["Interns"] });
    await new Person(base).logIn(user.username);
    await new Person(base).logIn(helper.username);
    const person = await visitor(t, { as: helper.username });
    let asked = 0;
    person.page.on("request", (request) => (asked += /\/v1\/users\//.test(request.url()) ? 1 : 0));
    await person.open("sessions");
    const row = (name) => person.page.locator("tr", { hasText: name });
    assert.equal(await person.button(/^End the session/, row(user.username)).count(), 0);
    assert.equal(await person.button(/^End the session/, row(helper.username)).count(), 2);
    assert.equal(asked, 0);
    await person.page.getByRole("link", { name: user.username, exact: true }).click();
    await person.at(user.username);
    await person.act(/^End the session of/, "End the session");
    assert.deepEqual((await admin.ask("GET", `/v1/users/${user.id}/sessions`)).items, []);
  });

  test("what is refused all the same is told in the server's words, and the control goes", async (t) => {
    const helper = await staff({ groups: ["Help desk", "Interns"] });
    const user = await someone({ groups: ["Interns"] });
    const person = await visitor(t, { as: helper.username });
    await person.open(`users/${user.id}`);
    await admin.ask("PATCH", `/v1/users/${user.id}`, { groups: ["Chief editors"] });
    await person.button("Disable …").click();
    await person.button(`Disable ${user.username}`, person.dialog).click();
    await refused(person, /This reaches beyond your own rights: you do not have the permission news\.\w+ yourself/);
    await person.axe("a refused act");
    await person.screenshot("refused");
    await person.button("Cancel", person.dialog).click();
    await person.page.getByText(`${user.username} has rights beyond your own`).waitFor();
    for (const act of ["Disable …", "Delete …", "Take the password away …", "Save"]) {
      assert.equal(await person.button(act).count(), 0, act);
    }
    const { groups } = await admin.ask("POST", "/v1/users", { username: "in-reach", password: PASSWORD, groups: ["Interns"] });
    await person.open(`users/${(await find("in-reach")).id}`);
    assert.deepEqual(groups, ["Interns"]);
    await admin.ask("PATCH", `/v1/users/${helper.id}`, { is_staff: false });
    await person.field("Given name").fill("Zoe");
    await person.button("Save").click();
    await person.at("This is for staff");
  });
});

describe("a session that ends, and what is not saved", { concurrency: 1 }, () => {
  const endSessions = async (username) => admin.ask("DELETE", `/v1/users/${(await find(username)).id}/sessions`);

  test("a log-in in place, and nothing that was typed is lost", async (t) => {
    const user = await someone();
    const clerk = await staff({ is_superuser: true });
    const person = await visitor(t, { as: clerk.username });
    await person.open(`users/${user.id}`);
    await person.field("Given name").fill("Typed before");
    await person.pick("Groups", "group", "Interns");
    // When the picker has asked what it asks, nothing but the save meets the end of the session.
    await person.page.getByRole("group", { name: "Groups", exact: true }).getByText("Nothing to add").waitFor();
    await endSessions(clerk.username);
    await person.button("Save").click();
    await person.dialog.getByText("Your session has ended").waitFor();
    await person.axe("the log-in in place");
    await person.screenshot("session-ended");
    assert.equal(await person.field("Name", person.dialog).inputValue(), clerk.username);
    await person.field("Password", person.dialog).fill("wrong");
    await person.button("Log in", person.dialog).click();
    await refused(person, /The log-in failed/);
    await person.field("Password", person.dialog).fill(PASSWORD);
    await person.button("Log in", person.dialog).click();
    await person.said("The user is saved.");
    const now = await fresh(user);
    assert.deepEqual([now.first_name, now.groups], ["Typed before", ["Interns"]]);
    assert.equal(new URL(person.page.url()).pathname, `/admin/users/${user.id}`);
  });

  test("on a page that only looks, too", async (t) => {
    const clerk = await staff();
    const person = await visitor(t, { as: clerk.username });
    await person.open("");
    await endSessions(clerk.username);
    await person.dialog.getByText("Your session has ended").waitFor();
    await person.field("Password", person.dialog).fill(PASSWORD);
    await person.button("Log in", person.dialog).click();
    await person.dialog.waitFor({ state: "detached" });
    await endSessions(clerk.username);
    await person.dialog.getByText("Your session has ended").waitFor();
    await person.dialog.getByRole("link", { name: "Leave" }).click();
    await person.at("Log in");
  });

  test("another tab or window that logs somebody else in is noticed", async (t) => {
    const person = await visitor(t, { as: "rita" });
    await person.open("groups");
    // The page is loaded anew.
    const anew = async (look) => {
      const loaded = person.page.waitForEvent("load");
      await person.page.evaluate(look);
      await loaded;
    };
    await person.logIn("hilda");
    await anew(() => void document.dispatchEvent(new Event("visibilitychange")));
    await person.page.locator(".who", { hasText: "hilda" }).waitFor();
    await person.ready();
    await person.logIn("rita");
    await anew(() => void window.dispatchEvent(new Event("focus")));
    await person.page.locator(".who", { hasText: "rita" }).waitFor();
    await person.ready();
  });

  test("the log-in in place stays, whatever is pressed", async (t) => {
    const user = await someone();
    const clerk = await staff({ is_superuser: true });
    const person = await visitor(t, { as: clerk.username });
    await person.open(`users/${user.id}`);
    await person.field("Given name").fill("Typed");
    await endSessions(clerk.username);
    await person.button("Save").click();
    const title = person.dialog.getByText("Your session has ended");
    await title.waitFor();
    for (let i = 0; i < 4; i += 1) await person.page.keyboard.press("Escape");
    // A browser that closes it all the same finds it open again.
    await person.page.evaluate(() => document.querySelector("dialog[open]").close());
    await title.waitFor();
    await person.field("Password", person.dialog).fill(PASSWORD);
    await person.button("Log in", person.dialog).click();
    await person.said("The user is saved.");
    assert.equal((await fresh(user)).first_name, "Typed");
  });

  test("a look that is under way while somebody logs out is no end of a session", async (t) => {
    const person = await visitor(t, { as: (await staff()).username });
    await person.open("");
    // The look that the charts are drawn from comes back when nobody is logged in any more.
    await person.page.route("**/v1/figures", async (route) => {
      await new Promise((later) => setTimeout(later, 400));
      await route.continue();
    });
    await person.page.waitForRequest("**/v1/figures");
    await person.button("Log out").click();
    await person.at("Log in");
    await person.page.waitForTimeout(800);
    assert.equal(await person.page.locator("dialog[open]").count(), 0);
  });

  test("leaving what is not saved asks first", async (t) => {
    const user = await someone({ first_name: "Kept" });
    const person = await visitor(t, { as: "rita" });
    await person.open(`users/${user.id}`);
    await person.field("Given name").fill("Lost");
    await person.page.getByRole("link", { name: "Groups", exact: true }).first().click();
    assert.match(await person.dialog.innerText(), /Leave without saving\?/);
    await person.button("Cancel", person.dialog).click();
    assert.equal(await person.field("Given name").inputValue(), "Lost");
    const asked = person.page.waitForEvent("dialog");
    await person.page.close({ runBeforeUnload: true });
    const question = await asked;
    assert.equal(question.type(), "beforeunload");
    await question.dismiss();
    await person.button("Undo").click();
    assert.equal(await person.field("Given name").inputValue(), "Kept");
    await person.field("Given name").fill("Lost");
    await person.button("Log out").click();
    await person.button("Cancel", person.dialog).click();
    await person.page.getByRole("link", { name: "Audit log" }).click();
    await person.button("Leave", person.dialog).click();
    await person.at("Audit log");
  });

  test("a server that cannot be reached loses nothing either", async (t) => {
    const user = await someone();
    const person = await visitor(t, { as: "rita" });
    await person.open(`users/${user.id}`);
    await person.field("Given name").fill("Typed");
    await person.context.setOffline(true);
    await person.button("Save").click();
    await person.page.getByText("The server cannot be reached.").waitFor();
    await person.context.setOffline(false);
    await person.button("Save").click();
    await person.said("The user is saved.");
    assert.equal((await fresh(user)).first_name, "Typed");
  });
});

describe("the end", { concurrency: 1 }, () => {
  test("everybody is logged out, and whoever did it too", async (t) => {
    const other = await new Person(base).logIn("olga");
    const person = await visitor(t, { as: "rita" });
    await person.open("sessions");
    await person.button("Log everybody out …").click();
    assert.match(await person.dialog.innerText(), /Every session and every API token of everybody ends/);
    await person.axe("log everybody out");
    await person.button("Log everybody out", person.dialog).click();
    await person.page.getByText("Your session has ended").waitFor();
    assert.equal((await other.send("GET", "/v1/me")).status, 401);
    assert.equal((await admin.send("GET", "/v1/me")).status, 401);
    await person.field("Password", person.dialog).fill(PASSWORD);
    await person.button("Log in", person.dialog).click();
    await person.page.getByText("this one").waitFor();
  });
});
