/** The files of a database, and the jobs that flush and merge them. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { formatBytes } from "../api/format-value";
import { currentDatabase, INTERNAL_DATABASE } from "../api/schema";
import { isAdmin, may } from "../api/session";
import { useLoaded } from "../api/use-loaded";
import { formatAnswerTime, zone } from "../time/zone";
import { Button, EmptyState, ErrorNote } from "../ui";
import { type DataColumn, DataTable } from "./data-table";
import { formatSeconds } from "./format";
import { type CompactionJob, listJobs, measureTables, type TableSize } from "./system-tables";

/** The files of a database, and the jobs that flush and merge them. */
export function StoragePanel(): JSX.Element {
  const database = currentDatabase.value;
  if (database === "" || database === INTERNAL_DATABASE || !(isAdmin.value || may("read", database))) {
    return (
      <EmptyState icon="database" title="No files to show">
        <p>Choose a database above that you may read, or write the first rows.</p>
      </EmptyState>
    );
  }
  return (
    <div class="operate-storage">
      <Jobs database={database} />
      <Tables key={database} database={database} />
    </div>
  );
}

const JOB_COLUMNS: readonly DataColumn[] = [
  { name: "Job" },
  { name: "Table" },
  { name: "State" },
  { name: "Inputs", isNumber: true },
  { name: "Outputs", isNumber: true },
  { name: "Rows", isNumber: true },
  { name: "Read", isNumber: true },
  { name: "Written", isNumber: true },
  { name: "Time", isNumber: true },
  { name: "Ended" },
];

function Jobs({ database }: { database: string }): JSX.Element {
  const loaded = useLoaded(`jobs-${database}`, (signal) => listJobs(database, signal));
  return (
    <section class="bill">
      <h2>Flushes and merges</h2>
      <p class="operate-status">
        Rows are in the tail until a flush writes them as sections: within 10 minutes. Merges make few large sections of
        many small ones.
      </p>
      {loaded.error !== undefined && <ErrorNote error={loaded.error} onRetry={loaded.reload} />}
      {loaded.value?.length === 0 && <p>No job has run since the process started.</p>}
      {loaded.value !== undefined && loaded.value.length > 0 && (
        <DataTable label="Flushes and merges" columns={JOB_COLUMNS}>
          {loaded.value.map((job) => (
            <JobRow key={job.id} job={job} />
          ))}
        </DataTable>
      )}
    </section>
  );
}

function JobRow({ job }: { job: CompactionJob }): JSX.Element {
  const count = (value: number | undefined | null): string => (value ?? "–").toLocaleString("en");
  const bytes = (value: number | undefined | null): string => (value == null ? "–" : formatBytes(value));
  return (
    <tr>
      <th scope="row">{job.kind}</th>
      <td class="cut">{job.table_name ?? "–"}</td>
      <td>{job.state}</td>
      <td class="number">{count(job.inputs)}</td>
      <td class="number">{count(job.outputs)}</td>
      <td class="number">{count(job.rows)}</td>
      <td class="number">{bytes(job.bytes_in)}</td>
      <td class="number">{bytes(job.bytes_out)}</td>
      <td class="number">{job.duration_ms == null ? "–" : formatSeconds(job.duration_ms / 1_000)}</td>
      <td class="query-began">{job.finished ? formatAnswerTime(job.finished, zone.value) : "–"}</td>
    </tr>
  );
}

const TABLE_COLUMNS: readonly DataColumn[] = [
  { name: "Table" },
  { name: "Sections", isNumber: true },
  { name: "Rows", isNumber: true },
  { name: "Bytes", isNumber: true },
  { name: "Bytes per row", isNumber: true },
];

function Tables({ database }: { database: string }): JSX.Element {
  const [sizes, setSizes] = useState<TableSize[]>();
  const [error, setError] = useState<unknown>();
  const [isBusy, setBusy] = useState(false);
  const measure = async (): Promise<void> => {
    setBusy(true);
    setError(undefined);
    try {
      setSizes(await measureTables(database));
    } catch (failure) {
      setError(failure);
    }
    setBusy(false);
  };
  return (
    <section class="bill">
      <h2>Tables in files</h2>
      <p class="operate-status">Reading the list of a large database may cost some requests to the store.</p>
      <Button icon="table" onClick={() => void measure()} isBusy={isBusy}>
        Measure the tables
      </Button>
      {error !== undefined && <ErrorNote error={error} />}
      {sizes?.length === 0 && <p>No rows have been flushed yet.</p>}
      {sizes !== undefined && sizes.length > 0 && (
        <DataTable label="Tables in files" columns={TABLE_COLUMNS}>
          {sizes.map((size) => (
            <tr key={size.table_name}>
              <th scope="row" class="cut">
                {size.table_name}
              </th>
              <td class="number">{size.sections.toLocaleString("en")}</td>
              <td class="number">{size.row_count.toLocaleString("en")}</td>
              <td class="number">{formatBytes(size.size_bytes)}</td>
              <td class="number">{size.row_count === 0 ? "–" : (size.size_bytes / size.row_count).toFixed(1)}</td>
            </tr>
          ))}
        </DataTable>
      )}
    </section>
  );
}
