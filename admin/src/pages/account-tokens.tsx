// One's own API tokens, and a new one.

import { Show, createSignal } from "solid-js";
import { api, defined, done, got, type ApiToken } from "../api";
import { findPermissions } from "../me";
import { Modal } from "../ui/dialog";
import { Select, TextField, createSubmission } from "../ui/form";
import { Trouble, type Kept } from "../ui/kept";
import { Problem, say } from "../ui/notice";
import { Part } from "../ui/page";
import { Picker } from "../ui/picker";
import { TokenTable } from "../ui/tokens";

export function Tokens(props: {
  tokens: Pick<Kept<{ items: ApiToken[] }>, "latest" | "isLoading" | "trouble" | "again">;
}) {
  const [isMaking, setMaking] = createSignal(false);
  const [made, setMade] = createSignal<string | undefined>();
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
            void props.tokens.again();
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
      <Trouble of={props.tokens} />
      <TokenTable
        label="Your API tokens"
        isTight
        tokens={props.tokens.latest()?.items ?? []}
        isBusy={props.tokens.isLoading()}
        none={props.tokens.trouble() ? "" : "You have none."}
        mayEnd
        effect="Machines that use it are refused from now on."
        end={async ({ id }) => {
          await done(api.DELETE("/v1/tokens/{id}", { params: { path: { id } } }));
          await props.tokens.again();
        }}
      />
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
        <Problem of={form.refused()} />
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
