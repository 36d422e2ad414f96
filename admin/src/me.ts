// Who is logged in, and what the server would let them do: the rules of the administration, so that nobody is shown a
// control that would be refused. The server decides; this only foretells.

import { createEffect, createSignal, on } from "solid-js";
import { api, allGroups, begin, defined, end, got, leaf, onForbidden, type Group, type User } from "./api";
import { count } from "./format";

export type Me = { user: User; permissions: ReadonlySet<string> };

const [me, setMe] = createSignal<Me | undefined>();

/** Who is logged in. */
export function mine(): Me {
  const known = me();
  if (known === undefined) throw new Error("nobody is logged in");
  return known;
}

export const somebody = me;

let partings = 0;

/** Asks the server who is logged in. */
export async function meet(): Promise<void> {
  const before = partings;
  const user = await got(api.GET("/v1/me"));
  const permissions = await got(api.GET("/v1/me/permissions"));
  // What was asked before a log-out says nothing any more.
  if (partings !== before) return;
  begin();
  setMe({ user, permissions: new Set(permissions.items) });
}

/** The same after an act that may have changed the own rights. That it was done stays true when this fails. */
export async function meetAgain(): Promise<void> {
  if (me() !== undefined) await meet().catch(() => undefined);
}

/** The own record has changed, and this is what it is now. */
export function become(user: User): void {
  setMe((me) => me && { ...me, user });
}

const [refusals, setRefusals] = createSignal(0);

onForbidden((isAct) => {
  void meetAgain().then(() => {
    if (isAct) setRefusals((count) => count + 1);
  });
});

/** Reads anew what a page shows when an act was refused for want of rights, so that no control stays that is refused. */
export function whenRefused(readAnew: () => Promise<void>): void {
  createEffect(on(refusals, () => void readAnew(), { defer: true }));
}

// Another tab may have logged somebody else in, and what is done here would be done in their name.
const look = () => {
  const before = me();
  if (document.visibilityState !== "visible" || before === undefined) return;
  void meet().then(
    () => {
      const now = me();
      if (now !== undefined && now.user.id !== before.user.id) location.reload();
    },
    () => undefined,
  );
};
document.addEventListener("visibilitychange", look);
// A window beside another one is seen all the time.
addEventListener("focus", look);

/** Nobody is logged in any more. */
export function part(): void {
  partings += 1;
  end();
  setMe(undefined);
}

export const isSuperuser = (): boolean => mine().user.is_superuser;
export const holds = (permission: string): boolean => isSuperuser() || mine().permissions.has(permission);
export const isMe = (user: { id: string }): boolean => mine().user.id === user.id;

/** Where a permission comes from. */
export type Source = { permission: string; direct: boolean; groups: string[] };

/** Each permission that the user has by a grant, and all of its sources. */
export function sources(user: Pick<User, "groups" | "user_permissions">, groups: readonly Group[]): Source[] {
  const found = new Map<string, Source>();
  const source = (permission: string) => {
    const known = found.get(permission) ?? { permission, direct: false, groups: [] };
    found.set(permission, known);
    return known;
  };
  for (const permission of user.user_permissions) source(permission).direct = true;
  for (const group of groups) {
    if (!user.groups.includes(group.name)) continue;
    for (const permission of group.permissions) source(permission).groups.push(group.name);
  }
  return [...found.values()].sort((a, b) => (a.permission < b.permission ? -1 : 1));
}

/** Whether the user has no right beyond one's own. */
export function mayTouch(user: User, groups: readonly Group[]): boolean {
  if (isSuperuser()) return true;
  return !user.is_superuser && sources(user, groups).every(({ permission }) => holds(permission));
}

export const mayGiveGroup = (name: string): boolean => isSuperuser() || mine().user.groups.includes(name);
export const mayChangeGroup = (group: Group): boolean => group.permissions.every(holds);

/** A permission of no catalogue: only superusers have it, and by a permission the store finds them without a walk. */
const OF_SUPERUSERS = "signet.superuser";

/**
 * Whether it is the last active superuser who may enter administration. That can only be oneself: whoever looks is one,
 * and nobody but another superuser may touch a superuser.
 */
export async function isLastSuperuser(user: User): Promise<boolean> {
  if (!isMe(user) || !user.is_superuser) return false;
  const query = { permission: OF_SUPERUSERS, is_superuser: true, is_staff: true, limit: 2 };
  const { items, next } = await leaf(
    (cursor) => got(api.GET("/v1/users", { params: { query: defined({ ...query, cursor }) } })),
    undefined,
  );
  return items.length < 2 && !next;
}

/** The groups to add somebody to: all of them, or those that one is in oneself. */
export async function findGroups(search: string): Promise<{ name: string; about: string }[]> {
  const about = ({ name, permissions }: Group) => ({ name, about: count(permissions.length, "permission") });
  if (isSuperuser()) {
    const { items } = await got(api.GET("/v1/groups", { params: { query: { search, limit: 50 } } }));
    return items.map(about);
  }
  const own = (await allGroups()).filter((group) => mayGiveGroup(group.name) && mayChangeGroup(group));
  return own.filter(({ name }) => name.toLowerCase().includes(search.toLowerCase())).map(about);
}

/** The permissions to give: of all of them those that one has oneself. */
export async function findPermissions(search: string): Promise<{ name: string; about?: string }[]> {
  if (isSuperuser()) {
    const { items } = await got(api.GET("/v1/permissions", { params: { query: { search, limit: 50 } } }));
    return items.map(({ name, description }) => ({ name, about: description }));
  }
  const own = [...mine().permissions].filter((name) => name.toLowerCase().includes(search.toLowerCase()));
  return own.slice(0, 50).map((name) => ({ name }));
}
