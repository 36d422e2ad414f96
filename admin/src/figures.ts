// What the server has counted of late. Kept while the pages are open, so that the charts go on where they were.

import { createResource, createSignal, onCleanup, type Resource } from "solid-js";
import { api, got, refusal, type Figures, type Refusal } from "./api";

const EVERY = 2_000;
const KEPT = 150;
/** How long the node that the charts are of may be silent, in milliseconds, before they are of another one. */
const SILENT_MAX = 60_000;

/** What happened between two looks. */
export type Point = {
  at: number;
  requests: number;
  succeeded: number;
  failed: number;
  revocations: number;
  busy: number;
  waiting: number;
  staleness: number | null;
};

const [latest, setLatest] = createSignal<Figures | undefined>();
const [points, setPoints] = createSignal<readonly Point[]>([]);
const [trouble, setTrouble] = createSignal<Refusal | undefined>();
const [others, setOthers] = createSignal<readonly string[]>([]);
/** `others` are the nodes that answer here too, and of which nothing is drawn. */
export { latest, others, points, trouble };

let heardAt = 0;

function take(now: Figures): void {
  setTrouble(undefined);
  const before = latest();
  const isSame = before === undefined || before.node === now.node;
  // Each node counts by itself. Where several answer in turn, the charts stay with one for as long as it is heard.
  if (!isSame && Date.now() - heardAt < SILENT_MAX) {
    const node = now.node ?? "";
    if (!others().includes(node)) setOthers((others) => [...others, node].sort());
    return;
  }
  heardAt = Date.now();
  setLatest(now);
  if (!isSame) setOthers([]);
  // Counters begin anew with the server.
  if (before === undefined || !isSame || before.uptime_seconds > now.uptime_seconds) {
    setPoints([]);
    return;
  }
  const at = new Date(now.at).getTime() / 1_000;
  const passed = at - new Date(before.at).getTime() / 1_000;
  if (passed <= 0) return;
  const rate = (now: number, before: number) => (now - before) / passed;
  const point: Point = {
    at,
    requests: rate(now.verified_requests, before.verified_requests),
    succeeded: rate(now.logins.succeeded, before.logins.succeeded),
    failed: rate(now.logins.failed, before.logins.failed),
    revocations: now.revocations,
    busy: now.pool.busy,
    waiting: now.pool.waiting,
    staleness: now.staleness_seconds,
  };
  setPoints((points) => [...points, point].slice(-KEPT));
}

async function look(): Promise<void> {
  try {
    take(await got(api.GET("/v1/figures")));
  } catch (error) {
    setTrouble(refusal(error));
  }
}

/**
 * Looks every two seconds, for as long as somebody does; ready when it has looked once. A page that nobody sees asks
 * nothing: that would keep its session alive.
 */
export function watch(): Resource<boolean> {
  let isOver = false;
  let timer = 0;
  const again = async () => {
    if (document.visibilityState === "visible") await look();
    if (!isOver) timer = setTimeout(() => void again(), EVERY);
  };
  onCleanup(() => {
    isOver = true;
    clearTimeout(timer);
  });
  const [ready] = createResource(async () => {
    await look();
    timer = setTimeout(() => void again(), EVERY);
    return true;
  });
  return ready;
}
