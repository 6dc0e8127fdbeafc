/** Import jobs: Parquet files that the server imports by itself. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { ApiError } from "../api/client";
import { formatBytes } from "../api/format-value";
import { useLoaded } from "../api/use-loaded";
import { link } from "../router";
import { zone } from "../time/zone";
import { Button, EmptyState, ErrorNote, Spinner } from "../ui";
import { formatCount } from "../write/names";
import { AdminTable, shortSeconds } from "./admin-table";
import { CreateImportDialog } from "./import-dialog";
import { hasRunningImport, type ImportJob, listImports, progressOf, STATUS_TEXTS } from "./imports";

/** The time between two readings while a job runs, in milliseconds. */
const REFRESH_MS = 2_000;

/** The panel. */
export function ImportsPanel(): JSX.Element {
  const [isRunning, setRunning] = useState(false);
  const list = async (signal: AbortSignal) => {
    const jobs = await listImports(signal);
    setRunning(hasRunningImport(jobs));
    return jobs;
  };
  const listed = useLoaded("imports", list, isRunning ? REFRESH_MS : undefined);
  const [isOpen, setOpen] = useState(false);
  const { value, error } = listed;
  if (error instanceof ApiError && error.status === 404 && value === undefined) {
    return (
      <EmptyState icon="import" title="This process imports no files">
        <p>Open the page of a process with --mode ingest or all.</p>
      </EmptyState>
    );
  }
  return (
    <section class="admin-section" aria-labelledby="imports-title">
      <header class="admin-head">
        <h2 id="imports-title">Import jobs</h2>
        <Button icon="refresh" onClick={listed.reload}>
          Refresh
        </Button>
        <Button kind="primary" icon="add" onClick={() => setOpen(true)}>
          Import a file
        </Button>
      </header>
      <p class="muted">
        The server imports a Parquet file by itself, also if you close this page. To import from another server, use the
        command of <a href={link("write", {}, ["import"])}>Import from InfluxDB</a>.
      </p>
      {error !== undefined && <ErrorNote error={error} onRetry={listed.reload} />}
      {value === undefined && error === undefined && <Spinner label="Loading" />}
      {value?.length === 0 && (
        <EmptyState icon="import" title="No import job">
          <p>Jobs that have ended are listed for seven days.</p>
        </EmptyState>
      )}
      {value !== undefined && value.length > 0 && <ImportTable jobs={value} />}
      {isOpen && <CreateImportDialog onChanged={listed.reload} onClose={() => setOpen(false)} />}
    </section>
  );
}

function ImportTable({ jobs }: { jobs: readonly ImportJob[] }): JSX.Element {
  return (
    <AdminTable
      label="All import jobs"
      heads={["File", "Table", "State", "Rows", "Size", `Created (${zone.value})`]}
      hasActions={false}
    >
      {jobs.map((job) => (
        <tr key={job.upload_uuid}>
          <th scope="row">
            <span class="preview-cell">{job.filename || "without a name"}</span>
          </th>
          <td class="admin-wrap">
            {job.db_name}.{job.table_name}
          </td>
          <td class="admin-wrap">
            <span class={job.status === "terminal_failed" ? "field-error" : ""}>
              {STATUS_TEXTS[job.status]}
              {job.last_message ? `: ${job.last_message}` : ""}
            </span>
          </td>
          <td>
            {formatCount(job.imported_rows)} of {formatCount(job.row_count)} ({Math.floor(progressOf(job) * 100)} %)
          </td>
          <td class="number">{formatBytes(job.size_bytes)}</td>
          <td>{shortSeconds(job.created_at / 1e9)}</td>
        </tr>
      ))}
    </AdminTable>
  );
}
