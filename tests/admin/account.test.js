// The own account.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { base, fresh, letters, refused, scene, someone, visitor } from "./scene.js";
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
