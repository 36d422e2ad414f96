// One group: what it grants, and to whom.

import { A, useNavigate, useParams, useSearchParams } from "@solidjs/router";
import { Match, Show, Switch, createEffect, createResource, createSignal, onCleanup, untrack } from "solid-js";
import {
  allGroups,
  api,
  changeUser,
  defined,
  done,
  got,
  leaf,
  refusal,
  tagged,
  type Group,
  type Refusal,
  type Tagged,
  type User,
} from "../api";
import { SaveBar, createEditor, type Field } from "../editor";
import { count, when } from "../format";
import {
  findPermissions,
  isMe,
  isSuperuser,
  mayChangeGroup,
  mayGiveGroup,
  mayTouch,
  meetAgain,
  whenRefused,
} from "../me";
import { confirm } from "../ui/dialog";
import { TextField, createSubmission } from "../ui/form";
import { LeavesTable, createLeaves } from "../ui/kept";
import { Problem, say } from "../ui/notice";
import { ActHead, Flags, Links, Page, Part, permissionPath } from "../ui/page";
import { Picker } from "../ui/picker";
import { Suggest } from "../ui/suggest";

const FIELDS: readonly Field<Group>[] = [
  { key: "name", label: "Name" },
  { key: "permissions", label: "Permissions" },
];

const load = (id: string): Promise<Tagged<Group>> => tagged(api.GET("/v1/groups/{id}", { params: { path: { id } } }));

const membersOf = (
  group: string,
  query: { cursor: string | undefined; is_superuser?: boolean; limit: number },
  signal?: AbortSignal,
) => got(api.GET("/v1/users", { params: { query: defined({ group, ...query }) }, signal: signal ?? null }));

/** Changes a user's groups, from those that they are in now. */
async function changeGroups(user: Pick<User, "id">, change: (groups: string[]) => string[]): Promise<void> {
  const saved = await changeUser(user.id, ({ groups }) => ({ groups: change(groups) }));
  if (isMe(saved)) await meetAgain();
}

/** Names are unique without regard to case and width. */
const key = (name: string): string => name.normalize("NFKC").toLowerCase();

/** The user of exactly this name, among all whose names contain it. */
async function lookUp(name: string, tell: (looked: number) => void, signal: AbortSignal): Promise<User | undefined> {
  let looked = 0;
  let cursor: string | undefined;
  do {
    const query = defined({ search: name, cursor, limit: 200 });
    const { items, next } = await got(api.GET("/v1/users", { params: { query }, signal }));
    const found = items.find(({ username }) => key(username) === key(name));
    if (found !== undefined) return found;
    looked += items.length;
    tell(looked);
    cursor = next ?? undefined;
  } while (cursor !== undefined);
  return undefined;
}

type Data = { first: Tagged<Group>; groups: Group[] };

export function GroupPage() {
  const params = useParams<{ id: string }>();
  const [data] = createResource(
    () => params.id,
    async (id): Promise<Data> => {
      const [first, groups] = await Promise.all([load(id), allGroups()]);
      return { first, groups };
    },
  );
  return (
    <Show when={data()} keyed>
      {(data) => <OneGroup {...data} />}
    </Show>
  );
}

