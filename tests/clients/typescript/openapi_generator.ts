// The scenario, with the client by openapi-generator.

import assert from "node:assert/strict";
import { env } from "node:process";
import fetchCookie from "fetch-cookie";
import {
  AccountApi,
  Configuration,
  DevicesApi,
  PermissionsApi,
  type Problem,
  ProblemCode,
  ProblemFromJSON,
  ResponseError,
  RightsApi,
  SessionApi,
  UsersApi,
} from "./signet/index.js";

/** A caller with a jar of its own. */
const caller = () => new Configuration({ basePath: env["BASE"] ?? "", fetchApi: fetchCookie(fetch) });

/** The problem that an operation was refused with. */
async function problem(answer: Promise<unknown>): Promise<Problem> {
  const refusal: unknown = await answer.then(
    () => assert.fail("not refused"),
    (error: unknown) => error,
  );
  assert.ok(refusal instanceof ResponseError, String(refusal));
  const told = ProblemFromJSON(await refusal.response.json());
  assert.equal(told.status, refusal.response.status);
  return told;
}

const [admin, user] = [caller(), caller()];
const account = new AccountApi(user);
await new AccountApi(admin).loginAccount({ credentials: { username: "admin", password: env["PASSWORD"] ?? "" } });

const credentials = { username: "bob", password: "seven wooden boats" };
const registered = (await account.registerAccount({ newAccount: credentials })).user;
const bob = (await account.loginAccount({ credentials })).user;
assert.deepEqual([bob.id, bob.username, bob.isStaff], [registered.id, "bob", false]);

const cart = [7, { size: "L" }, null];
const session = new SessionApi(user);
const written = await session.setSessionData({ key: "cart", newValue: { value: cart } });
assert.deepEqual([written.value, written.found], [cart, true]);
assert.deepEqual((await session.getSessionData({ key: "cart" })).value, cart);
const missing = await session.getSessionData({ key: "theme", _default: "light" });
assert.deepEqual([missing.value, missing.found], ["light", false]);
const state = await session.getSession();
assert.deepEqual(state.data["cart"], cart);
// Null is the only way of not being there.
const ends: Date | null = state.endsAt;
assert.ok(state.issuedAt && state.expiresAt && ends);
assert.ok(state.issuedAt < state.expiresAt && state.expiresAt < ends);

const rights = new RightsApi(user);
const question = { permissionQuestion: { permissions: ["polls.vote"] } };
let refused = await problem(new UsersApi(user).getUser({ id: bob.id }));
assert.deepEqual([refused.code, refused.status], [ProblemCode.Forbidden, 403]);
refused = await problem(rights.verifyRequest({ permission: "polls.vote" }));
assert.equal(refused.code, ProblemCode.Forbidden);
assert.equal((await rights.checkPermissions(question)).all, false);

await new PermissionsApi(admin).createPermission({ newPermission: { name: "polls.vote" } });
const granted = await new UsersApi(admin).updateUser({ id: bob.id, userPatch: { userPermissions: ["polls.vote"] } });
assert.deepEqual(granted.userPermissions, ["polls.vote"]);

const answer = await rights.checkPermissions(question);
assert.deepEqual([answer.all, answer.results["polls.vote"]], [true, true]);
await rights.verifyRequest({ permission: "polls.vote" });

const devices = (await new DevicesApi(user).listSessions()).items.filter((device) => device.current);
assert.equal(devices.length, 1);
assert.equal(devices[0]?.id, state.id);
assert.ok(devices[0] && devices[0].createdAt < devices[0].endsAt);

await account.logoutAccount();
refused = await problem(account.getMe());
assert.deepEqual([refused.code, refused.status], [ProblemCode.NotAuthenticated, 401]);
assert.ok(refused.requestId);
console.log("done");
