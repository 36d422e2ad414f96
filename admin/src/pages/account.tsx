// The own account, for everybody who logs in: person, address, password, devices, tokens.

import { For, Show, createMemo, createResource, createSignal } from "solid-js";
import { api, defined, done, got, type ApiToken } from "../api";
import { agent, count, when } from "../format";
import { findPermissions, isSuperuser, meet, mine, part } from "../me";
import { Modal, confirm } from "../ui/dialog";
import { Select, TextField, createSubmission, guard } from "../ui/form";
import { Problem, say } from "../ui/notice";
import { Badge, Flags, Page, Part, Table } from "../ui/page";
import { Picker } from "../ui/picker";

export function Account() {
  return (
    <Page title="Your account" aside={<Flags of={mine().user} />}>
      <div class="columns">
        <div>
          <Profile />
          <Password />
        </div>
        <div>
          <Devices />
          <Tokens />
          <Rights />
        </div>
      </div>
    </Page>
  );
}

function Profile() {
  const saved = () => {
    const { first_name, last_name, email } = mine().user;
    return { first_name, last_name, email };
  };
  const [draft, setDraft] = createSignal(saved());
  const [old, setOld] = createSignal("");
  const set = (part: Partial<ReturnType<typeof saved>>) => setDraft((draft) => ({ ...draft, ...part }));
  const isNewAddress = () => draft().email !== saved().email;
  const isDirty = createMemo(() => JSON.stringify(draft()) !== JSON.stringify(saved()));
  guard(isDirty);
  const form = createSubmission(async () => {
    const secret = isNewAddress() ? { old_password: old() } : {};
    await got(api.PATCH("/v1/me", { body: { ...draft(), ...secret } }));
    await meet();
    setDraft(saved());
    setOld("");
    say("Your profile is saved.");
  });
  const verify = createSubmission(async () => {
    const { response } = await api.POST("/v1/email/verify");
    await done(Promise.resolve({ response }));
    await meet();
    say(response.status === 202 ? `A mail is on its way to ${mine().user.email}.` : "Your address is proven already.");
  });
  return (
    <Part title="You">
      <form onSubmit={form.submit}>
        <div class="pair">
          <TextField
            label="Given name"
            autocomplete="given-name"
            value={draft().first_name}
            onInput={(first_name) => set({ first_name })}
            wrong={form.wrong("first_name")}
          />
          <TextField
            label="Family name"
            autocomplete="family-name"
            value={draft().last_name}
            onInput={(last_name) => set({ last_name })}
            wrong={form.wrong("last_name")}
          />
        </div>
        <TextField
          label="Address"
          type="email"
          autocomplete="email"
          value={draft().email}
          onInput={(email) => set({ email })}
          wrong={form.wrong("email")}
          hint={
            isNewAddress()
              ? "A link for a new password is sent to whoever has this address: changing it takes your password."
              : saved().email === ""
                ? "None: a forgotten password cannot be set anew."
                : mine().user.email_verified
                  ? "Proven: mail to it arrives."
                  : "Not proven yet."
          }
        />
        <Show when={isNewAddress()}>
          <TextField
            label="Your present password"
            type="password"
            autocomplete="current-password"
            value={old()}
            onInput={setOld}
            wrong={form.wrong("old_password")}
            required
          />
        </Show>
        <Show when={form.refused()}>{(refused) => <Problem of={refused()} />}</Show>
        <Show when={verify.refused()}>{(refused) => <Problem of={refused()} />}</Show>
        <div class="buttons">
          <Show when={!isNewAddress() && saved().email !== "" && !mine().user.email_verified}>
            <button type="button" disabled={verify.isBusy()} onClick={() => void verify.run()}>
              Send a mail to prove the address
            </button>
          </Show>
          <button type="submit" class="primary" disabled={!isDirty() || form.isBusy()}>
            Save
          </button>
        </div>
      </form>
    </Part>
  );
}

const SCORES = [
  "can be guessed at once",
  "can be guessed fast",
  "can be guessed",
  "is hard to guess",
  "is very hard to guess",
];

