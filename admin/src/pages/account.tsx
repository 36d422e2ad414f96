// The own account, for everybody who logs in: person, address, password, devices, tokens.

import { For, Show } from "solid-js";
import { api, defined, done, got, type Device } from "../api";
import { agent, count, when } from "../format";
import { isSuperuser, mine, part } from "../me";
import { DeviceTable, told } from "../ui/devices";
import { confirm } from "../ui/dialog";
import { More, Trouble, createKept, createSeries, nothing, type Series } from "../ui/kept";
import { Flags, Page, Part } from "../ui/page";
import { Password } from "./account-password";
import { Profile } from "./account-profile";
import { Tokens } from "./account-tokens";

export function Account() {
  const devices = createSeries((cursor, signal) =>
    got(api.GET("/v1/sessions", { params: { query: defined({ cursor, limit: 50 }) }, signal })),
  );
  const tokens = createKept(
    () => true,
    (_, signal) => got(api.GET("/v1/tokens", { signal })),
  );
  /** Both have ended, but for this session. */
  const again = async () => {
    await Promise.all([devices.again(), tokens.again()]);
  };
  return (
    <Page title="Your account" aside={<Flags of={mine().user} />}>
      <div class="columns">
        <div>
          <Profile />
          <Password changed={() => void again()} />
        </div>
        <div>
          <Devices devices={devices} again={again} />
          <Tokens tokens={tokens} />
          <Rights />
        </div>
      </div>
    </Page>
  );
}

function Devices(props: { devices: Series<Device>; again: () => Promise<void> }) {
  const list = () => props.devices.items();
  const others = () =>
    props.devices.hasMore() ? "All of your other sessions" : count(list().length - 1, "other session");
  let place!: HTMLDivElement;
  return (
    <Part
      title="Your devices"
      aside={
        <div class="acts">
          <Show when={list().length > 1 || props.devices.hasMore()}>
            <button
              type="button"
              onClick={() => {
                confirm({
                  title: "Log out everywhere else?",
                  effects: [`${others()} and all of your API tokens end, at once.`, "This session goes on."],
                  act: "Log out everywhere else",
                  said: "You are logged in here only.",
                  perform: async () => {
                    await done(api.DELETE("/v1/sessions", { params: { query: { keep: "current" } } }));
                    await props.again();
                  },
                });
              }}
            >
              Log out everywhere else …
            </button>
          </Show>
          <button
            type="button"
            onClick={() => {
              confirm({
                title: "Log out everywhere?",
                effects: ["All of your sessions, this one too, and all of your API tokens end, at once."],
                act: "Log out everywhere",
                said: "You are logged out everywhere.",
                perform: async () => {
                  await done(api.DELETE("/v1/sessions"));
                  part();
                },
              });
            }}
          >
            Log out everywhere …
          </button>
        </div>
      }
    >
      <Trouble of={props.devices} />
      <div ref={place}>
        <DeviceTable
          label="Your devices"
          isTight
          devices={list()}
          isBusy={props.devices.isBusy()}
          none={nothing(props.devices, "You are logged in nowhere.")}
          mayEnd={(device) => !device.current}
          name={(device) => `End the session of ${agent(device.agent)} since ${when(device.created_at)}`}
          question={(device) => ({
            title: "Log out this device?",
            effects: [`${told(device)}, is logged out at once.`],
          })}
          end={async ({ id: sid }) => {
            await done(api.DELETE("/v1/sessions/{sid}", { params: { path: { sid } } }));
            await props.devices.again();
          }}
        />
      </div>
      <More of={props.devices} one="session" list={() => place.querySelector("[tabindex]")} />
    </Part>
  );
}

function Rights() {
  const names = () => [...mine().permissions];
  return (
    <Part title="What you may do">
      <Show when={isSuperuser()}>
        <p class="note">You are a superuser, and have every permission.</p>
      </Show>
      <h3>Groups</h3>
      <ul class="chips">
        <For each={mine().user.groups} fallback={<li class="none">none</li>}>
          {(name) => <li>{name}</li>}
        </For>
      </ul>
      <Show when={!isSuperuser()}>
        <h3>Permissions</h3>
        <ul class="chips">
          <For each={names()} fallback={<li class="none">none</li>}>
            {(name) => <li>{name}</li>}
          </For>
        </ul>
      </Show>
    </Part>
  );
}
