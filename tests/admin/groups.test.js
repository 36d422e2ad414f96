// Groups and permissions.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { admin, find, fresh, refused, scene, someone, visitor } from "./scene.js";

scene();

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
