// What is done to several users at once.

import { For, Show, createSignal } from "solid-js";
import { api, changeUser, done, got, type User } from "../api";
import { onEach, type Outcomes } from "../bulk";
import { count } from "../format";
import { isSuperuser, mayGiveGroup, mine } from "../me";
import { Modal } from "../ui/dialog";
import { say } from "../ui/notice";
import { Suggest } from "../ui/suggest";

export const groupNames = async (search: string): Promise<{ name: string }[]> =>
  (await got(api.GET("/v1/groups", { params: { query: { search, limit: 20 } } }))).items;

/** Names that are listed in the question; the others are counted. */
const NAMED_MAX = 8;

export function ManyActs(props: { users: User[]; again: () => Promise<void> }) {
  const [outcomes, setOutcomes] = createSignal<Outcomes | undefined>();
  const [group, setGroup] = createSignal("");
  const whom = () => count(props.users.length, "user");

  const many = (title: string, effect: string, act: string, perform: (user: User) => Promise<unknown>) => {
    const items = props.users;
    const names = items.slice(0, NAMED_MAX).map(({ username }) => username);
    const more = items.length - names.length;
    onEach(
      items,
      ({ username }) => username,
      {
        title,
        effects: [effect, `To: ${names.join(", ")}${more > 0 ? ` and ${more.toString()} more` : ""}.`],
        act,
      },
      async (user) => {
        await perform(user);
      },
      async (came) => {
        await props.again();
        const isWhole = came.outcomes.length === came.of && came.outcomes.every(({ refused }) => refused === undefined);
        if (isWhole) say(`Done for ${count(came.of, "user")}.`);
        else setOutcomes(came);
      },
    );
  };
  const turn = (user: User, is_active: boolean) => changeUser(user.id, () => ({ is_active }));

  return (
    <>
      <div class="acts" role="group" aria-label="With the chosen users">
        <Show when={props.users.length > 0} fallback={<p class="hint">Choose users to act on several at once.</p>}>
          <strong>{whom()}:</strong>
          <button
            type="button"
            onClick={() => {
              many(`Log out ${whom()}?`, "All of their sessions and API tokens end.", "Log out", ({ id }) =>
                done(api.DELETE("/v1/users/{id}/sessions", { params: { path: { id } } })),
              );
            }}
          >
            Log out …
          </button>
          <button
            type="button"
            onClick={() => {
              const effect = "They cannot log in any more, and all of their sessions and API tokens end for good.";
              many(`Disable ${whom()}?`, effect, "Disable", (user) => turn(user, false));
            }}
          >
            Disable …
          </button>
          <button
            type="button"
            onClick={() => {
              many(`Enable ${whom()}?`, "They can log in again.", "Enable", (user) => turn(user, true));
            }}
          >
            Enable …
          </button>
          <Show when={isSuperuser() || mine().user.groups.length > 0}>
            <Suggest
              label="Group"
              value={group()}
              find={async (search) => (await groupNames(search)).filter(({ name }) => mayGiveGroup(name))}
              onPick={setGroup}
            />
            <button
              type="button"
              disabled={group() === ""}
              onClick={() => {
                const name = group();
                many(`Put ${whom()} into ${name}?`, `They get what ${name} grants.`, "Put in", ({ id }) =>
                  changeUser(id, ({ groups }) => ({ groups: [...new Set([...groups, name])] })),
                );
              }}
            >
              Put in …
            </button>
            <button
              type="button"
              disabled={group() === ""}
              onClick={() => {
                const name = group();
                many(`Take ${whom()} out of ${name}?`, `They lose what ${name} grants.`, "Take out", ({ id }) =>
                  changeUser(id, ({ groups }) => ({ groups: groups.filter((other) => other !== name) })),
                );
              }}
            >
              Take out …
            </button>
          </Show>
        </Show>
      </div>
      <Show when={outcomes()}>
        {(outcomes) => (
          <Came
            of={outcomes()}
            onClose={() => {
              setOutcomes(undefined);
            }}
          />
        )}
      </Show>
    </>
  );
}

/** What many acts came to, when not all of them were done. */
function Came(props: { of: Outcomes; onClose: () => void }) {
  const refused = () => props.of.outcomes.filter((outcome) => outcome.refused !== undefined);
  const title = () => {
    const done = props.of.outcomes.length - refused().length;
    const left = props.of.of - props.of.outcomes.length;
    const parts = [`Done for ${done.toString()}`, `refused for ${refused().length.toString()}`];
    return [...parts, ...(left > 0 ? [`stopped before ${left.toString()}`] : [])].join(", ");
  };
  return (
    <Modal
      title={title()}
      onClose={() => {
        props.onClose();
      }}
    >
      <Show when={refused().length > 0}>
        <div class="problem" role="alert">
          <ul>
            <For each={refused()}>
              {({ name, refused }) => (
                <li>
                  <strong>{name}</strong>: {refused}
                </li>
              )}
            </For>
          </ul>
        </div>
      </Show>
      <div class="buttons">
        <button
          type="button"
          class="primary"
          onClick={() => {
            props.onClose();
          }}
        >
          Close
        </button>
      </div>
    </Modal>
  );
}
