import { A } from "@solidjs/router";
import { Page } from "../ui/page";

export function Missing() {
  return (
    <Page title="There is no such page">
      <p>
        <A href="/">Go to the overview</A>
      </p>
    </Page>
  );
}
