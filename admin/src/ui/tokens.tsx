// API tokens, one's own or somebody's, and their end.

import { Show } from "solid-js";
import type { ApiToken } from "../api";
import { when } from "../format";
import { confirm } from "./dialog";
import { ActHead, Table } from "./page";

export function TokenTable(props: {
  label: string;
  tokens: readonly ApiToken[];
  isBusy: boolean;
  none: string;
  /** There is little room: what matters least is left out. */
  isTight?: boolean;
  mayEnd: boolean;
  /** What the end of one does. */
  effect: string;
  end: (token: ApiToken) => Promise<void>;
}) {
  return (
    <Table
      label={props.label}
      isBusy={props.isBusy}
      class={props.isTight ? "tight" : ""}
      head={
        <>
          <th scope="col">Token</th>
          <th scope="col">Permissions</th>
          <th scope="col" class="at-2 w-time">
            Made
          </th>
          <th scope="col" class="w-time">
            Ends
          </th>
          <ActHead />
        </>
      }
      rows={props.tokens}
      none={props.none}
    >
      {(token) => (
        <tr>
          <th scope="row">{token.name}</th>
          <td>{token.permissions.join(", ") || "none"}</td>
          <td class="when at-2">{when(token.created_at)}</td>
          <td class="when">{when(token.expires_at)}</td>
          <td class="end">
            <Show when={props.mayEnd}>
              <button
                type="button"
                aria-label={`End the API token ${token.name}`}
                onClick={() => {
                  confirm({
                    title: `End the API token ${token.name}?`,
                    effects: [props.effect],
                    act: "End the token",
                    said: "The API token has ended.",
                    perform: () => props.end(token),
                  });
                }}
              >
                End …
              </button>
            </Show>
          </td>
        </tr>
      )}
    </Table>
  );
}
