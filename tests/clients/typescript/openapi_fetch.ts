// The scenario, with openapi-fetch and the types by openapi-typescript.

import assert from "node:assert/strict";
import { env } from "node:process";
import fetchCookie from "fetch-cookie";
import createClient from "openapi-fetch";
import type { components, paths } from "./signet.js";

type Problem = components["schemas"]["Problem"];

/** A caller with a jar of its own. */
const caller = () => createClient<paths>({ baseUrl: env["BASE"] ?? "", fetch: fetchCookie(fetch) });

/** What was answered, which must not be a problem. */
async function got<T>(answer: Promise<{ data?: T; error?: Problem }>): Promise<T> {
  const { data, error } = await answer;
  assert.ok(data !== undefined, JSON.stringify(error));
  return data;
}

/** The problem that an operation was refused with. */
async function problem(answer: Promise<{ error?: Problem; response: Response }>): Promise<Problem> {
  const { error, response } = await answer;
  assert.ok(error, response.statusText);
  assert.equal(error.status, response.status);
  return error;
}

const [admin, user] = [caller(), caller()];
await got(admin.POST("/v1/login", { body: { username: "admin", password: env["PASSWORD"] ?? "" } }));

const credentials = { username: "bob", password: "seven wooden boats" };
const registered = (await got(user.POST("/v1/register", { body: credentials }))).user;
const bob = (await got(user.POST("/v1/login", { body: credentials }))).user;
assert.deepEqual([bob.id, bob.username, bob.is_staff], [registered.id, "bob", false]);

const cart = [7, { size: "L" }, null];
const place = { path: { key: "cart" } };
const written = await got(user.PUT("/v1/session/data/{key}", { params: place, body: { value: cart } }));
assert.deepEqual([written.value, written.found], [cart, true]);
assert.deepEqual((await got(user.GET("/v1/session/data/{key}", { params: place }))).value, cart);
const theme = { path: { key: "theme" }, query: { default: "light" } };
const missing = await got(user.GET("/v1/session/data/{key}", { params: theme }));
assert.deepEqual([missing.value, missing.found], ["light", false]);
const session = await got(user.GET("/v1/session"));
assert.deepEqual(session.data["cart"], cart);
// Null is the only way of not being there.
const ends: string | null = session.ends_at;
assert.ok(session.issued_at && session.expires_at && ends);
assert.ok(session.issued_at < session.expires_at && session.expires_at < ends);

const question = { body: { permissions: ["polls.vote"] } };
const vote = { params: { query: { permission: "polls.vote" } } };
let refused = await problem(user.GET("/v1/users/{id}", { params: { path: { id: bob.id } } }));
assert.deepEqual([refused.code, refused.status], ["forbidden", 403]);
refused = await problem(user.GET("/v1/verify", vote));
assert.equal(refused.code, "forbidden" satisfies components["schemas"]["ProblemCode"]);
assert.equal((await got(user.POST("/v1/permissions/check", question))).all, false);

await got(admin.POST("/v1/permissions", { body: { name: "polls.vote" } }));
const granted = await got(
  admin.PATCH("/v1/users/{id}", { params: { path: { id: bob.id } }, body: { user_permissions: ["polls.vote"] } }),
);
assert.deepEqual(granted.user_permissions, ["polls.vote"]);

const answer = await got(user.POST("/v1/permissions/check", question));
assert.deepEqual([answer.all, answer.results["polls.vote"]], [true, true]);
assert.equal((await user.GET("/v1/verify", vote)).response.status, 204);

const devices = (await got(user.GET("/v1/sessions"))).items.filter((device) => device.current);
assert.equal(devices.length, 1);
assert.equal(devices[0]?.id, session.id);
assert.ok(devices[0] && devices[0].created_at < devices[0].ends_at);

assert.equal((await user.POST("/v1/logout")).response.status, 204);
refused = await problem(user.GET("/v1/me"));
assert.deepEqual([refused.code, refused.status], ["not_authenticated", 401]);
assert.ok(refused.request_id);
console.log("done");
