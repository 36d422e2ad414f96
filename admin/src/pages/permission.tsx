// One permission: what it allows, which groups grant it, and who has it by what.

import { A, useNavigate, useParams, useSearchParams } from "@solidjs/router";
import { For, Show, createResource } from "solid-js";
import { allGroups, api, defined, done, got, leaf, tagged, type Permission, type Tagged } from "../api";
import { SaveBar, createEditor, type Field } from "../editor";
import { number } from "../format";
import { isSuperuser, meetAgain, whenRefused } from "../me";
import { confirm } from "../ui/dialog";
import { TextField, createSubmission } from "../ui/form";
import { LeavesTable, Trouble, createKept, createLeaves } from "../ui/kept";
import { Problem } from "../ui/notice";
import { Badge, Page, Part } from "../ui/page";

const FIELDS: readonly Field<Permission>[] = [{ key: "description", label: "What it allows" }];

const load = (name: string): Promise<Tagged<Permission>> =>
  tagged(api.GET("/v1/permissions/{name}", { params: { path: { name } } }));

const holdersOf = (
  permission: string,
  query: { is_active?: boolean; cursor: string | undefined; limit: number },
  signal?: AbortSignal,
) => got(api.GET("/v1/users", { params: { query: defined({ permission, ...query }) }, signal: signal ?? null }));

/** Pages of holders that are looked through before it is only said how many there are at least. */
const PAGES_MAX = 10;

/** How many users have it by a grant of their own, disabled ones too; `isMore` when not all were looked at. */
async function directHolders(name: string): Promise<{ amount: number; isMore: boolean }> {
  let amount = 0;
  let left = PAGES_MAX;
  for (const is_active of [true, false]) {
    let cursor: string | undefined;
    do {
      if (left === 0) return { amount, isMore: true };
      left -= 1;
      const { items, next } = await holdersOf(name, { is_active, cursor, limit: 200 });
      amount += items.filter(({ user_permissions }) => user_permissions.includes(name)).length;
      cursor = next ?? undefined;
    } while (cursor !== undefined);
  }
  return { amount, isMore: false };
}

type Data = { first: Tagged<Permission> };

export function PermissionPage() {
  const params = useParams<{ app: string; codename: string }>();
  const [data] = createResource(
    () => `${params.app}.${params.codename}`,
    async (name): Promise<Data> => ({ first: await load(name) }),
  );
  return (
    <Show when={data()} keyed>
      {(data) => <OnePermission {...data} />}
    </Show>
  );
}

function OnePermission(props: Data) {
  const { first } = props;
  const { name } = first.record;
  const navigate = useNavigate();
  const [query] = useSearchParams<{ cursor?: string }>();
  const editor = createEditor<Permission>({
    first,
    fields: FIELDS,
    load: () => load(name),
    save: (change, tag) =>
      tagged(
        api.PATCH("/v1/permissions/{name}", {
          params: { path: { name }, header: { "If-Match": tag } },
          body: { description: change.description ?? "" },
        }),
      ),
    said: "The permission is saved.",
  });
  const { draft, set, form } = editor;
  const holders = createLeaves(
    () => query.cursor ?? "",
    (cursor, signal) => leaf((cursor) => holdersOf(name, { cursor, limit: 50 }, signal), cursor || undefined, signal),
  );
  const granting = createKept(
    () => true,
    async () => (await allGroups()).filter(({ permissions }) => permissions.includes(name)),
  );
  const groups = () => granting.latest() ?? [];
  whenRefused(async () => {
    await Promise.all([holders.again(), granting.again()]);
  });
  const asking = createSubmission(async () => {
    await granting.again();
    const losers = await directHolders(name);
    const grant = groups().map((group) => group.name);
    confirm({
      title: `Delete the permission ${name}?`,
      effects: [
        "It is taken out of the catalogue, and from every user and group that has it.",
        losers.amount === 0 && !losers.isMore
          ? "No user has it directly."
          : `Users who lose a direct grant, on their next request: ${losers.isMore ? "at least " : ""}${number(losers.amount)}.`,
        grant.length === 0
          ? "No group grants it."
          : `Groups that lose it, and their members with them: ${grant.join(", ")}.`,
      ],
      act: "Delete the permission",
      said: `${name} is deleted.`,
      perform: async () => {
        await done(api.DELETE("/v1/permissions/{name}", { params: { path: { name } } }));
        editor.undo();
        await meetAgain();
        navigate("/permissions");
      },
    });
  });
  return (
    <Page title={name}>
      <editor.Merge />
      <Show when={isSuperuser()}>
        <div class="acts" role="group" aria-label={`Acts on ${name}`}>
          <button type="button" class="danger" disabled={asking.isBusy()} onClick={() => void asking.run()}>
            Delete …
          </button>
          <Problem of={asking.refused()} />
        </div>
      </Show>
      <div class="columns">
        <div>
          <Part title="What it allows">
            <Show when={isSuperuser()} fallback={<p>{draft().description || "Nobody has said so."}</p>}>
              <form onSubmit={form.submit}>
                <TextField
                  label="Description"
                  value={draft().description}
                  onInput={(description) => set({ description })}
                  wrong={form.wrong("description")}
                  maxlength={255}
                />
                <SaveBar editor={editor} />
              </form>
            </Show>
          </Part>
          <Part title="Groups that grant it">
            <Trouble of={granting} />
            <ul class="chips">
              <For each={groups()} fallback={<li class="none">none</li>}>
                {(group) => (
                  <li>
                    <A href={`/groups/${group.id}`}>{group.name}</A>
                  </li>
                )}
              </For>
            </ul>
          </Part>
        </div>
        <Part title="Who has it">
          <LeavesTable
            of={holders}
            one="holder"
            label={`Active users who have ${name}`}
            head={
              <>
                <th scope="col">Name</th>
                <th scope="col">By</th>
              </>
            }
            none="No active user has it."
          >
            {(user) => (
              <tr>
                <th scope="row">
                  <A href={`/users/${user.id}`}>{user.username}</A>
                </th>
                <td>
                  <ul class="chips">
                    <Show when={user.user_permissions.includes(name)}>
                      <li>direct</li>
                    </Show>
                    <For each={groups().filter((group) => user.groups.includes(group.name))}>
                      {(group) => (
                        <li>
                          <A href={`/groups/${group.id}`}>{group.name}</A>
                        </li>
                      )}
                    </For>
                    <Show when={user.is_superuser}>
                      <li class="bare">
                        <Badge kind="high">superuser</Badge>
                      </li>
                    </Show>
                  </ul>
                </td>
              </tr>
            )}
          </LeavesTable>
        </Part>
      </div>
    </Page>
  );
}
