// Groups and permissions.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { admin, find, fresh, hold, refused, scene, someone, staff, visitor } from "./scene.js";
import { identity } from "./world.js";

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
    await person.at("Testers");
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
    await person.at("labs.enter_room");
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

  test("somebody is found by the exact name, however many names contain it", async (t) => {
    const records = Array.from({ length: 450 }, (_, at) => ({ user: { id: identity(`crowd${at}`), username: `crowd${at}-zz9` } }));
    await admin.ask("POST", "/v1/import", { records, apply: true });
    const short = await someone({ username: "zz9" });
    const group = await admin.ask("POST", "/v1/groups", { name: "The found", permissions: [] });
    const person = await visitor(t, { as: "rita" });
    await person.open(`groups/${group.id}`);
    await person.field("Add a user").fill("ZZ9");
    await person.button("Add").click();
    await person.said("zz9 is in The found.");
    assert.deepEqual((await fresh(short)).groups, ["The found"]);
    await person.field("Add a user").fill("zz9-nobody");
    await person.button("Add").click();
    await person.said("There is no user zz9-nobody.");

    // A long search says how far it is, and can be stopped.
    const { held, goOn } = hold();
    await person.page.route("**/v1/users?*limit=200*", async (route) => {
      if (route.request().url().includes("cursor")) await held;
      await route.continue().catch(() => undefined);
    });
    await person.field("Add a user").fill("-zz9");
    await person.button("Add").click();
    await person.page.getByText("Looking for -zz9: 200 other names so far that contain it.").waitFor();
    await person.axe("a long search");
    await person.button("Stop").click();
    await person.button("Add").waitFor();
    goOn();
    assert.deepEqual((await admin.ask("GET", "/v1/users?group=The%20found")).items.length, 1);
  });

  test("members are leafed through with a form that is not saved, and a page that fails takes nothing away", async (t) => {
    const group = await admin.ask("POST", "/v1/groups", { name: "The many", permissions: [] });
    const user = (at) => ({ id: identity(`many${at}`), username: `many${String(at).padStart(3, "0")}`, groups: ["The many"] });
    const records = Array.from({ length: 60 }, (_, at) => ({ user: user(at) }));
    await admin.ask("POST", "/v1/import", { records, apply: true });
    const person = await visitor(t, { as: "rita" });
    await person.open(`groups/${group.id}`);
    await person.field("Name").fill("The many, renamed");
    await person.page.route("**/v1/users?*cursor=*", (route) => route.abort());
    await person.button("Next").click();
    await person.page.getByText("The server cannot be reached.").waitFor();
    assert.equal(await person.dialog.count(), 0);
    assert.equal(await person.field("Name").inputValue(), "The many, renamed");
    assert.equal(await person.page.getByRole("link", { name: "many000" }).count(), 1);
    await person.page.unroute("**/v1/users?*cursor=*");
    await person.button("Try again").click();
    await person.page.getByText("Page 2, 10 members").waitFor();
    await person.page.goBack();
    await person.page.getByText("Page 1, 50 members").waitFor();
    assert.equal(await person.dialog.count(), 0);
    assert.equal(await person.field("Name").inputValue(), "The many, renamed");
    await person.button("Delete …").click();
    assert.match(await person.dialog.innerText(), /What it grants is lost, on the next request, by all of its members\./);
    await person.button("Cancel", person.dialog).click();
    await person.page.getByRole("link", { name: "Audit log" }).click();
    assert.match(await person.dialog.innerText(), /Leave without saving\?/);
    await person.button("Leave", person.dialog).click();
    await person.at("Audit log");
    const small = await admin.ask("POST", "/v1/groups", { name: "The one", permissions: [] });
    await someone({ groups: ["The one"] });
    await person.open(`groups/${small.id}`);
    assert.match(await person.act("Delete …", "Delete the group"), /is lost, on the next request, by 1 member\./);
  });

  test("the end of a permission says who loses it", async (t) => {
    await admin.ask("POST", "/v1/permissions", { name: "labs.open_door" });
    const group = await admin.ask("POST", "/v1/groups", { name: "Doorkeepers", permissions: ["labs.open_door"] });
    const direct = await someone({ user_permissions: ["labs.open_door"] });
    await someone({ user_permissions: ["labs.open_door"], is_active: false });
    await someone({ groups: ["Doorkeepers"] });
    const person = await visitor(t, { as: "rita" });
    await person.open("permissions/labs/open_door");
    const said = await person.act("Delete …", "Delete the permission");
    assert.match(said, /Users who lose a direct grant, on their next request: 2\.[^]*Groups that lose it, and their members with them: Doorkeepers\./);
    assert.deepEqual((await fresh(direct)).user_permissions, []);
    assert.deepEqual((await admin.ask("GET", `/v1/groups/${group.id}`)).permissions, []);
  });

  test("a permission is not deleted by who is no superuser any more", async (t) => {
    await admin.ask("POST", "/v1/permissions", { name: "labs.keep_door" });
    const clerk = await staff({ is_superuser: true });
    const person = await visitor(t, { as: clerk.username });
    await person.open("permissions/labs/keep_door");
    await person.button("Delete …").click();
    await person.dialog.waitFor();
    await admin.ask("PATCH", `/v1/users/${clerk.id}`, { is_superuser: false });
    await person.button("Delete the permission", person.dialog).click();
    await refused(person, /only a superuser may delete a permission/);
    await person.button("Cancel", person.dialog).click();
    await person.button("Delete …").waitFor({ state: "detached" });
    assert.equal(await person.button("Save").count(), 0);
    assert.equal((await admin.send("GET", "/v1/permissions/labs.keep_door")).status, 200);
  });
});
