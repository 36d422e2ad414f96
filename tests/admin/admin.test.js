// The administration, used as people use it, on a server with ten thousand users.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { PASSWORD, Person, startBrowser, startSignet } from "./signet.js";
import { visit } from "./visitor.js";
import { GROUPS, PERMISSIONS, identity, settle } from "./world.js";

const ends = [];
const atTheEnd = (end) => ends.push(end);
let base, letters, browser, admin;

before(async () => {
  [{ base, letters }, browser] = await Promise.all([startSignet(atTheEnd, "--throttle", "off"), startBrowser(atTheEnd)]);
  admin = await settle(base);
});
after(async () => {
  for (const end of ends.reverse()) await end();
});

const visitor = (t, how) => visit(t, browser, base, how);

/** A user as the server has it now. */
async function find(username) {
  const { items } = await admin.ask("GET", `/v1/users?search=${username}&limit=200`);
  return items.find((user) => user.username === username);
}

let made = 0;

/** A new user, for one test. */
async function someone(members = {}) {
  made += 1;
  const username = `someone${made}`;
  const body = { username, password: PASSWORD, email: `${username}@example.com`, ...members };
  return admin.ask("POST", "/v1/users", body);
}

/** New staff without more rights than these. */
const staff = (members) => someone({ is_staff: true, ...members });

const fresh = (user) => admin.ask("GET", `/v1/users/${user.id}`);

/** Every refusal is shown in the server's own words and with the name of the request. */
async function refused(person, words) {
  await person.problem.waitFor();
  const text = await person.problem.innerText();
  assert.match(text, words);
  assert.match(text, /Request [\w-]{8,}/);
}

