/** Restore points of a database, and the changes that were made to it. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { queryRows } from "../api/query";
import { isAdmin } from "../api/session";
import { useLoaded } from "../api/use-loaded";
import { link, navigate } from "../router";
import { zone } from "../time/zone";
import { Button, CopyButton, EmptyState, ErrorNote, Spinner, TextField } from "../ui";
import { shellQuote } from "../write/import-command";
import { ScrollArea } from "../write/scroll-area";
import { AdminTable, shortTime } from "./admin-table";
import { newNameError } from "./backup-dialogs";
import { createRestore } from "./backups";
import { useChange } from "./create-dialogs";
import { parseMoment } from "./row-condition";

interface VersionRow {
  version: number;
  committed?: string;
  readable: boolean;
  quarantined?: string;
}

interface AuditRow {
  time: string;
  token_name?: string;
  action: string;
  target: string;
  detail?: string;
}

/** Maximum number of restore points that are listed. */
const MAX_VERSIONS = 200;

/** The panel. */
export function HistoryPanel({ database }: { database: string }): JSX.Element {
  const [moment, setMoment] = useState("");
  return (
    <div class="admin-databases">
      <RestorePoints database={database} moment={moment} onMoment={setMoment} />
      <Changes database={database} />
    </div>
  );
}

interface RestorePointsProps {
  database: string;
  moment: string;
  onMoment(moment: string): void;
}

function RestorePoints({ database, moment, onMoment }: RestorePointsProps): JSX.Element {
  const columns = "version, committed, readable, quarantined";
  const text = `SELECT ${columns} FROM system.versions ORDER BY version DESC LIMIT ${MAX_VERSIONS}`;
  const versions = useLoaded(database, () => queryRows<VersionRow>(database, text));
  const readable = (versions.value ?? []).filter((row) => row.readable);
  return (
    <section class="admin-section" aria-labelledby="restore-title">
      <h2 id="restore-title">
        Restore points of <span class="preview-name">{database}</span>
      </h2>
      <p class="muted">
        Each flush makes one. After the newest one, every moment up to now can be queried; before it, a moment stands
        for the flush before. The list goes back for the time-travel period.
      </p>
      <MomentForm database={database} moment={moment} onMoment={onMoment} />
      {versions.error !== undefined && <ErrorNote error={versions.error} onRetry={versions.reload} />}
      {versions.value === undefined && versions.error === undefined && <Spinner label="Loading" />}
      {versions.value !== undefined && readable.length === 0 && (
        <EmptyState icon="history" title="No restore point yet">
          <p>The first flush makes one, soon after the first write.</p>
        </EmptyState>
      )}
      {readable.length > 0 && (
        <AdminTable label="All restore points" heads={[`Moment (${zone.value})`, "Version", "Set aside"]}>
          {readable.map((row) => (
            <tr key={row.version}>
              <th scope="row">{shortTime(row.committed)}</th>
              <td>{row.version}</td>
              <td>
                <span class="preview-cell">{row.quarantined ?? ""}</span>
              </td>
              <td class="admin-actions">
                {row.committed !== undefined && (
                  <Button kind="quiet" onClick={() => onMoment(`${row.committed}Z`)}>
                    Choose
                  </Button>
                )}
              </td>
            </tr>
          ))}
        </AdminTable>
      )}
    </section>
  );
}

/** Looks at a moment, or makes a database of it. */
function MomentForm({ database, moment, onMoment }: RestorePointsProps): JSX.Element {
  const [name, setName] = useState(`${database}_before`);
  const parsed = moment === "" ? undefined : parseMoment(moment, zone.value);
  const nameError = newNameError(name);
  const { isBusy, error, run } = useChange(() => navigate(link("administer", {}, ["backups"])));
  const restore = () => createRestore({ as_of: parsed, database, to: name });
  const command = `neap restore --database ${shellQuote(database)} --as-of ${parsed ?? "TIME"} --to ${shellQuote(name)}`;
  return (
    <div class="admin-fields">
      <TextField
        label={`Moment (${zone.value})`}
        value={moment}
        onInput={onMoment}
        placeholder="2026-01-31 12:00:00"
        error={moment !== "" && parsed === undefined ? "Write a time such as 2026-01-31 12:00:00." : undefined}
      />
      {parsed !== undefined && (
        <>
          <p>
            <a href={link("explore", { db: database, asof: parsed })}>Query the database as of this moment</a>
          </p>
          <TextField label="Restore it as" value={name} onInput={setName} error={nameError} />
          {isAdmin.value && (
            <Button
              kind="primary"
              icon="history"
              disabled={nameError !== undefined}
              isBusy={isBusy}
              onClick={() => void run(restore)}
            >
              Restore
            </Button>
          )}
          {error !== undefined && <ErrorNote error={error} />}
          <details>
            <summary>Restore with a command</summary>
            <div class="admin-details">
              <ScrollArea class="command-text" label="Command that restores">
                <pre>{command}</pre>
              </ScrollArea>
              <CopyButton text={command} label="Copy the command" />
              <p class="muted">
                Run it with the options of the store of your server. It copies no data; rows of the new database are
                kept for ever, unless <code>--keep-retention</code> is given.
              </p>
            </div>
          </details>
        </>
      )}
    </div>
  );
}

function Changes({ database }: { database: string }): JSX.Element {
  const text = "SELECT time, token_name, action, target, detail FROM system.audit ORDER BY time DESC";
  const changes = useLoaded(database, () => queryRows<AuditRow>(database, text));
  return (
    <section class="admin-section" aria-labelledby="changes-title">
      <header class="admin-head">
        <h2 id="changes-title">Changes</h2>
        <Button icon="refresh" onClick={changes.reload} isBusy={changes.isLoading}>
          Refresh
        </Button>
      </header>
      {changes.error !== undefined && <ErrorNote error={changes.error} onRetry={changes.reload} />}
      {changes.value?.length === 0 && <p class="muted">No change of tables, caches, triggers or retention yet.</p>}
      {changes.value !== undefined && changes.value.length > 0 && (
        <AdminTable
          label="All changes"
          heads={[`Time (${zone.value})`, "Token", "Change", "Of", "Detail"]}
          hasActions={false}
        >
          {changes.value.map((row, index) => (
            <tr key={`${row.time} ${index}`}>
              <td>{shortTime(row.time)}</td>
              <td>
                <span class="preview-cell">{row.token_name ?? ""}</span>
              </td>
              <td>{row.action}</td>
              <td>
                <span class="preview-cell">{row.target}</span>
              </td>
              <td class="admin-wrap">{row.detail ?? ""}</td>
            </tr>
          ))}
        </AdminTable>
      )}
    </section>
  );
}
