// The way to the server: typed by its contract, and patient with a session that ends meanwhile.

import createClient from "openapi-fetch";
import { createSignal } from "solid-js";
import type { components, paths } from "./contract";

type Schemas = components["schemas"];
export type User = Schemas["User"];
export type Group = Schemas["Group"];
export type Permission = Schemas["Permission"];
export type Device = Schemas["Device"];
export type OpenSession = Schemas["OpenSession"];
export type ApiToken = Schemas["ApiToken"];
export type Event = Schemas["Event"];
export type Figures = Schemas["Figures"];
export type Problem = Schemas["Problem"];

/** What the server, or the way to it, refused. */
export class Refusal extends Error {
  readonly problem: Problem;

  constructor(problem: Problem) {
    super(problem.detail);
    this.problem = problem;
  }

  /** What is wrong with a member, if that is why. `groups` stands for `groups/3` too. */
  of(field: string): string | undefined {
    const about = this.problem.errors?.filter((error) => error.field.split("/")[0] === field);
    return about?.length ? about.map((error) => error.message).join("; ") : undefined;
  }
}

/** What went wrong, as a refusal. */
export function refusal(error: unknown): Refusal {
  if (error instanceof Refusal) return error;
  return new Refusal({
    type: "about:blank",
    title: "The server cannot be reached",
    status: 0,
    detail: "Nothing has been heard from it. Try again when it is reachable.",
    code: "unavailable",
    request_id: "",
  });
}

function isProblem(body: unknown): body is Problem {
  return typeof body === "object" && body !== null && "code" in body && "detail" in body;
}

type Answer = { data?: unknown; error?: unknown; response: Response };

function admitted(answer: Answer): void {
  if (answer.response.ok) return;
  if (isProblem(answer.error)) throw new Refusal(answer.error);
  const { status } = answer.response;
  throw new Refusal({
    type: "about:blank",
    title: "Something between here and the server failed",
    status,
    detail: `It answered with the status ${status.toString()} and without an explanation.`,
    code: "unavailable",
    request_id: answer.response.headers.get("x-request-id") ?? "",
  });
}

/** The answer's content; throws a `Refusal`. */
export async function got<A extends Answer>(answer: Promise<A>): Promise<NonNullable<A["data"]>> {
  const settled = await answer;
  admitted(settled);
  return settled.data as NonNullable<A["data"]>;
}

/** Nothing, when it is done; throws a `Refusal`. */
export async function done(answer: Promise<Answer>): Promise<void> {
  admitted(await answer);
}

/** A record, and the tag of its state for `If-Match`; none when it was lost on the way. */
export type Tagged<T> = { record: T; tag: string | undefined };

/** The tag to send with a change. Without one somebody else's change would be overwritten unseen: throws a `Refusal`. */
export function tagOf(tagged: Tagged<unknown>): string {
  if (tagged.tag !== undefined) return tagged.tag;
  throw new Refusal({
    type: "about:blank",
    title: "This cannot be saved safely",
    status: 0,
    detail:
      "Something between here and the server takes the tags (ETag) of its answers away, so that nobody could tell " +
      "whether somebody else has changed this meanwhile. Nothing is saved.",
    code: "precondition_failed",
    request_id: "",
  });
}

/** Whether it says that the change was made from a state that is not the present one any more. */
export function isOutdated(error: unknown): boolean {
  if (!(error instanceof Refusal)) return false;
  const { status, code } = error.problem;
  return (status === 412 && code === "precondition_failed") || code === "conflict";
}

/** How often a change is made anew from a newer state before that is given up. */
export const TRIES = 3;