function OneGroup(props: Data) {
  const { first } = props;
  const [groups, setGroups] = createSignal(props.groups);
  const { id } = first.record;
  const navigate = useNavigate();
  const [query] = useSearchParams<{ cursor?: string }>();
  const editor = createEditor<Group>({
    first,
    fields: FIELDS,
    load: () => load(id),
    save: async (change, tag) => {
      const params = { path: { id }, header: { "If-Match": tag } };
      const saved = await tagged(api.PATCH("/v1/groups/{id}", { params, body: change }));
      await meetAgain();
      return saved;
    },
    said: "The group is saved.",
  });
  const { draft, set, form } = editor;
  const group = () => editor.record();
  const mayChange = () => mayChangeGroup(group());
  const members = createLeaves(
    () => JSON.stringify([group().name, query.cursor ?? ""]),
    (_, signal) =>
      leaf((cursor) => membersOf(group().name, { cursor, limit: 50 }, signal), query.cursor || undefined, signal),
  );
  whenRefused(async () => {
    await Promise.all([
      load(id).then(editor.rebase, () => undefined),
      allGroups().then(setGroups, () => undefined),
      members.again(),
    ]);
  });

  const [picked, setPicked] = createSignal("");
  const [looked, setLooked] = createSignal<number | undefined>();
  const suggested = new Map<string, User>();
  let search = new AbortController();
  onCleanup(() => {
    search.abort();
  });
  const adding = createSubmission(async () => {
    const name = picked();
    search = new AbortController();
    const { signal } = search;
    setLooked(0);
    try {
      const user = suggested.get(key(name)) ?? (await lookUp(name, setLooked, signal));
      if (user === undefined) {
        say(`There is no user ${name}.`);
        return;
      }
      await changeGroups(user, (groups) => [...new Set([...groups, group().name])]);
      setPicked("");
      say(`${user.username} is in ${group().name}.`);
    } catch (error) {
      if (!signal.aborted) throw error;
      return;
    } finally {
      setLooked(undefined);
    }
    await members.again();
  });

  /** Who loses by the end of the group: counted where all of them are seen. */
  const losers = () => {
    const page = members.latest();
    if (page === undefined || page.next || query.cursor || members.trouble()) return "all of its members";
    return count(page.items.length, "member");
  };
  const remove = () => {
    const grants = group().permissions;
    const isEmpty = losers() === count(0, "member");
    confirm({
      title: `Delete the group ${group().name}?`,
      effects: [
        isEmpty ? "Nobody is in it." : `What it grants is lost, on the next request, by ${losers()}.`,
        grants.length === 0 ? "It grants nothing." : `It grants ${grants.join(", ")}.`,
      ],
      act: "Delete the group",
      said: `The group ${group().name} is deleted.`,
      perform: async () => {
        await done(api.DELETE("/v1/groups/{id}", { params: { path: { id } } }));
        editor.undo();
        await meetAgain();
        navigate("/groups");
      },
    });
  };

  return (
    <Page title={group().name}>
      <editor.Merge />
      <p class="facts">
        <span>Made {when(group().created_at)}</span>
        <span>
          Id <code>{id}</code>
        </span>
        <A href={`/users?group=${encodeURIComponent(group().name)}`}>Its members among the users</A>
      </p>
      <Show when={mayChange()}>
        <Removal group={group()} groups={groups()} remove={remove} />
      </Show>
      <div class="columns">
        <Part title="What it grants">
          <Show
            when={mayChange()}
            fallback={
              <>
                <p class="hint">It grants more than you have yourself, so you can look at it and not change it.</p>
                <Links names={group().permissions} to={permissionPath} none="nothing" />
              </>
            }
          >
            <form onSubmit={form.submit}>
              <Show when={isSuperuser()}>
                <TextField
                  label="Name"
                  value={draft().name}
                  onInput={(name) => set({ name })}
                  wrong={form.wrong("name")}
                  hint="Proxies and programs may go by it."
                  required
                />
              </Show>
              <Picker
                legend="Permissions"
                one="permission"
                chosen={draft().permissions}
                onChange={(permissions) => set({ permissions })}
                find={findPermissions}
                wrong={form.wrong("permissions")}
              />
              <SaveBar editor={editor} />
            </form>
          </Show>
        </Part>
        <Part title="Members">
          <Show when={mayGiveGroup(group().name)}>
            <form class="row" onSubmit={adding.submit}>
              <Suggest
                label="Add a user"
                value={picked()}
                find={async (search) => {
                  const { items } = await got(api.GET("/v1/users", { params: { query: { search, limit: 20 } } }));
                  for (const user of items) suggested.set(key(user.username), user);
                  return items.filter((user) => mayTouch(user, groups())).map(({ username }) => ({ name: username }));
                }}
                onPick={setPicked}
              />
              <Show
                when={looked() === undefined}
                fallback={
                  <button
                    type="button"
                    onClick={() => {
                      search.abort();
                    }}
                  >
                    Stop
                  </button>
                }
              >
                <button type="submit">Add</button>
              </Show>
            </form>
            <p class="hint" role="status">
              {looked() ? `Looking for ${picked()}: ${count(looked() ?? 0, "other name")} so far that contain it.` : ""}
            </p>
            <Problem of={adding.refused()} />
          </Show>
          <LeavesTable
            of={members}
            one="member"
            label="Members"
            head={
              <>
                <th scope="col">Name</th>
                <th scope="col" class="w-flags">
                  What
                </th>
                <ActHead />
              </>
            }
            none="Nobody is in it."
          >
            {(user) => (
              <tr>
                <th scope="row">
                  <A href={`/users/${user.id}`}>{user.username}</A>
                </th>
                <td>
                  <Flags of={user} />
                </td>
                <td class="end">
                  <Show when={mayTouch(user, groups())}>
                    <button
                      type="button"
                      aria-label={`Take out ${user.username}`}
                      onClick={() => {
                        confirm({
                          title: `Take ${user.username} out of ${group().name}?`,
                          effects: [`${user.username} loses what ${group().name} grants, on the next request.`],
                          act: "Take out",
                          said: `${user.username} is out of ${group().name}.`,
                          perform: async () => {
                            const name = group().name;
                            await changeGroups(user, (groups) => groups.filter((other) => other !== name));
                            await members.again();
                          },
                        });
                      }}
                    >
                      Take out …
                    </button>
                  </Show>
                </td>
              </tr>
            )}
          </LeavesTable>
        </Part>
      </div>
    </Page>
  );
}

