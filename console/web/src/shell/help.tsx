/** The list of keys. */

import type { JSX } from "preact";
import { Dialog } from "../ui";
import { commands } from "./commands";

/** Keys that belong to no command. */
const KEYS: readonly [string, string][] = [
  ["?", "Show these keys"],
  ["Ctrl+K", "Find a command"],
  ["g e", "Go to Explore"],
  ["g d", "Go to Dashboards"],
  ["g w", "Go to Write"],
  ["g a", "Go to Administer"],
  ["g o", "Go to Operate"],
  ["Esc", "Close a dialog, menu or completion"],
  ["Esc, then Tab", "Leave the editor, which uses Tab to indent"],
  ["↑ ↓ ← →", "Move in tables, trees, tabs and menus"],
  ["Enter", "In a table: show the whole value"],
];

/** Lists the keys of the page. */
export function KeyboardHelp({ onClose }: { onClose(): void }): JSX.Element {
  const shown = commands.value.filter(({ keys }) => keys && !KEYS.some(([known]) => known === keys));
  return (
    <Dialog title="Keyboard" size="medium" onClose={onClose}>
      <dl class="key-list">
        {[...KEYS, ...shown.map(({ keys, label }): [string, string] => [keys ?? "", label])].map(([keys, label]) => (
          <div key={`${keys} ${label}`}>
            <dt>
              <kbd>{keys}</kbd>
            </dt>
            <dd>{label}</dd>
          </div>
        ))}
      </dl>
      <p class="muted">On a Mac, use Command for Ctrl.</p>
    </Dialog>
  );
}