/** The answer's record and its tag; throws a `Refusal`. */
export async function tagged<A extends Answer>(answer: Promise<A>): Promise<Tagged<NonNullable<A["data"]>>> {
  const settled = await answer;
  admitted(settled);
  // The server's own tags are strong; what compresses on the way marks them as weak.
  const tag = settled.response.headers.get("etag")?.replace(/^W\//, "");
  return { record: settled.data as NonNullable<A["data"]>, tag: tag === "" ? undefined : tag };
}

// While somebody is logged in, a 401 means that the session ended meanwhile: every call waits until the log-in dialog
// is through, and is then sent again.
const [isExpired, setExpired] = createSignal(false);
const [waiting, setWaiting] = createSignal(0);
export { isExpired };

/** How many answers are waited for. */
export const underWay = waiting;

let isSomebody = false;
let resume: (() => void) | undefined;
let resumed: Promise<void> | undefined;

/** From now on a 401 is the end of a session. */
export function begin(): void {
  isSomebody = true;
}

/** From now on a 401 is only that. What waits for a log-in is told no. */
export function end(): void {
  isSomebody = false;
  goOn();
}

/** The session lives again: whatever waited for that goes on. */
export function goOn(): void {
  setExpired(false);
  resume?.();
  resume = undefined;
  resumed = undefined;
}

async function problemOf(response: Response): Promise<Problem | undefined> {
  const body: unknown = await response
    .clone()
    .json()
    .catch(() => undefined);
  return isProblem(body) ? body : undefined;
}

async function meansExpiry(request: Request, response: Response): Promise<boolean> {
  if (response.status !== 401 || new URL(request.url).pathname === "/v1/login") return false;
  const problem = await problemOf(response);
  return isSomebody && problem?.code === "not_authenticated";
}

let whenForbidden: ((isAct: boolean) => void) | undefined;

/** What is done when the server says that a right is lacking: what is known of rights here may be of yesterday. */
export function onForbidden(act: (isAct: boolean) => void): void {
  whenForbidden = act;
}

async function isForbidden(response: Response): Promise<boolean> {
  if (response.status !== 403 && response.status !== 409) return false;
  const code = (await problemOf(response))?.code;
  return code === "forbidden" || code === "last_superuser";
}

let asked = 0;

// Outside of what began it: the router's change of a page keeps what it writes to itself until it is done.
function count(by: number): void {
  asked += by;
  queueMicrotask(() => {
    setWaiting(asked);
  });
}

async function patient(request: Request): Promise<Response> {
  count(1);
  try {
    for (;;) {
      const response = await fetch(request.clone());
      if (!(await meansExpiry(request, response))) {
        if (await isForbidden(response)) whenForbidden?.(request.method !== "GET");
        return response;
      }
      resumed ??= new Promise((resolve) => (resume = resolve));
      setExpired(true);
      await resumed;
    }
  } finally {
    count(-1);
  }
}

export const api = createClient<paths>({ baseUrl: location.origin, fetch: patient });

/** A part of a list, and the cursor of the next one. */
export type Leaf<T> = { items: T[]; next?: string | null | undefined };

/** Every item of a list that comes in pages. */
export async function all<T>(page: (cursor: string | undefined) => Promise<Leaf<T>>): Promise<T[]> {
  const items: T[] = [];
  let cursor: string | undefined;
  do {
    const got = await page(cursor);
    items.push(...got.items);
    cursor = got.next ?? undefined;
  } while (cursor !== undefined);
  return items;
}

/** Empty pages that are gone past before the person is asked. */
const EMPTY_MAX = 5;

/**
 * The next page that has something. The server looks through so many records at a time, and a page may be empty although
 * there are more: an empty one with a `next` is what is left to be looked through.
 */
export async function leaf<T>(
  page: (cursor: string | undefined) => Promise<Leaf<T>>,
  cursor: string | undefined,
  signal?: AbortSignal,
): Promise<Leaf<T>> {
  let found = await page(cursor);
  for (let gone = 1; gone < EMPTY_MAX && found.items.length === 0 && found.next; gone += 1) {
    signal?.throwIfAborted();
    found = await page(found.next);
  }
  return found;
}

/** Every group, with what it grants. */
export function allGroups(): Promise<Group[]> {
  return all((cursor) => got(api.GET("/v1/groups", { params: { query: defined({ cursor, limit: 200 }) } })));
}

/** A user as they are now, changed from that state. */
export async function changeUser(id: string, change: (user: User) => Schemas["UserPatch"]): Promise<User> {
  const path = { id };
  for (let left = TRIES; ; left -= 1) {
    const found = await tagged(api.GET("/v1/users/{id}", { params: { path } }));
    const params = { path, header: { "If-Match": tagOf(found) } };
    try {
      return await got(api.PATCH("/v1/users/{id}", { params, body: change(found.record) }));
    } catch (error) {
      if (!isOutdated(error) || left === 1) throw error;
    }
  }
}

/** The same without the members that are undefined or empty. */
export function defined<T extends object>(members: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  const kept = Object.entries(members).filter(([, value]) => value !== undefined && value !== "");
  return Object.fromEntries(kept) as { [K in keyof T]: Exclude<T[K], undefined> };
}
