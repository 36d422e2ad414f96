// The way to the server: typed by its contract, and patient with a session that ends meanwhile.

import createClient from "openapi-fetch";
import { createSignal } from "solid-js";
import type { components, paths } from "./contract";

type Schemas = components["schemas"];
export type User = Schemas["User"];
export type Group = Schemas["Group"];
export type Permission = Schemas["Permission"];
export type Device = Schemas["Device"];
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

/** A record, and the tag of its state for `If-Match`. */
export type Tagged<T> = { record: T; tag: string };

/** The answer's record and its tag; throws a `Refusal`. */
export async function tagged<A extends Answer>(answer: Promise<A>): Promise<Tagged<NonNullable<A["data"]>>> {
  const settled = await answer;
  admitted(settled);
  return { record: settled.data as NonNullable<A["data"]>, tag: settled.response.headers.get("etag") ?? "*" };
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

/** From now on a 401 is only that. */
export function end(): void {
  isSomebody = false;
}

/** The session lives again: whatever waited for that goes on. */
export function goOn(): void {
  setExpired(false);
  resume?.();
  resume = undefined;
  resumed = undefined;
}

async function meansExpiry(request: Request, response: Response): Promise<boolean> {
  if (!isSomebody || response.status !== 401 || new URL(request.url).pathname === "/v1/login") return false;
  const body: unknown = await response.clone().json();
  return isProblem(body) && body.code === "not_authenticated";
}

let whenForbidden: (() => void) | undefined;

/** What is done when the server says that a right is lacking: those that are known here may be of yesterday. */
export function onForbidden(act: () => void): void {
  whenForbidden = act;
}

async function patient(request: Request): Promise<Response> {
  setWaiting((count) => count + 1);
  try {
    for (;;) {
      const response = await fetch(request.clone());
      if (!(await meansExpiry(request, response))) {
        if (response.status === 403) whenForbidden?.();
        return response;
      }
      resumed ??= new Promise((resolve) => (resume = resolve));
      setExpired(true);
      await resumed;
    }
  } finally {
    setWaiting((count) => count - 1);
  }
}

export const api = createClient<paths>({ baseUrl: location.origin, fetch: patient });

/** Every item of a list that comes in pages. */
export async function all<T>(page: (cursor: string | undefined) => Promise<{ items: T[]; next?: string | null }>) {
  const items: T[] = [];
  let cursor: string | undefined;
  do {
    const got = await page(cursor);
    items.push(...got.items);
    cursor = got.next ?? undefined;
  } while (cursor !== undefined);
  return items;
}

/** Every group, with what it grants. */
export function allGroups(): Promise<Group[]> {
  return all((cursor) => got(api.GET("/v1/groups", { params: { query: defined({ cursor, limit: 200 }) } })));
}

/** The same without the members that are undefined or empty. */
export function defined<T extends object>(members: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  const kept = Object.entries(members).filter(([, value]) => value !== undefined && value !== "");
  return Object.fromEntries(kept) as { [K in keyof T]: Exclude<T[K], undefined> };
}
