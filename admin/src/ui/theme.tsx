// Light or dark: as the system says, or as the person does.

import { createSignal } from "solid-js";
import { Select } from "./form";

const KEY = "signet-theme";
type Theme = "auto" | "light" | "dark";

const kept = (): Theme => {
  const theme = localStorage.getItem(KEY);
  return theme === "light" || theme === "dark" ? theme : "auto";
};

const [theme, setTheme] = createSignal<Theme>(kept());

function apply(): void {
  if (theme() === "auto") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = theme();
}

apply();

export function ThemeSwitch() {
  return (
    <Select
      label="Theme"
      value={theme()}
      onChange={(value) => {
        if (value === "auto") localStorage.removeItem(KEY);
        else localStorage.setItem(KEY, value);
        setTheme(kept());
        apply();
      }}
      options={[
        ["auto", "As the system"],
        ["light", "Light"],
        ["dark", "Dark"],
      ]}
    />
  );
}
