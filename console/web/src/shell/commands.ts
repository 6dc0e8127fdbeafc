/** The commands of the palette, and the keys that start them. */

import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { IconName } from "../ui";

/** An action that the command palette offers, and that a key may start. */
export interface Command {
  id: string;
  label: string;
  /** The part of the page that it belongs to. */
  group: string;
  icon?: IconName;
  /** The key for people: `Ctrl+Enter`, `g e`. The view that registers a command handles its key. */
  keys?: string;
  run(): void;
}

/** The commands of the present view and those of the shell. */
export const commands = signal<readonly Command[]>([]);

/** Offers commands while the calling component is shown. `list` must be stable between renders. */
export function useCommands(list: readonly Command[]): void {
  useEffect(() => {
    commands.value = [...commands.peek(), ...list];
    return () => {
      commands.value = commands.peek().filter((command) => !list.includes(command));
    };
  }, [list]);
}

/**
 * Returns how well a text matches what the user typed: undefined if not all characters occur in order, and a smaller
 * number for characters that are closer together.
 */
export function matchScore(text: string, typed: string): number | undefined {
  const haystack = text.toLowerCase();
  let at = -1;
  let gaps = 0;
  for (const char of typed.toLowerCase().replaceAll(" ", "")) {
    const next = haystack.indexOf(char, at + 1);
    if (next < 0) {
      return undefined;
    }
    gaps += at < 0 ? next / 4 : next - at - 1;
    at = next;
  }
  return gaps;
}
