/** Backups by name, and restores. */

import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { ApiError } from "../api/client";
import { formatBytes } from "../api/format-value";
import { listDatabases } from "../api/schema";
import { isAdmin } from "../api/session";
import { useLoaded } from "../api/use-loaded";
import { zone } from "../time/zone";
import { Button, EmptyState, ErrorNote, Menu, type MenuItem, Spinner } from "../ui";
import { formatCount } from "../write/names";
import { AdminTable, shortTime } from "./admin-table";
import { BackupDialog, type BackupDialogState } from "./backup-dialogs";
import { type Backup, hasRunningJob, listBackups, type Restore } from "./backups";

/** The time between two readings while a job is in progress, in milliseconds. */
const REFRESH_MS = 2_000;

type Open = (dialog: BackupDialogState) => void;

/** The panel. */
export function BackupsPanel(): JSX.Element {
  const [isRunning, setRunning] = useState(false);
  const listed = useLoaded("backups", listBackups, isRunning ? REFRESH_MS : undefined);
  const [dialog, setDialog] = useState<BackupDialogState>();
  const { value, error } = listed;
  const runs = hasRunningJob(value);
  useEffect(() => {
    setRunning(runs);
    // A restore that has ended has replaced or created databases.
    if (isRunning && !runs) {
      listDatabases().catch(() => undefined);
    }
  }, [runs]);
  if (error instanceof ApiError && (error.status === 404 || error.status === 503) && value === undefined) {
    return (
      <EmptyState icon="save" title="This process runs no backups">
        <p>Processes with --mode compact or all do. Open the page of one of them, or use neap copy.</p>
      </EmptyState>
    );
  }
  return (
    <>
      <section class="admin-section" aria-labelledby="backups-title">
        <header class="admin-head">
          <h2 id="backups-title">Backups</h2>
          <Button icon="refresh" onClick={listed.reload}>
            Refresh
          </Button>
          {isAdmin.value && (
            <Button kind="primary" icon="add" onClick={() => setDialog({ kind: "create" })}>
              Create backup
            </Button>
          )}
        </header>
        {error !== undefined && <ErrorNote error={error} onRetry={listed.reload} />}
        {value === undefined && error === undefined && <Spinner label="Loading" />}
        {value?.backups.length === 0 && (
          <EmptyState icon="save" title="No backup yet">
            <p>
              A backup in the bucket copies nothing. To survive the loss of the bucket, start the server with{" "}
              <code>--backup-to</code> and back up to another place.
            </p>
          </EmptyState>
        )}
        {value !== undefined && value.backups.length > 0 && <BackupTable backups={value.backups} onOpen={setDialog} />}
      </section>
      {value !== undefined && value.restores.length > 0 && (
        <section class="admin-section" aria-labelledby="restores-title">
          <h2 id="restores-title">Restores</h2>
          <RestoreTable restores={value.restores} onOpen={setDialog} />
        </section>
      )}
      {dialog !== undefined && (
        <BackupDialog
          dialog={dialog}
          backups={value?.backups ?? []}
          onChanged={listed.reload}
          onClose={() => setDialog(undefined)}
        />
      )}
    </>
  );
}

function BackupTable({ backups, onOpen }: { backups: readonly Backup[]; onOpen: Open }): JSX.Element {
  const heads = ["Name", "Kind", "State", "Databases", `Created (${zone.value})`, "Objects", "Size", "Place"];
  return (
    <AdminTable label="All backups" heads={heads}>
      {backups.map((backup) => (
        <tr key={backup.name}>
          <th scope="row">
            <span class="preview-cell">{backup.name}</span>
          </th>
          <td>{backup.parent === undefined ? backup.type : `continues ${backup.parent}`}</td>
          <td class="admin-wrap">
            <JobState job={backup} />
          </td>
          <td class="admin-wrap">{backup.databases.join(", ")}</td>
          <td>{shortTime(backup.created_at)}</td>
          <td class="number">{formatCount(backup.total_files)}</td>
          <td class="number">{formatBytes(backup.total_size_bytes)}</td>
          <td class="admin-wrap">{backup.to ?? "the bucket"}</td>
          <td class="admin-actions">
            <BackupMenu backup={backup} onOpen={onOpen} />
          </td>
        </tr>
      ))}
    </AdminTable>
  );
}

const STATES = { in_progress: "in progress", completed: "completed", failed: "failed" };

function JobState({ job }: { job: Backup | Restore }): JSX.Element {
  if (job.status === "in_progress") {
    return <Spinner label="in progress" />;
  }
  const reason = job.error === undefined ? "" : `: ${job.error}`;
  return (
    <span class={job.status === "failed" ? "field-error" : ""}>
      {STATES[job.status]}
      {reason}
    </span>
  );
}

function BackupMenu({ backup, onOpen }: { backup: Backup; onOpen: Open }): JSX.Element | null {
  if (!isAdmin.value) {
    return null;
  }
  const items: MenuItem[] = [];
  if (backup.status === "in_progress") {
    items.push({ label: "Cancel backup", icon: "stop", onSelect: () => onOpen({ kind: "cancel", backup }) });
  } else {
    if (backup.status === "completed") {
      items.push({ label: "Restore", icon: "history", onSelect: () => onOpen({ kind: "restore", backup }) });
    }
    if (backup.status === "completed" && backup.to !== undefined) {
      const onSelect = () => onOpen({ kind: "create", parent: backup.name });
      items.push({ label: "Continue by an incremental backup", icon: "add", onSelect });
    }
    const onSelect = () => onOpen({ kind: "delete", backup });
    items.push({ label: "Delete backup", icon: "trash", isDangerous: true, onSelect });
  }
  return <Menu label={`Actions for the backup ${backup.name}`} isIconOnly kind="quiet" items={items} />;
}

function RestoreTable({ restores, onOpen }: { restores: readonly Restore[]; onOpen: Open }): JSX.Element {
  const times = [`Started (${zone.value})`, `Completed (${zone.value})`];
  return (
    <AdminTable label="All restores" heads={["Restored", "From", "State", ...times, "Objects", "Size"]}>
      {restores.map((restore) => (
        <tr key={restore.restore_id}>
          <th scope="row">
            <span class="preview-cell">
              {restore.database ?? "all databases"}
              {restore.to === undefined ? "" : ` as ${restore.to}`}
            </span>
          </th>
          <td class="admin-wrap">{restore.backup_name}</td>
          <td class="admin-wrap">
            <JobState job={restore} />
          </td>
          <td>{shortTime(restore.created_at)}</td>
          <td>{shortTime(restore.completed_at)}</td>
          <td class="number">{formatCount(restore.total_files)}</td>
          <td class="number">{formatBytes(restore.total_size_bytes)}</td>
          <td class="admin-actions">
            {isAdmin.value && restore.status === "in_progress" && (
              <Button kind="quiet" icon="stop" onClick={() => onOpen({ kind: "cancel-restore", restore })}>
                Cancel
              </Button>
            )}
          </td>
        </tr>
      ))}
    </AdminTable>
  );
}
