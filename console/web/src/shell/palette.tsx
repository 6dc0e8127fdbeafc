/** The command palette. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { currentDatabase, databases } from "../api/schema";
import { link, navigate, route } from "../router";
import { Dialog, Icon } from "../ui";
import { type Command, commands, matchScore } from "./commands";

/** The maximum number of commands that the palette shows. */
const MAX_SHOWN = 40;

/** A dialog that finds a command by some of its characters. */
export function CommandPalette({ onClose }: { onClose(): void }): JSX.Element {
  const [typed, setTyped] = useState("");
  const [chosen, setChosen] = useState(0);
  const shown = matching([...commands.value, ...databaseCommands()], typed);
  const run = (command: Command | undefined) => {
    if (command) {
      onClose();
      setTimeout(() => command.run());
    }
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (step !== 0) {
      event.preventDefault();
      setChosen((chosen + step + shown.length) % Math.max(1, shown.length));
    }
  };
  return (
    <Dialog title="Commands" size="medium" onClose={onClose} onSubmit={() => run(shown[chosen])}>
      <input
        class="input palette-input"
        role="combobox"
        aria-label="Find a command"
        aria-expanded="true"
        aria-controls="palette-list"
        aria-activedescendant={shown.length > 0 ? `palette-${chosen}` : undefined}
        aria-autocomplete="list"
        autocomplete="off"
        data-autofocus="true"
        placeholder="Find a command or a database"
        value={typed}
        onInput={(event) => {
          setTyped(event.currentTarget.value);
          setChosen(0);
        }}
        onKeyDown={onKeyDown}
      />
      <ul class="palette-list" id="palette-list" role="listbox" aria-label="Commands">
        {shown.map((command, index) => (
          <li
            key={command.id}
            id={`palette-${index}`}
            role="option"
            aria-selected={index === chosen}
            class="palette-item"
            ref={(element) => {
              if (index === chosen) {
                element?.scrollIntoView({ block: "nearest" });
              }
            }}
            onPointerMove={() => setChosen(index)}
            onClick={() => run(command)}
          >
            <Icon name={command.icon ?? "chevronRight"} />
            <span class="palette-label">{command.label}</span>
            <span class="muted">{command.keys ? <kbd>{command.keys}</kbd> : command.group}</span>
          </li>
        ))}
      </ul>
      {shown.length === 0 && <p class="muted">No command matches.</p>}
    </Dialog>
  );
}

function databaseCommands(): Command[] {
  return databases.value
    .filter(({ name }) => name !== currentDatabase.value)
    .map(({ name }) => ({
      id: `database ${name}`,
      label: `Use database ${name.length > 80 ? `${name.slice(0, 80)}…` : name}`,
      group: "Databases",
      icon: "database" as const,
      run: () => navigate(link(route.value.view, { db: name })),
    }));
}

function matching(all: readonly Command[], typed: string): Command[] {
  return all
    .map((command) => ({ command, score: matchScore(`${command.label} ${command.group}`, typed) }))
    .filter((entry): entry is { command: Command; score: number } => entry.score !== undefined)
    .sort((left, right) => left.score - right.score)
    .slice(0, MAX_SHOWN)
    .map(({ command }) => command);
}
