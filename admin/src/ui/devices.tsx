// Open sessions, wherever they are listed: whose they are, from where, since when, and their end.

import { A } from "@solidjs/router";
import { Show } from "solid-js";
import type { Device, OpenSession } from "../api";
import { agent, when } from "../format";
import { confirm } from "./dialog";
import { ActHead, Badge, Table } from "./page";

export type Listed = Device | OpenSession;

export const ownerOf = (device: Listed): OpenSession["user"] | undefined =>
  "user" in device ? device.user : undefined;

/** A session in words: what is on the other end, and since when. */
export const told = (device: Listed): string =>
  `${agent(device.agent)} at ${device.address}, logged in since ${when(device.created_at)}`;

export function DeviceTable<T extends Listed>(props: {
  label: string;
  devices: readonly T[];
  isBusy: boolean;
  none: string;
  /** There is little room: what matters least is left out. */
  isTight?: boolean;
  /** Also of everybody's: whose each of them is. */
  hasOwners?: boolean;
  mayEnd: (device: T) => boolean;
  /** What is asked, and what the end does. */
  question: (device: T) => { title: string; effects: string[] };
  /** What the button is to whoever cannot see its row. */
  name: (device: T) => string;
  end: (device: T) => Promise<void>;
}) {
  return (
    <Table
      label={props.label}
      isBusy={props.isBusy}
      class={props.isTight ? "tight" : ""}
      head={
        <>
          <Show when={props.hasOwners}>
            <th scope="col">User</th>
          </Show>
          <th scope="col">Device</th>
          <th scope="col">From</th>
          <th scope="col" class="at-1 w-time">
            Logged in
          </th>
          <th scope="col" class="at-2 w-time">
            Ends by
          </th>
          <ActHead />
        </>
      }
      rows={props.devices}
      none={props.none}
    >
      {(device) => (
        <tr>
          <Show
            when={ownerOf(device)}
            fallback={
              <th scope="row" title={device.agent}>
                <Client of={device} isMarked={props.mayEnd(device)} />
              </th>
            }
          >
            {(user) => (
              <>
                <th scope="row">
                  <A href={`/users/${user().id}`}>{user().username}</A>
                </th>
                <td title={device.agent}>
                  <Client of={device} isMarked={props.mayEnd(device)} />
                </td>
              </>
            )}
          </Show>
          <td>{device.address}</td>
          <td class="when at-1">{when(device.created_at)}</td>
          <td class="when at-2">{when(device.ends_at)}</td>
          <td class="end">
            <Show
              when={props.mayEnd(device)}
              fallback={
                <Show when={device.current}>
                  <ThisOne />
                </Show>
              }
            >
              <button
                type="button"
                aria-label={props.name(device)}
                onClick={() => {
                  confirm({
                    ...props.question(device),
                    act: "End the session",
                    said: "The session has ended.",
                    perform: () => props.end(device),
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

function Client(props: { of: Listed; isMarked: boolean }) {
  return (
    <>
      {agent(props.of.agent)}{" "}
      <Show when={props.isMarked && props.of.current}>
        <ThisOne />
      </Show>
    </>
  );
}

const ThisOne = () => <Badge kind="good">this one</Badge>;
