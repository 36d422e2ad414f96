// What the tests of one file share: a server with people on it, a browser, and who looks at both. `scene` is called once,
// at the top of the file.

import assert from "node:assert/strict";
import { after, before } from "node:test";
import { PASSWORD, startBrowser, startSignet } from "./signet.js";
import { visit } from "./visitor.js";
import { settle } from "./world.js";

/** Where the server is, what it has mailed, and its superuser; known when the tests begin. */
export let base, letters, admin;
let browser;

export function scene({ users = 300, flags = ["--throttle", "off"] } = {}) {
  const ends = [];
  const atTheEnd = (end) => ends.push(end);
  before(async () => {
    [{ base, letters }, browser] = await Promise.all([startSignet(atTheEnd, ...flags), startBrowser(atTheEnd)]);
    admin = await settle(base, users);
  });
  after(async () => {
    for (const end of ends.reverse()) await end();
  });
}

export const visitor = (t, how) => visit(t, browser, base, how);

/** A user as the server has it now. */
export async function find(username) {
  const { items } = await admin.ask("GET", `/v1/users?search=${username}&limit=200`);
  return items.find((user) => user.username === username);
}

let made = 0;

/** A new user, for one test. */
export async function someone(members = {}) {
  made += 1;
  const username = `someone${made}`;
  const body = { username, password: PASSWORD, email: `${username}@example.com`, ...members };
  return admin.ask("POST", "/v1/users", body);
}

/** New staff without more rights than these. */
export const staff = (members) => someone({ is_staff: true, ...members });

export const fresh = (user) => admin.ask("GET", `/v1/users/${user.id}`);

/** Something to wait for, and what ends the wait. */
export function hold() {
  let goOn;
  const held = new Promise((resolve) => (goOn = resolve));
  return { held, goOn };
}

/** Every refusal is shown in the server's own words and with the name of the request. */
export async function refused(person, words) {
  await person.problem.waitFor();
  const text = await person.problem.innerText();
  assert.match(text, words);
  assert.match(text, /Request [\w-]{8,}/);
}