function Password() {
  const [old, setOld] = createSignal("");
  const [next, setNext] = createSignal("");
  const [asked, setAsked] = createSignal("");
  guard(() => next() !== "");
  // Asked while it is typed; that it may not be asked so often is no reason to say anything.
  const [verdict] = createResource(
    () => asked() || undefined,
    (password) => got(api.POST("/v1/password/check", { body: { password } })).catch(() => null),
    { initialValue: null },
  );
  let timer = 0;
  const said = () => {
    const found = verdict.latest;
    if (next() === "" || found === null) return "At least 8 characters; a short sentence is good.";
    if (!found.acceptable) return found.faults.map(({ message }) => message).join("; ");
    return `Acceptable; it ${SCORES[found.score] ?? ""}.`;
  };
  const form = createSubmission(async () => {
    await got(api.POST("/v1/password", { body: { old_password: old(), new_password: next() } }));
    setOld("");
    setNext("");
    setAsked("");
    await meet();
    say("Your password is changed, and all of your other sessions have ended.");
  });
  return (
    <Part title="Password">
      <form onSubmit={form.submit}>
        <div class="unseen">
          <input
            type="text"
            autocomplete="username"
            value={mine().user.username}
            tabindex="-1"
            aria-hidden="true"
            readonly
          />
        </div>
        <TextField
          label="Present password"
          type="password"
          autocomplete="current-password"
          value={old()}
          onInput={setOld}
          wrong={form.wrong("old_password")}
          required
        />
        <div class="verdict">
          {" "}
          <TextField
            label="New password"
            type="password"
            autocomplete="new-password"
            value={next()}
            onInput={(password) => {
              setNext(password);
              clearTimeout(timer);
              timer = setTimeout(() => setAsked(password), 400);
            }}
            wrong={form.wrong("new_password")}
            hint={said()}
            required
          />
        </div>
        <Show when={form.refused()}>{(refused) => <Problem of={refused()} />}</Show>
        <div class="buttons">
          <span class="hint">Your other sessions and API tokens end.</span>
          <button type="submit" class="primary" disabled={form.isBusy()}>
            Change the password
          </button>
        </div>
      </form>
    </Part>
  );
}