/** Pages of members that are looked through before it is left to the person whether to go on. */
const PAGES_MAX = 10;

/**
 * The end of the group, for whom the server lets: nobody takes a right from somebody who has more of them. That takes a
 * look at every member, which the page does not wait for.
 */
function Removal(props: { group: Group; groups: Group[]; remove: () => void }) {
  const [verdict, setVerdict] = createSignal<boolean | undefined>();
  const [rest, setRest] = createSignal<string | undefined>();
  const [trouble, setTrouble] = createSignal<Refusal | undefined>();
  let asked = new AbortController();
  onCleanup(() => {
    asked.abort();
  });
  const look = async (from?: string): Promise<void> => {
    asked.abort();
    const { signal } = (asked = new AbortController());
    setVerdict(undefined);
    setRest(undefined);
    setTrouble(undefined);
    const { name } = props.group;
    try {
      const above = await membersOf(name, { is_superuser: true, cursor: undefined, limit: 1 }, signal);
      let isBeyond = above.items.length > 0;
      let cursor = from;
      for (let page = 0; page < PAGES_MAX && !isBeyond; page += 1) {
        const { items, next } = await membersOf(name, { cursor, limit: 200 }, signal);
        isBeyond = !items.every((member) => mayTouch(member, props.groups));
        cursor = next ?? undefined;
        if (cursor === undefined) break;
      }
      if (isBeyond || cursor === undefined) setVerdict(!isBeyond);
      else setRest(cursor);
    } catch (error) {
      if (!signal.aborted) setTrouble(refusal(error));
    }
  };
  createEffect(() => {
    if (isSuperuser()) setVerdict(true);
    else if (props.groups.length > 0) void untrack(look);
  });
  return (
    <div class="acts" role="group" aria-label={`Acts on ${props.group.name}`}>
      <Switch fallback={<p class="hint">Looking whether you may delete it …</p>}>
        <Match when={verdict() === true}>
          <button
            type="button"
            class="danger"
            onClick={() => {
              props.remove();
            }}
          >
            Delete …
          </button>
        </Match>
        <Match when={verdict() === false}>
          <p class="hint">Somebody in it has rights beyond your own, so you cannot delete it.</p>
        </Match>
        <Match when={rest()}>
          {(rest) => (
            <>
              <p class="hint">It has many members. Whether you may delete it shows when all of them are looked at.</p>
              <button type="button" onClick={() => void look(rest())}>
                Look further
              </button>
            </>
          )}
        </Match>
        <Match when={trouble()}>{(trouble) => <Problem of={trouble()} />}</Match>
      </Switch>
    </div>
  );
}
