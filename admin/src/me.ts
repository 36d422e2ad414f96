// Who is logged in, and what the server would let them do: the rules of the administration, so that nobody is shown a
// control that would be refused. The server decides; this only foretells.

import { createSignal } from "solid-js";
import { api, allGroups, begin, end, got, onForbidden, type Group, type User } from "./api";

export type Me = { user: User; permissions: ReadonlySet<string> };

const [me, setMe] = createSignal<Me | undefined>();

/** Who is logged in. */
export function mine(): Me {
  const known = me();
  if (known === undefined) throw new Error("nobody is logged in");
  return known;
}

export const somebody = me;

/** Asks the server who is logged in. */
export async function meet(): Promise<void> {
  const user = await got(api.GET("/v1/me"));
  const permissions = await got(api.GET("/v1/me/permissions"));
  begin();
  setMe({ user, permissions: new Set(permissions.items) });
}

onForbidden(() => {
  if (me() !== undefined) void meet().catch(() => undefined);
});

// Another tab may have logged somebody else in, and what is done here would be done in their name.
document.addEventListener("visibilitychange", () => {
  const before = me();
  if (document.visibilityState !== "visible" || before === undefined) return;
  void meet().then(
    () => {
      if (mine().user.id !== before.user.id) location.reload();
    },
    () => undefined,
  );
});

/** Nobody is logged in any more. */
export function part(): void {
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

/**
 * Whether nobody else could administer everything if it were not for this user. That can only be oneself: nobody but
 * another superuser may touch a superuser.
 */
export async function isLastSuperuser(user: User): Promise<boolean> {
  if (!isMe(user) || !user.is_superuser) return false;
  const query = { is_superuser: true, is_active: true, limit: 2 };
  const { items } = await got(api.GET("/v1/users", { params: { query } }));
  return items.length < 2;
}

/** The groups to add somebody to: all of them, or those that one is in oneself. */
export async function findGroups(search: string): Promise<{ name: string; about: string }[]> {
  const about = ({ name, permissions }: Group) => ({ name, about: `${permissions.length.toString()} permissions` });
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
