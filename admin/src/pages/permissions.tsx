// The catalogue of permissions.

import { A, useSearchParams } from "@solidjs/router";
import { Show, createSignal } from "solid-js";
import { api, defined, got, leaf } from "../api";
import { isSuperuser, whenRefused } from "../me";
import { Modal } from "../ui/dialog";
import { TextField, createSubmission } from "../ui/form";
import { LeavesTable, createLeaves } from "../ui/kept";
import { Problem, say } from "../ui/notice";
import { Page, permissionPath } from "../ui/page";
import { Filters, SearchField } from "../ui/search";

export function Permissions() {
  const [query] = useSearchParams<{ search?: string; cursor?: string }>();
  const wanted = () => defined({ search: query.search, cursor: query.cursor, limit: 50 });
  const page = createLeaves(
    () => JSON.stringify(wanted()),
    (_, signal) => {
      const read = (cursor: string | undefined) =>
        got(api.GET("/v1/permissions", { params: { query: defined({ ...wanted(), cursor }) }, signal }));
      return leaf(read, query.cursor, signal);
    },
  );
  whenRefused(page.again);
  const [isAdding, setAdding] = createSignal(false);
  return (
    <Page
      title="Permissions"
      aside={
        <Show when={isSuperuser()}>
          <button type="button" class="primary" onClick={() => setAdding(true)}>
            New permission
          </button>
        </Show>
      }
    >
      <Show when={isAdding()}>
        <Add
          onClose={(made) => {
            setAdding(false);
            if (made) void page.again();
          }}
        />
      </Show>
      <Filters>
        <SearchField />
      </Filters>
      <LeavesTable
        of={page}
        one="permission"
        label="Permissions"
        head={
          <>
            <th scope="col">Name</th>
            <th scope="col">What it allows</th>
          </>
        }
        none="There is no such permission."
      >
        {(permission) => (
          <tr>
            <th scope="row">
              <A href={permissionPath(permission.name)}>{permission.name}</A>
            </th>
            <td>{permission.description}</td>
          </tr>
        )}
      </LeavesTable>
    </Page>
  );
}

function Add(props: { onClose: (made: boolean) => void }) {
  const [name, setName] = createSignal("");
  const [description, setDescription] = createSignal("");
  const form = createSubmission(async () => {
    const body = defined({ name: name(), description: description() });
    const made = await got(api.POST("/v1/permissions", { body }));
    say(`${made.name} is in the catalogue.`);
    props.onClose(true);
  });
  return (
    <Modal
      title="New permission"
      onClose={() => {
        props.onClose(false);
      }}
    >
      <form onSubmit={form.submit}>
        <TextField
          label="Name"
          value={name()}
          onInput={setName}
          wrong={form.wrong("name")}
          hint="app_label.codename, such as polls.vote. It grants nothing to anybody by itself."
          required
        />
        <TextField
          label="What it allows"
          value={description()}
          onInput={setDescription}
          wrong={form.wrong("description")}
        />
        <Problem of={form.refused()} />
        <div class="buttons">
          <button
            type="button"
            onClick={() => {
              props.onClose(false);
            }}
          >
            Cancel
          </button>
          <button type="submit" class="primary" disabled={form.isBusy()}>
            Add
          </button>
        </div>
      </form>
    </Modal>
  );
}
