import { onCleanup } from "solid-js";

/** Waits until nothing was typed for a while; what is still waited for when the page is left is not done. */
export function createLater(milliseconds: number): (act: () => void) => void {
  let timer = 0;
  onCleanup(() => {
    clearTimeout(timer);
  });
  return (act) => {
    clearTimeout(timer);
    timer = setTimeout(act, milliseconds);
  };
}
