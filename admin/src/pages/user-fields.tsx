// The fields of a user that are the same when one is made and when one is edited.

import type { User } from "../api";
import { findGroups, findPermissions } from "../me";
import { Check, TextField } from "../ui/form";
import { Picker } from "../ui/picker";

type Fields<K extends keyof User> = {
  draft: Pick<User, K>;
  set: (part: Partial<Pick<User, K>>) => void;
};

/** What is wrong with a field, once the server has said so. */
type Judged = { wrong: (field: string) => string | undefined };

export function PersonFields(props: Fields<"first_name" | "last_name"> & Judged) {
  return (
    <div class="pair">
      <TextField
        label="Given name"
        value={props.draft.first_name}
        onInput={(first_name) => {
          props.set({ first_name });
        }}
        wrong={props.wrong("first_name")}
      />
      <TextField
        label="Family name"
        value={props.draft.last_name}
        onInput={(last_name) => {
          props.set({ last_name });
        }}
        wrong={props.wrong("last_name")}
      />
    </div>
  );
}

/** For superusers, who alone may give them. */
export function PowerFields(props: Fields<"is_staff" | "is_superuser">) {
  return (
    <>
      <Check
        label="Staff"
        hint="Administration is open; grants nothing by itself."
        checked={props.draft.is_staff}
        onChange={(is_staff) => {
          props.set({ is_staff });
        }}
      />
      <Check
        label="Superuser"
        hint="Has every permission."
        checked={props.draft.is_superuser}
        onChange={(is_superuser) => {
          props.set({ is_superuser });
        }}
      />
    </>
  );
}

export function RightsFields(props: Fields<"groups" | "user_permissions"> & Judged) {
  return (
    <>
      <Picker
        legend="Groups"
        one="group"
        chosen={props.draft.groups}
        onChange={(groups) => {
          props.set({ groups });
        }}
        find={findGroups}
        wrong={props.wrong("groups")}
      />
      <Picker
        legend="Direct permissions"
        one="permission"
        chosen={props.draft.user_permissions}
        onChange={(user_permissions) => {
          props.set({ user_permissions });
        }}
        find={findPermissions}
        wrong={props.wrong("user_permissions")}
      />
    </>
  );
}
