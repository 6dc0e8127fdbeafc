// What the command palette and keys do on the page of a dashboard.

import { useEffect, useMemo, useRef } from "preact/hooks";
import { type Command, useCommands } from "../shell/commands";

/** The actions of the page. */
export interface PageActions {
  refresh(): void;
  edit(): void;
  addCell(): void;
  save(): void;
}

/** Offers the actions of the page in the command palette, and saves on Ctrl+S. */
export function usePageCommands(actions: PageActions, mayWrite: boolean): void {
  const latest = useRef(actions);
  latest.current = actions;
  const commands = useMemo(() => pageCommands(latest, mayWrite), [mayWrite]);
  useCommands(commands);
  useEffect(() => {
    if (!mayWrite) {
      return undefined;
    }
    const onKeyDown = (event: KeyboardEvent): void => {
      const isSave = event.key.toLowerCase() === "s" && (event.ctrlKey || event.metaKey) && !event.altKey;
      if (isSave && document.querySelector("dialog[open]") === null) {
        event.preventDefault();
        latest.current.save();
      }
    };
    window.addEventListener("keydown", onKeyDown);
    return () => window.removeEventListener("keydown", onKeyDown);
  }, [mayWrite]);
}

function pageCommands(actions: { current: PageActions }, mayWrite: boolean): Command[] {
  const group = "Dashboard";
  const commands: Command[] = [
    {
      id: "dashboard-refresh",
      label: "Refresh the dashboard",
      group,
      icon: "refresh",
      run: () => actions.current.refresh(),
    },
  ];
  if (mayWrite) {
    commands.push(
      { id: "dashboard-edit", label: "Edit the dashboard", group, icon: "edit", run: () => actions.current.edit() },
      { id: "dashboard-add", label: "Add a cell", group, icon: "add", run: () => actions.current.addCell() },
      {
        id: "dashboard-save",
        label: "Save the dashboard",
        group,
        icon: "save",
        keys: "Ctrl+S",
        run: () => actions.current.save(),
      },
    );
  }
  return commands;
}