describe("ways in and out", { concurrency: 1 }, () => {
  test("nobody is asked to log in, is told why it failed, and lands where they wanted to go", async (t) => {
    const person = await visitor(t);
    await person.page.goto(`${base}/admin/groups?search=Wiki`);
    await person.page.getByRole("heading", { name: "Log in" }).waitFor();
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
    await person.page.getByRole("heading", { name: "Log in" }).waitFor();
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

describe("looking", { concurrency: 1 }, () => {
  test("the overview draws what happens, as it happens", async (t) => {
    const person = await visitor(t, { as: "rita" });
    await person.open("");
    const chart = (name) => person.page.locator(".chart", { hasText: name });
    assert.equal(await person.page.locator(".chart canvas").count(), 5);
    const drawn = () => chart("Log-ins").locator("canvas").evaluate((canvas) => canvas.toDataURL());
    await person.page.waitForTimeout(2_500);
    const before = await drawn();
    for (let i = 0; i < 3; i += 1) await new Person(base).send("POST", "/v1/login", { username: "rita", password: "no" });
    await chart("Log-ins").getByText(/[1-9]\d* refused since the start/).waitFor();
    await person.page.waitForFunction(() => {
      const value = [...document.querySelectorAll(".chart")].find((chart) => chart.textContent.includes("Log-ins"));
      return Number(value?.querySelectorAll("dd")[1]?.textContent) > 0;
    });
    await person.page.waitForTimeout(100);
    assert.notEqual(await drawn(), before);
    assert.match(await person.page.locator("main").innerText(), /Signet \d+\.\d+\.\d+[^]*Keys[^]*signs/);
  });

  test("users are found by search, filters and order, and leafed through forth and back", async (t) => {
    const person = await visitor(t, { as: "rita" });
    await person.open("users");
    const names = () => person.page.locator("tbody th a").allInnerTexts();
    const from = async (query) => (await admin.ask("GET", `/v1/users?${query}`)).items.map(({ username }) => username);
    const shows = async (query) => {
      const expected = await from(query);
      await person.page.waitForFunction(
        (expected) => [...document.querySelectorAll("tbody th a")].map((a) => a.textContent).join() === expected,
        expected.join(),
      );
      assert.ok(expected.length > 0, query);
    };
    await shows("order=username");
    const first = await names();
    await person.button("Next").click();
    await person.page.getByText("Page 2, 50 users").waitFor();
    await person.ready();
    await person.button("Next").click();
    await person.page.getByText("Page 3, 50 users").waitFor();
    await person.ready();
    assert.equal((await names()).filter((name) => first.includes(name)).length, 0);
    await person.button("Previous").click();
    await person.button("Previous").click();
    await person.page.getByText("Page 1, 50 users").waitFor();
    await person.ready();
    assert.deepEqual(await names(), first);

    await person.field("Search").fill("kowalski1");
    await shows("search=kowalski1");
    await person.field("Active").selectOption("Disabled");
    await shows("search=kowalski1&is_active=false");
    await person.field("Search").fill("");
    await person.field("Staff").selectOption("Staff");
    await shows("is_active=false&is_staff=true");
    await person.field("Active").selectOption("All");
    await person.field("Group").fill("Wiki editors");
    await person.field("Group").press("Enter");
    await shows("is_staff=true&group=Wiki%20editors");
    await person.field("Group").fill("");
    await person.field("Group").press("Enter");
    await person.field("Permission").fill("stock.delete_item");
    await person.field("Permission").press("Enter");
    await shows("is_staff=true&permission=stock.delete_item");
    await person.page.reload();
    await shows("is_staff=true&permission=stock.delete_item");
    await person.open("users?superuser=yes");
    await shows("is_superuser=true");
    await person.open("users");
    await person.button("Last log-in").click();
    await shows("order=last_login");
    await person.button("Last log-in").click();
    await shows("order=-last_login");
    await person.field("Search").fill("nobody is called this");
    await person.page.getByText("Nobody is like that.").waitFor();
  });

  test("the audit log is a line of time that can be narrowed and gone back along", async (t) => {
    const user = await someone();
    await new Person(base).send("POST", "/v1/login", { username: user.username, password: "no" });
    const person = await visitor(t, { as: "rita" });
    await person.open("audit");
    const entries = person.page.locator(".timeline li");
    await person.field("By or to (name or id)").fill(user.username);
    await person.page.waitForFunction(() => document.querySelectorAll(".timeline li").length === 2);
    assert.match(await person.page.locator(".timeline").innerText(), /Somebody logged in: user someone\d+ refused[^]*admin made a user: someone/i);
    await person.field("Outcome").selectOption("Refused");
    await person.page.waitForFunction(() => document.querySelectorAll(".timeline li").length === 1);
    await person.field("By or to (name or id)").fill("");
    await person.field("Outcome").selectOption("All");
    await person.field("Action").selectOption("imported accounts");
    await person.page.waitForFunction(() => document.querySelectorAll(".timeline li").length > 10);
    await person.field("Before").fill("2020-01-01T00:00");
    await person.page.getByText("Nothing was done that is like that.").waitFor();
    await person.field("Before").fill("");
    await person.field("Network address").fill("127.0.0.1");
    await entries.first().waitFor();
    await person.open("audit?action=create_user");
    for (let page = 1; await person.button("Next").isEnabled(); page += 1) {
      await person.button("Next").click();
      await person.page.getByText(`Page ${page + 1}, `).waitFor();
      await person.ready();
    }
    assert.match(await entries.last().innerText(), /made a user: admin[^]*the server's command line/);
  });

  test("open sessions of everybody are listed", async (t) => {
    const user = await someone();
    await new Person(base).logIn(user.username);
    const person = await visitor(t, { as: "rita" });
    await person.open("sessions");
    await person.page.getByRole("link", { name: user.username, exact: true }).waitFor();
    await person.act(/^End the session of someone/, "End the session", person.page.locator("tr", { hasText: user.username }));
    await person.said("The session has ended.");
    assert.deepEqual((await admin.ask("GET", `/v1/users/${user.id}/sessions`)).items, []);
  });
});

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

describe("groups and permissions", { concurrency: 1 }, () => {
  test("a group is made, filled, changed, and deleted", async (t) => {
    const user = await someone();
    const person = await visitor(t, { as: "rita" });
    await person.open("groups");
    await person.page.getByRole("link", { name: "New group" }).click();
    await person.field("Name").fill("Interns");
    await person.button("Make the group").click();
    await refused(person, /The name is in use/);
    await person.field("Name").fill("Testers");
    await person.pick("Permissions", "permission", "wiki.view_page");
    await person.button("Make the group").click();
    await person.page.getByRole("heading", { name: "Testers", exact: true }).waitFor();
    const find = async (name) => (await admin.ask("GET", "/v1/groups?search=Tester")).items.find((group) => group.name === name);
    assert.deepEqual((await find("Testers")).permissions, ["wiki.view_page"]);

    await person.field("Add a user").fill(user.username);
    await person.field("Add a user").press("Tab");
    await person.button("Add").click();
    await person.said(`${user.username} is in Testers.`);
    assert.deepEqual((await fresh(user)).groups, ["Testers"]);
    await person.page.getByRole("link", { name: user.username }).waitFor();
    await person.field("Name").fill("Tester club");
    await person.pick("Permissions", "permission", "wiki.add_page");
    await person.button("Save").click();
    await person.said("The group is saved.");
    assert.deepEqual((await find("Tester club")).permissions, ["wiki.add_page", "wiki.view_page"]);
    assert.deepEqual((await fresh(user)).groups, ["Tester club"]);
    await person.act(`Take out ${user.username}`, "Take out");
    assert.deepEqual((await fresh(user)).groups, []);
    await person.act("Delete …", "Delete the group");
    assert.equal(await find("Tester club"), undefined);
  });

  test("a permission is added, described, shown with its holders, and deleted", async (t) => {
    const person = await visitor(t, { as: "rita" });
    await person.open("permissions");
    await person.button("New permission").click();
    await person.axe("a new permission");
    await person.field("Name", person.dialog).fill("not a name");
    await person.button("Add", person.dialog).click();
    await refused(person, /Members of the request cannot be accepted/);
    await person.field("Name", person.dialog).fill("labs.enter_room");
    await person.field("What it allows", person.dialog).fill("Can enter a room");
    await person.button("Add", person.dialog).click();
    await person.said("labs.enter_room is in the catalogue.");
    const user = await someone({ user_permissions: ["labs.enter_room"] });
    await person.field("Search").fill("labs");
    await person.page.getByRole("link", { name: "labs.enter_room" }).click();
    await person.page.getByRole("heading", { name: "labs.enter_room" }).waitFor();
    await person.ready();
    assert.match(await person.page.locator("tr", { hasText: user.username }).innerText(), /direct/);
    assert.match(await person.page.locator("tr", { hasText: "rita" }).innerText(), /superuser/);
    await person.field("Description").fill("Can enter any room");
    await person.button("Save").click();
    await person.said("The permission is saved.");
    const { description } = await admin.ask("GET", "/v1/permissions/labs.enter_room");
    assert.equal(description, "Can enter any room");
    await person.page.reload();
    await person.act("Delete …", "Delete the permission");
    assert.deepEqual((await fresh(user)).user_permissions, []);
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

  test("the last superuser keeps what makes one", async (t) => {
    const rita = await find("rita");
    await admin.ask("PATCH", `/v1/users/${rita.id}`, { is_superuser: false });
    const person = await visitor(t, { as: "admin" });
    await person.open(`users/${(await find("admin")).id}`);
    assert.equal(await person.button("Disable …").count(), 0);
    assert.equal(await person.button("Delete …").count(), 0);
    assert.equal(await person.field("Superuser").count(), 0);
    assert.match(await person.page.locator("main").innerText(), /the last active superuser/);
    await admin.ask("PATCH", `/v1/users/${rita.id}`, { is_superuser: true });
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
    await admin.ask("PATCH", `/v1/users/${helper.id}`, { is_staff: false });
    await person.field("Given name").fill("Zoe");
    await person.button("Save").click();
    await person.page.getByRole("heading", { name: "This is for staff" }).waitFor();
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

describe("a session that ends, and what is not saved", { concurrency: 1 }, () => {
  const endSessions = async (username) => admin.ask("DELETE", `/v1/users/${(await find(username)).id}/sessions`);

  test("a log-in in place, and nothing that was typed is lost", async (t) => {
    const user = await someone();
    const clerk = await staff({ is_superuser: true });
    const person = await visitor(t, { as: clerk.username });
    await person.open(`users/${user.id}`);
    await person.field("Given name").fill("Typed before");
    await person.pick("Groups", "group", "Interns");
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
    await person.page.getByRole("heading", { name: "Log in" }).waitFor();
  });

  test("another tab that logs somebody else in is noticed", async (t) => {
    const person = await visitor(t, { as: "rita" });
    await person.open("groups");
    await person.logIn("hilda");
    await person.page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
    await person.page.locator(".who", { hasText: "hilda" }).waitFor();
    await person.ready();
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
    let asked = 0;
    person.page.on("dialog", (dialog) => {
      asked += 1;
      void dialog.dismiss();
    });
    await person.page.close({ runBeforeUnload: true });
    for (let i = 0; i < 30 && asked === 0; i += 1) await new Promise((later) => setTimeout(later, 50));
    assert.equal(asked, 1);
    await person.button("Undo").click();
    assert.equal(await person.field("Given name").inputValue(), "Kept");
    await person.field("Given name").fill("Lost");
    await person.button("Log out").click();
    await person.button("Cancel", person.dialog).click();
    await person.page.getByRole("link", { name: "Audit log" }).click();
    await person.button("Leave", person.dialog).click();
    await person.page.getByRole("heading", { name: "Audit log" }).waitFor();
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

describe("one's own account", { concurrency: 2 }, () => {
  test("person, address and password", async (t) => {
    const user = await someone();
    const person = await visitor(t, { as: user.username });
    await person.open("account");
    await person.field("Given name").fill("Otto");
    await person.field("Family name").fill("Own");
    await person.button("Save").click();
    await person.said("Your profile is saved.");
    await person.field("Address").fill("otto@example.com");
    await person.field("Your present password").fill("wrong");
    await person.button("Save").click();
    await refused(person, /The old password is not right/);
    await person.field("Your present password").fill(PASSWORD);
    await person.button("Save").click();
    await person.said("Your profile is saved.");
    const now = await fresh(user);
    assert.deepEqual([now.first_name, now.last_name, now.email], ["Otto", "Own", "otto@example.com"]);
    await person.button("Send a mail to prove the address").click();
    await person.said("A mail is on its way to otto@example.com.");
    for (let i = 0; i < 50 && !(await letters()).some((letter) => letter.includes("otto@example.com")); i += 1) {
      await new Promise((later) => setTimeout(later, 100));
    }
    assert.ok((await letters()).some((letter) => letter.includes("otto@example.com")));

    const other = await new Person(base).logIn(user.username);
    await person.field("Present password").fill(PASSWORD);
    await person.field("New password").fill("12345678");
    await person.page.getByText(/many people have this password/).first().waitFor();
    await person.button("Change the password").click();
    await refused(person, /Members of the request cannot be accepted/);
    await person.field("New password").fill("a much better one");
    await person.page.getByText(/Acceptable; it/).waitFor();
    await person.button("Change the password").click();
    await person.said("Your password is changed");
    assert.equal((await other.send("GET", "/v1/me")).status, 401);
    await new Person(base).logIn(user.username, "a much better one");
  });

  test("devices and tokens", async (t) => {
    const user = await someone({ groups: ["Wiki editors"] });
    const [first, second] = await Promise.all([1, 2].map(() => new Person(base).logIn(user.username)));
    const person = await visitor(t, { as: user.username });
    await person.open("account");
    assert.equal(await person.page.locator("tr", { hasText: "this one" }).count(), 1);
    const gone = async () => (await Promise.all([first, second].map((other) => other.send("GET", "/v1/me")))).filter(({ status }) => status === 401).length;
    await person.act(/^Log out node/, "Log it out");
    assert.equal(await gone(), 1);

    await person.button("New token").click();
    await person.axe("a new token");
    await person.field("What it is for", person.dialog).fill("nightly report");
    await person.pick("Permissions", "permission", "wiki.view_page", person.dialog);
    await person.field("Lives for", person.dialog).selectOption("a week");
    await person.button("Make the token", person.dialog).click();
    const token = (await person.page.locator(".token").innerText()).match(/Bearer (\S+)/)[1];
    await person.axe("the token");
    const headers = { authorization: `Bearer ${token}` };
    const mine = await (await fetch(`${base}/v1/me/permissions`, { headers })).json();
    assert.deepEqual(mine.items, ["wiki.view_page"]);
    await person.button("I have kept it").click();
    await person.act("End the API token nightly report", "End the token");
    assert.equal((await fetch(`${base}/v1/me/permissions`, { headers })).status, 401);

    await person.act("Log out everywhere else …", "Log out everywhere else");
    assert.equal(await gone(), 2);
    await person.button("Log out everywhere …").click();
    await person.button("Log out everywhere", person.dialog).click();
    await person.page.getByRole("heading", { name: "Log in" }).waitFor();
  });
});

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
          // Pictures of that size take their time, and the parts of a page are the same there as at 1280 pixels.
          const isLarge = width === 3840;
          if (!isLarge || name === "users" || name === "user") await person.screenshot(`${name}-${scheme}-${width}`);
          if (!isLarge) await person.axe(what);
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
