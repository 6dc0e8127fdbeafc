/** The triggers of a database, and the log of their runs. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { messageOf } from "../api/client";
import { isAdmin } from "../api/session";
import { useLoaded } from "../api/use-loaded";
import { link } from "../router";
import { Button, ConfirmDialog, EmptyState, ErrorNote, Menu, type MenuItem, notify, Spinner } from "../ui";
import { AdminTable } from "./admin-table";
import { LogsPanel } from "./logs-panel";
import { editedPlugin, pluginOf } from "./plugin-draft";
import { openTrigger } from "./plugin-open";
import { RunDialog } from "./run-dialog";
import { CreateTriggerDialog } from "./trigger-dialog";
import { deleteTrigger, listTriggers, setEnabled, type Trigger } from "./triggers";

type OpenDialog = { kind: "create" } | { kind: "run"; trigger: Trigger } | { kind: "delete"; trigger: Trigger };

/** The panel. */
export function TriggersPanel({ database }: { database: string }): JSX.Element {
  const listed = useLoaded(database, () => listTriggers(database));
  const [dialog, setDialog] = useState<OpenDialog>();
  const [shown, setShown] = useState("");
  const close = () => setDialog(undefined);
  return (
    <>
      <section class="admin-section" aria-labelledby="triggers-title">
        <header class="admin-head">
          <h2 id="triggers-title">
            Triggers of <span class="preview-name">{database}</span>
          </h2>
          {isAdmin.value && (
            <Button kind="primary" icon="add" onClick={() => setDialog({ kind: "create" })}>
              Create trigger
            </Button>
          )}
        </header>
        {listed.error !== undefined && <ErrorNote error={listed.error} onRetry={listed.reload} />}
        {listed.value === undefined && listed.error === undefined && <Spinner label="Loading" />}
        {listed.value?.length === 0 && (
          <EmptyState icon="play" title="No trigger yet">
            <p>A trigger runs a Python plugin on rows that are written, on a schedule, or on requests.</p>
            {isAdmin.value && <a href={link("administer", {}, ["plugins"])}>Write a plugin</a>}
          </EmptyState>
        )}
        {listed.value !== undefined && listed.value.length > 0 && (
          <TriggerTable
            database={database}
            triggers={listed.value}
            onOpen={setDialog}
            onLogs={setShown}
            onChanged={listed.reload}
          />
        )}
      </section>
      <LogsPanel
        database={database}
        triggers={(listed.value ?? []).map(({ name }) => name)}
        trigger={shown}
        onTrigger={setShown}
      />
      {dialog?.kind === "create" && (
        <CreateTriggerDialog
          database={database}
          plugin={pluginOf(editedPlugin.value)}
          onCreated={listed.reload}
          onClose={close}
        />
      )}
      {dialog?.kind === "run" && <RunDialog database={database} trigger={dialog.trigger} onClose={close} />}
      {dialog?.kind === "delete" && (
        <DeleteTriggerDialog database={database} trigger={dialog.trigger} onDeleted={listed.reload} onClose={close} />
      )}
    </>
  );
}

interface TriggerTableProps {
  database: string;
  triggers: readonly Trigger[];
  onOpen(dialog: OpenDialog): void;
  onLogs(trigger: string): void;
  onChanged(): void;
}

function TriggerTable({ database, triggers, onOpen, onLogs, onChanged }: TriggerTableProps): JSX.Element {
  return (
    <AdminTable label="All triggers" heads={["Name", "Runs", "Plugin", "Arguments", "If it fails", "State"]}>
      {triggers.map((trigger) => (
        <tr key={trigger.name}>
          <th scope="row">
            <span class="preview-cell">{trigger.name}</span>
          </th>
          <td>
            <span class="preview-cell monospace">{trigger.specification}</span>
          </td>
          <td>
            <span class="preview-cell monospace">{trigger.plugin}</span>
          </td>
          <td>
            <span class="preview-cell">
              {Object.entries(trigger.arguments)
                .map(([name, value]) => `${name}=${value}`)
                .join(", ")}
            </span>
          </td>
          <td>{trigger.errorBehavior}</td>
          <td>
            <span class={trigger.isDisabled ? "badge" : "badge badge-new"}>
              {trigger.isDisabled ? "disabled" : "enabled"}
            </span>
          </td>
          <td class="admin-actions">
            {isAdmin.value && (
              <Button kind="quiet" icon="play" onClick={() => onOpen({ kind: "run", trigger })}>
                Run now
              </Button>
            )}
            <Menu
              label={`Actions for ${trigger.name}`}
              isIconOnly
              kind="quiet"
              items={menuItems(database, trigger, onOpen, onLogs, onChanged)}
            />
          </td>
        </tr>
      ))}
    </AdminTable>
  );
}

function menuItems(
  database: string,
  trigger: Trigger,
  onOpen: TriggerTableProps["onOpen"],
  onLogs: TriggerTableProps["onLogs"],
  onChanged: () => void,
): MenuItem[] {
  const logs: MenuItem = { label: "Show its log", icon: "history", onSelect: () => onLogs(trigger.name) };
  if (!isAdmin.value) {
    return [logs];
  }
  const toggle = async () => {
    try {
      await setEnabled(database, trigger.name, trigger.isDisabled);
      notify("success", `${trigger.name} is ${trigger.isDisabled ? "enabled" : "disabled"}.`);
    } catch (error) {
      notify("error", messageOf(error));
    }
    onChanged();
  };
  return [
    {
      label: trigger.isDisabled ? "Enable" : "Disable",
      icon: trigger.isDisabled ? "play" : "pause",
      onSelect: () => void toggle(),
    },
    logs,
    {
      label: "Open its code",
      icon: "edit",
      onSelect: () => {
        void openTrigger(database, trigger.name, trigger.plugin);
        location.hash = link("administer", {}, ["plugins"]);
      },
    },
    { label: "Delete trigger", icon: "trash", isDangerous: true, onSelect: () => onOpen({ kind: "delete", trigger }) },
  ];
}

interface DeleteTriggerDialogProps {
  database: string;
  trigger: Trigger;
  onDeleted(): void;
  onClose(): void;
}

function DeleteTriggerDialog({ database, trigger, onDeleted, onClose }: DeleteTriggerDialogProps): JSX.Element {
  const confirm = async () => {
    await deleteTrigger(database, trigger.name);
    notify("success", `The trigger ${trigger.name} is deleted.`);
    onDeleted();
  };
  return (
    <ConfirmDialog
      title={`Delete the trigger ${trigger.name}`}
      action="Delete trigger"
      typeToConfirm={trigger.name}
      onConfirm={confirm}
      onClose={onClose}
    >
      <p>
        It stops, and rows that wait for it are not given to it any more. This cannot be undone: a new trigger begins
        with the rows that are written after it. Stored rows stay.
      </p>
    </ConfirmDialog>
  );
}
