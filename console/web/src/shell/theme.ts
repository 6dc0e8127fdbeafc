/** The light and the dark theme. */

import { computed, effect, signal } from "@preact/signals";

/** What the user chose: a theme, or that of the system. */
export type ThemeChoice = "light" | "dark" | "system";

/** The key of the choice in the long-lived storage of the browser. It is not a secret. */
const STORAGE_KEY = "neap-theme";

const systemIsDark = signal(false);

/** The choice of the user. */
export const themeChoice = signal<ThemeChoice>("system");

/** The theme that the page shows. Charts read their colours again when it changes. */
export const theme = computed<"light" | "dark">(() => {
  if (themeChoice.value !== "system") {
    return themeChoice.value;
  }
  return systemIsDark.value ? "dark" : "light";
});

/** Applies the stored choice and follows the system. Called once, before the first paint. */
export function applyTheme(): void {
  const media = window.matchMedia("(prefers-color-scheme: dark)");
  systemIsDark.value = media.matches;
  media.addEventListener("change", (event) => {
    systemIsDark.value = event.matches;
  });
  themeChoice.value = storedChoice();
  effect(() => {
    document.documentElement.dataset.theme = theme.value;
  });
}

/** Switches between light and dark, and stores the choice. */
export function toggleTheme(): void {
  themeChoice.value = theme.value === "dark" ? "light" : "dark";
  try {
    localStorage.setItem(STORAGE_KEY, themeChoice.value);
  } catch {
    // A browser that stores nothing keeps the choice until the page is closed.
  }
}

function storedChoice(): ThemeChoice {
  try {
    const stored = localStorage.getItem(STORAGE_KEY);
    return stored === "light" || stored === "dark" ? stored : "system";
  } catch {
    return "system";
  }
}
