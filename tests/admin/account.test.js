// The own account.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { admin, base, fresh, letters, refused, scene, someone, visitor } from "./scene.js";
import { PASSWORD, Person } from "./signet.js";

scene();

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
    await person.act(/^End the session of node/, "End the session");
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
    await person.at("Log in");
  });

  test("only what was changed is sent, and what others change meanwhile stays", async (t) => {
    const user = await someone({ first_name: "Old", last_name: "Old" });
    const person = await visitor(t, { as: user.username });
    await person.open("account");
    await admin.ask("PATCH", `/v1/users/${user.id}`, { last_name: "Theirs", email: "theirs@example.com" });
    const look = () => person.page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
    await person.field("Given name").fill("Mine");
    await look();
    await person.page.waitForFunction(() => [...document.querySelectorAll("input")].some(({ value }) => value === "Theirs"));
    assert.equal(await person.field("Address").inputValue(), "theirs@example.com");
    assert.equal(await person.field("Your present password").count(), 0);
    await admin.ask("PATCH", `/v1/users/${user.id}`, { email: "theirs-again@example.com" });
    await person.button("Save").click();
    await person.said("Your profile is saved.");
    const now = await fresh(user);
    assert.deepEqual([now.first_name, now.last_name, now.email], ["Mine", "Theirs", "theirs-again@example.com"]);
    assert.equal(await person.field("Address").inputValue(), "theirs-again@example.com");

    // A form that nobody touched has nothing to save.
    await admin.ask("PATCH", `/v1/users/${user.id}`, { first_name: "Theirs too" });
    await look();
    await person.page.waitForFunction(() => [...document.querySelectorAll("input")].some(({ value }) => value === "Theirs too"));
    assert.equal(await person.button("Save").isDisabled(), true);
  });

  test("what is typed while the profile is being saved stays", async (t) => {
    const user = await someone();
    const person = await visitor(t, { as: user.username });
    await person.open("account");
    await person.page.route("**/v1/me", async (route) => {
      if (route.request().method() === "PATCH") await new Promise((later) => setTimeout(later, 600));
      await route.continue();
    });
    await person.field("Given name").fill("Sent");
    await person.button("Save").click();
    await person.field("Given name").fill("Sent and more");
    await person.field("Family name").fill("Later");
    await person.said("Your profile is saved.");
    assert.deepEqual([(await fresh(user)).first_name, (await fresh(user)).last_name], ["Sent", ""]);
    await person.button("Save").click();
    await person.said("Your profile is saved.");
    assert.deepEqual([(await fresh(user)).first_name, (await fresh(user)).last_name], ["Sent and more", "Later"]);
  });

  test("a mail that is not sent says why", async (t) => {
    const user = await someone();
    const person = await visitor(t, { as: user.username });
    await person.open("account");
    const problem = { type: "about:blank", title: "Too many requests", status: 429, detail: "Wait an hour.", code: "too_many_requests", request_id: "testtest" };
    await person.page.route("**/v1/email/verify", (route) =>
      route.fulfill({ status: 429, contentType: "application/problem+json", json: problem }),
    );
    await person.button("Send a mail to prove the address").click();
    await refused(person, /Too many requests\. Wait an hour\./);
  });

  test("devices come by fifty, and nobody is told of fewer than there are", async (t) => {
    const user = await someone();
    for (let at = 0; at < 11; at += 1) {
      await Promise.all(Array.from({ length: 5 }, () => new Person(base).logIn(user.username)));
    }
    const person = await visitor(t, { as: user.username });
    await person.open("account");
    const rows = person.page.getByRole("region", { name: "Your devices" }).locator("tbody tr");
    assert.equal(await rows.count(), 50);
    await person.button("Log out everywhere else …").click();
    assert.match(await person.dialog.innerText(), /All of your other sessions and all of your API tokens end, at once\./);
    await person.button("Cancel", person.dialog).click();
    await person.button("Show more").click();
    await rows.nth(55).waitFor();
    const said = await person.act("Log out everywhere else …", "Log out everywhere else");
    assert.match(said, /55 other sessions and all of your API tokens end, at once\./);
    assert.equal(await rows.count(), 1);
  });

  test("what is said while a dialog is open is said in it", async (t) => {
    const user = await someone();
    const person = await visitor(t, { as: user.username });
    await person.context.grantPermissions(["clipboard-read", "clipboard-write"]);
    await person.open("account");
    await person.button("New token").click();
    await person.field("What it is for", person.dialog).fill("a script");
    await person.button("Make the token", person.dialog).click();
    await person.button("Copy the token", person.dialog).click();
    await person.dialog.getByRole("status").getByText("The token is copied.").waitFor();
    assert.equal(await person.page.locator(".notices p").count(), 1);
    await person.axe("a notice in a dialog");
    await person.screenshot("notice-in-dialog");
    await person.button("I have kept it").click();
  });
});
