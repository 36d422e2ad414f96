// Finding and reading, among ten thousand users.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { admin, base, find, scene, someone, visitor } from "./scene.js";
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
