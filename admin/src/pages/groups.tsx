// All groups, and a new one.

import { A, useNavigate, useSearchParams } from "@solidjs/router";
import { Show, createSignal } from "solid-js";
import { api, defined, got, leaf } from "../api";
import { when } from "../format";
import { findPermissions } from "../me";
import { Foot, TextField, createSubmission, guard } from "../ui/form";
import { LeavesTable, createLeaves } from "../ui/kept";
import { say } from "../ui/notice";
import { Page, Part } from "../ui/page";
import { Filters, SearchField } from "../ui/search";
import { Picker } from "../ui/picker";

export function Groups() {
  const [query] = useSearchParams<{ search?: string; cursor?: string }>();
  const wanted = () => defined({ search: query.search, cursor: query.cursor, limit: 50 });
  const page = createLeaves(
    () => JSON.stringify(wanted()),
    (_, signal) => {
      const read = (cursor: string | undefined) =>
        got(api.GET("/v1/groups", { params: { query: defined({ ...wanted(), cursor }) }, signal }));
      return leaf(read, query.cursor, signal);
    },
  );
  return (
    <Page
      title="Groups"
      aside={
        <A href="/groups/new" class="button primary">
          New group
        </A>
      }
    >
      <Filters>
        <SearchField />
      </Filters>
      <LeavesTable
        of={page}
        one="group"
        label="Groups"
        head={
          <>
            <th scope="col">Name</th>
            <th scope="col">Grants</th>
            <th scope="col" class="at-1">
              Made
            </th>
          </>
        }
        none="There is no such group."
      >
        {(group) => (
          <tr>
            <th scope="row">
              <A href={`/groups/${group.id}`}>{group.name}</A>
            </th>
            <td class="cut">
              {group.permissions.slice(0, 6).join(", ") || "nothing"}
              <Show when={group.permissions.length > 6}> and {group.permissions.length - 6} more</Show>
            </td>
            <td class="when at-1">{when(group.created_at)}</td>
          </tr>
        )}
      </LeavesTable>
    </Page>
  );
}

export function NewGroup() {
  const [name, setName] = createSignal("");
  const [permissions, setPermissions] = createSignal<string[]>([]);
  const navigate = useNavigate();
  guard(() => name() !== "" || permissions().length > 0);
  const form = createSubmission(async () => {
    const made = await got(api.POST("/v1/groups", { body: { name: name(), permissions: permissions() } }));
    setName("");
    setPermissions([]);
    say(`The group ${made.name} is made.`);
    navigate(`/groups/${made.id}`);
  });
  return (
    <Page title="New group">
      <Part title="Group" class="narrow">
        <form onSubmit={form.submit}>
          <TextField label="Name" value={name()} onInput={setName} wrong={form.wrong("name")} required />
          <Picker
            legend="Permissions"
            one="permission"
            chosen={permissions()}
            onChange={setPermissions}
            find={findPermissions}
            wrong={form.wrong("permissions")}
          />
          <Foot of={form} act="Make the group" />
        </form>
      </Part>
    </Page>
  );
}
