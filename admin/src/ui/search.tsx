// What narrows a list: it stands in the page's address, and begins the list anew.

import { useSearchParams } from "@solidjs/router";
import type { JSX } from "solid-js";
import { TextField } from "./form";
import { createLater } from "./later";

/** The form that holds the filters of a list. They act by themselves: there is nothing to send. */
export function Filters(props: { children: JSX.Element }) {
  return (
    <form
      class="filters"
      role="search"
      onSubmit={(event) => {
        event.preventDefault();
      }}
    >
      {props.children}
    </form>
  );
}

/** The search for a part of a name. */
export function SearchField() {
  const [query, setQuery] = useSearchParams<{ search?: string; cursor?: string }>();
  const later = createLater(250);
  return (
    <TextField
      label="Search"
      type="search"
      value={query.search ?? ""}
      maxlength={150}
      onInput={(search) => {
        later(() => {
          setQuery({ search, cursor: undefined }, { replace: true });
        });
      }}
    />
  );
}
