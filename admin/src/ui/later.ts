// What is still to come when a page is left for another one.

import { useBeforeLeave } from "@solidjs/router";
import { onCleanup } from "solid-js";
import { staysHere } from "./form";

/** When the page is left for another one: the next one waits for nothing of it. */
export function onLeave(stop: () => void): void {
  onCleanup(stop);
  useBeforeLeave((event) => {
    if (staysHere(event)) return;
    // When everybody was asked, and nobody minds.
    queueMicrotask(() => {
      if (!event.defaultPrevented) stop();
    });
  });
}

/** Waits until nothing was typed for a while; what is still waited for when the page is left is not done. */
export function createLater(milliseconds: number): (act: () => void) => void {
  let timer = 0;
  onLeave(() => {
    clearTimeout(timer);
  });
  return (act) => {
    clearTimeout(timer);
    timer = setTimeout(act, milliseconds);
  };
}