function Devices() {
  const [devices, { refetch }] = createResource(() => got(api.GET("/v1/sessions")));
  const list = () => devices.latest?.items ?? [];
  return (
    <Part
      title="Your devices"
      aside={
        <div class="acts">
          <Show when={list().length > 1}>
            <button
              type="button"
              onClick={() => {
                confirm({
                  title: "Log out everywhere else?",
                  effects: [
                    `${count(list().length - 1, "other session")} and all of your API tokens end, at once.`,
                    "This session goes on.",
                  ],
                  act: "Log out everywhere else",
                  said: "You are logged in here only.",
                  perform: async () => {
                    await done(api.DELETE("/v1/sessions", { params: { query: { keep: "current" } } }));
                    await refetch();
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
      <Table
        label="Your devices"
        isBusy={devices.loading}
        head={
          <>
            <th scope="col">Device</th>
            <th scope="col">From</th>
            <th scope="col" class="at-1 w-time">
              Logged in
            </th>
            <th scope="col" class="end">
              <span class="unseen">Act</span>
            </th>
          </>
        }
      >
        <For each={list()}>
          {(device) => (
            <tr>
              <th scope="row" title={device.agent}>
                {agent(device.agent)}
              </th>
              <td>{device.address}</td>
              <td class="when at-1">{when(device.created_at)}</td>
              <td class="end">
                <Show when={!device.current} fallback={<Badge kind="good">this one</Badge>}>
                  <button
                    type="button"
                    aria-label={`Log out ${agent(device.agent)} since ${when(device.created_at)}`}
                    onClick={() => {
                      confirm({
                        title: "Log out this device?",
                        effects: [`${agent(device.agent)} at ${device.address} is logged out at once.`],
                        act: "Log it out",
                        said: "The device is logged out.",
                        perform: async () => {
                          await done(api.DELETE("/v1/sessions/{sid}", { params: { path: { sid: device.id } } }));
                          await refetch();
                        },
                      });
                    }}
                  >
                    Log out …
                  </button>
                </Show>
              </td>
            </tr>
          )}
        </For>
      </Table>
    </Part>
  );
}

function Tokens() {
  const [tokens, { refetch }] = createResource(() => got(api.GET("/v1/tokens")));
  const [isMaking, setMaking] = createSignal(false);
  const [made, setMade] = createSignal<string | undefined>();
  const end = (token: ApiToken) => {
    confirm({
      title: `End the API token ${token.name}?`,
      effects: ["Machines that use it are refused from now on."],
      act: "End the token",
      said: "The API token has ended.",
      perform: async () => {
        await done(api.DELETE("/v1/tokens/{id}", { params: { path: { id: token.id } } }));
        await refetch();
      },
    });
  };
  return (
    <Part
      title="Your API tokens"
      aside={
        <button type="button" onClick={() => setMaking(true)}>
          New token
        </button>
      }
    >
      <Show when={isMaking()}>
        <Make
          onClose={(token) => {
            setMaking(false);
            if (token === undefined) return;
            setMade(token);
            void refetch();
          }}
        />
      </Show>
      <Show when={made()}>
        {(made) => (
          <Modal title="Your new API token" onClose={() => setMade(undefined)}>
            <p>Keep it now: it is shown this once. Send it as</p>
            <pre class="token" tabindex="0">
              Authorization: Bearer {made()}
            </pre>
            <div class="buttons">
              <button
                type="button"
                onClick={() => {
                  void navigator.clipboard.writeText(made()).then(() => {
                    say("The token is copied.");
                  });
                }}
              >
                Copy the token
              </button>
              <button type="button" class="primary" onClick={() => setMade(undefined)}>
                I have kept it
              </button>
            </div>
          </Modal>
        )}
      </Show>
      <Table
        label="Your API tokens"
        isBusy={tokens.loading}
        head={
          <>
            <th scope="col">Token</th>
            <th scope="col">Permissions</th>
            <th scope="col" class="w-time">
              Ends
            </th>
            <th scope="col" class="end">
              <span class="unseen">Act</span>
            </th>
          </>
        }
      >
        <For
          each={tokens.latest?.items ?? []}
          fallback={
            <tr>
              <td colspan="2" class="none">
                You have none.
              </td>
            </tr>
          }
        >
          {(token) => (
            <tr>
              <th scope="row">{token.name}</th>
              <td>{token.permissions.join(", ") || "none"}</td>
              <td class="when">{when(token.expires_at)}</td>
              <td class="end">
                <button
                  type="button"
                  aria-label={`End the API token ${token.name}`}
                  onClick={() => {
                    end(token);
                  }}
                >
                  End …
                </button>
              </td>
            </tr>
          )}
        </For>
      </Table>
    </Part>
  );
}

function Make(props: { onClose: (token: string | undefined) => void }) {
  const [name, setName] = createSignal("");
  const [permissions, setPermissions] = createSignal<string[]>([]);
  const [days, setDays] = createSignal("90");
  const form = createSubmission(async () => {
    const expires_in = Number(days()) * 86_400;
    const body = defined({ name: name(), permissions: permissions(), expires_in });
    props.onClose((await got(api.POST("/v1/tokens", { body }))).token);
  });
  const close = () => {
    props.onClose(undefined);
  };
  return (
    <Modal title="New API token" onClose={close}>
      <p>For a machine that acts in your name, with those of your permissions that you pick.</p>
      <form onSubmit={form.submit}>
        <TextField label="What it is for" value={name()} onInput={setName} wrong={form.wrong("name")} required />
        <Picker
          legend="Permissions"
          one="permission"
          chosen={permissions()}
          onChange={setPermissions}
          find={findPermissions}
          wrong={form.wrong("permissions")}
        />
        <Select
          label="Lives for"
          value={days()}
          onChange={setDays}
          wrong={form.wrong("expires_in")}
          options={[
            ["1", "a day"],
            ["7", "a week"],
            ["30", "30 days"],
            ["90", "90 days"],
            ["365", "a year"],
          ]}
        />
        <Show when={form.refused()}>{(refused) => <Problem of={refused()} />}</Show>
        <div class="buttons">
          <button type="button" onClick={close}>
            Cancel
          </button>
          <button type="submit" class="primary" disabled={form.isBusy()}>
            Make the token
          </button>
        </div>
      </form>
    </Modal>
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
