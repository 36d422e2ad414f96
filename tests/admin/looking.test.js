// Finding and reading, among ten thousand users.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { admin, base, find, hold, scene, someone, visitor } from "./scene.js";
import { Person } from "./signet.js";

scene({ users: 10_000 });

describe("looking", { concurrency: 1 }, () => {
  test("the overview draws what happens, as it happens", async (t) => {
    const person = await visitor(t, { as: "rita" });
    await person.open("");
    const chart = (name) => person.page.locator(".chart", { hasText: name });
    assert.equal(await person.page.locator(".chart canvas").count(), 5);
    const drawn = () => chart("Log-ins").locator("canvas").evaluate((canvas) => canvas.toDataURL());
    await person.page.waitForTimeout(2_500);
    const before = await drawn();
    // For one look of the page's.
    const seen = person.page.waitForFunction(() => {
      const value = [...document.querySelectorAll(".chart")].find((chart) => chart.textContent.includes("Log-ins"));
      return Number(value?.querySelectorAll("dd")[1]?.textContent) > 0;
    });
    for (let i = 0; i < 3; i += 1) await new Person(base).send("POST", "/v1/login", { username: "rita", password: "no" });
    await chart("Log-ins").getByText(/[1-9]\d* refused since the start/).waitFor();
    await seen;
    await person.page.waitForTimeout(100);
    assert.notEqual(await drawn(), before);
    assert.match(await person.page.locator("main").innerText(), /Signet \d+\.\d+\.\d+[^]*Keys[^]*signs/);
  });

  test("users are found by search, filters and order, and leafed through forth and back", async (t) => {
    // As wide as it takes for every column to be there.
    const person = await visitor(t, { as: "rita", width: 1600 });
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
    await person.button("Since").click();
    await shows("order=date_joined");
    await person.button("Since").click();
    await shows("order=-date_joined");
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

  test("a page that is empty although there is more says so, and leads on", async (t) => {
    const person = await visitor(t, { as: "rita" });
    const asked = { users: 0, audit: 0 };
    const empty = (list) => (route) => {
      asked[list] += 1;
      return route.fulfill({ json: { items: [], next: `more${asked[list]}` } });
    };
    await person.page.route("**/v1/users?*", empty("users"));
    await person.open("users?search=rare");
    await person.page.getByText("None among those that were looked through so far. There are more.").waitFor();
    assert.equal(asked.users, 5, "it goes on by itself for a while, and not for ever");
    await person.axe("nothing so far");
    await person.page.unroute("**/v1/users?*");
    await person.page.route("**/v1/users?*", async (route) => {
      const url = new URL(route.request().url());
      assert.equal(url.searchParams.get("cursor"), "more5");
      url.searchParams.delete("cursor");
      url.searchParams.set("search", "rita");
      await route.continue({ url: url.href });
    });
    await person.button("Look further").click();
    await person.page.getByRole("link", { name: "rita", exact: true }).waitFor();
    await person.page.unroute("**/v1/users?*");

    await person.page.route("**/v1/users?*", empty("users"));
    await person.open("permissions/wiki/view_page");
    await person.page.getByText("None among those that were looked through so far. There are more.").waitFor();
    await person.page.route("**/v1/audit?*", empty("audit"));
    await person.open("audit?user=nobody");
    await person.page.getByText("None among those that were looked through so far. There are more.").waitFor();
    assert.equal(asked.audit, 5);

    // Who leaves meanwhile waits for nothing.
    await person.page.unroute("**/v1/audit?*");
    const { held, goOn } = hold();
    await person.page.route("**/v1/audit?*", async (route) => {
      asked.audit += 1;
      await held;
      await route.fulfill({ json: { items: [], next: "more" } }).catch(() => undefined);
    });
    await person.page.getByRole("link", { name: "Groups", exact: true }).click();
    await person.page.getByRole("link", { name: "Interns" }).waitFor();
    asked.audit = 0;
    const asking = person.page.waitForRequest("**/v1/audit?*");
    await person.page.getByRole("link", { name: "Audit log" }).click();
    await asking;
    await person.page.getByRole("link", { name: "Permissions", exact: true }).click();
    await person.page.getByRole("link", { name: "auth.add_user" }).waitFor();
    goOn();
    await person.page.waitForTimeout(1_000);
    assert.equal(asked.audit, 1);
  });

  test("a filter that the server refuses leaves the filters where they are", async (t) => {
    const person = await visitor(t, { as: "rita" });
    const field = person.field("Permission");
    const fault = person.page.getByText("A permission is app_label.codename, such as polls.vote.");
    await person.open("users?permission=no-such-form");
    await person.page.getByText("The parameter `permission` has to be as app_label.codename.").waitFor();
    assert.equal(await field.inputValue(), "no-such-form");
    assert.equal(await field.getAttribute("aria-invalid"), "true");
    await person.axe("a refused filter");
    await person.screenshot("refused-filter");
    await field.fill("wiki.view_page");
    await field.press("Enter");
    await person.page.locator("tbody th a").first().waitFor();
    assert.equal(await fault.count(), 0);
    // What can be no permission is not asked for at all.
    let asked = 0;
    person.page.on("request", (request) => (asked += request.url().includes("/v1/users?") ? 1 : 0));
    await field.fill("wiki view page");
    await field.press("Enter");
    await fault.waitFor();
    assert.equal(asked, 0);
    assert.equal(new URL(person.page.url()).searchParams.get("permission"), "wiki.view_page");
    await field.fill("");
    await person.page.waitForFunction(() => !location.search.includes("permission"));
    assert.equal(await fault.count(), 0);
  });

  test("a line shows that the server is being asked, after a change of the page too", async (t) => {
    const person = await visitor(t, { as: "rita" });
    await person.open("groups");
    const { held, goOn } = hold();
    await person.page.getByRole("link", { name: "Users", exact: true }).click();
    await person.at("Users");
    await person.ready();
    await person.page.route("**/v1/users?*", async (route) => {
      await held;
      await route.continue();
    });
    await person.button("Next").click();
    await person.page.locator(".under-way.on").waitFor();
    goOn();
    await person.page.getByText("Page 2, 50 users").waitFor();
    await person.page.locator(".under-way.on").waitFor({ state: "detached" });
  });

  test("an address in the middle of a list does not claim a number", async (t) => {
    const { next } = await admin.ask("GET", "/v1/users?limit=50");
    const person = await visitor(t, { as: "rita" });
    await person.open(`users?cursor=${next}`);
    const pager = person.page.getByRole("navigation", { name: "Pages" });
    assert.equal(await pager.getByRole("status").innerText(), "50 users");
    await person.button("First").click();
    await person.page.getByText("Page 1, 50 users").waitFor();
  });

  test("where several nodes answer in turn, the charts stay with one and say so", async (t) => {
    const person = await visitor(t, { as: "rita" });
    let turn = 0;
    await person.page.route("**/v1/figures", async (route) => {
      const response = await route.fetch();
      const figures = await response.json();
      turn += 1;
      const isFirst = turn % 2 === 1;
      const requests = isFirst ? turn * 10 : 1_000_000;
      await route.fulfill({ json: { ...figures, store: "postgres", node: isFirst ? "one" : "two", verified_requests: requests } });
    });
    await person.open("");
    await person.page.getByText("these are the figures of node one alone. Others that answer here: two.").waitFor();
    await person.page.waitForFunction(() => Number(document.querySelector(".chart dd").textContent) > 0);
    assert.match(await person.page.locator(".chart").first().innerText(), /\d0 since the start/);
    assert.doesNotMatch(await person.page.locator(".chart").first().innerText(), /1,000,000/);
    await person.axe("several nodes");
  });
});
