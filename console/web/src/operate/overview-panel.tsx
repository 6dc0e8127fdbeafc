/** The state of the process that answers: problems, figures with short histories, memory. */

import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { formatBytes } from "../api/format-value";
import { info, isAdmin } from "../api/session";
import { ErrorNote, Note } from "../ui";
import { type DataColumn, DataTable } from "./data-table";
import { formatFigure, formatSeconds } from "./format";
import { databaseWrites, FIGURES, type Figure, type FigureGroup, memoryShares } from "./overview";
import { findProblems, type Problem } from "./problems";
import type { Metrics } from "./prometheus";
import {
  history,
  newestMetrics,
  readiness,
  SAMPLE_INTERVAL_MS,
  sampleError,
  startSampling,
  takeSample,
} from "./sampler";
import { Share } from "./share";
import { Sparkline } from "./sparkline";

/** The state of the process that answers: problems, figures with short histories, memory. */
export function OverviewPanel(): JSX.Element {
  useEffect(() => startSampling(), []);
  const metrics = newestMetrics.value;
  if (metrics === undefined) {
    return sampleError.value === undefined ? (
      <p class="operate-status" role="status">
        Reading the metrics…
      </p>
    ) : (
      <MetricsError error={sampleError.value} />
    );
  }
  return (
    <div class="operate-overview">
      <ProcessLine metrics={metrics} />
      {sampleError.value !== undefined && (
        <ErrorNote title="The figures below are old." error={sampleError.value} onRetry={() => void takeSample()} />
      )}
      <Problems problems={findProblems(metrics, readiness.value)} />
      <div class="figure-groups">
        {FIGURES.map((group) => (
          <FigureSection key={group.title} group={group} />
        ))}
        <WritesSection metrics={metrics} />
        <MemorySection metrics={metrics} />
      </div>
    </div>
  );
}

function MetricsError({ error }: { error: unknown }): JSX.Element {
  return (
    <div class="operate-overview">
      <ErrorNote title="The metrics can't be read." error={error} onRetry={() => void takeSample()} />
      {!isAdmin.value && (
        <Note>
          <p>
            The metrics of a process need a token with the permission <code>system:metrics:read</code>, or that of an
            administrator.
          </p>
        </Note>
      )}
    </div>
  );
}

/** Says which process the figures are of, because each process counts only what it does itself. */
function ProcessLine({ metrics }: { metrics: Metrics }): JSX.Element {
  const build = metrics.samples("neap_build_info")[0]?.labels;
  const uptime = metrics.sum("neap_uptime_seconds");
  const parts = [
    build && `Neap ${build.version ?? ""} (${build.revision ?? ""})`,
    info.value?.node_id && `node ${info.value.node_id}`,
    uptime !== undefined && `up ${formatSeconds(uptime)}`,
  ];
  return (
    <p class="operate-scope">
      These figures are of one process: {parts.filter(Boolean).join(", ")}. They are read every{" "}
      {SAMPLE_INTERVAL_MS / 1_000} seconds while this view is open.
    </p>
  );
}

function Problems({ problems }: { problems: readonly Problem[] }): JSX.Element {
  if (problems.length === 0) {
    return <p class="operate-health">No problems are reported.</p>;
  }
  return (
    <ul class="operate-problems" aria-label="Problems">
      {problems.map(({ severity, text }) => (
        <li key={text} class={`operate-problem operate-problem-${severity}`}>
          {text}
        </li>
      ))}
    </ul>
  );
}

function FigureSection({ group }: { group: FigureGroup }): JSX.Element {
  return (
    <section class="figure-group">
      <h2>{group.title}</h2>
      <div class="figures">
        {group.figures.map((figure) => (
          <FigureCard key={figure.key} figure={figure} />
        ))}
      </div>
    </section>
  );
}

function FigureCard({ figure }: { figure: Figure }): JSX.Element {
  const values = history.value.values(figure.key);
  const newest = values.at(-1) ?? undefined;
  const known = values.filter((value): value is number => value !== null);
  const shown = newest === undefined ? "–" : formatFigure(newest, figure.unit);
  const highest = known.length === 0 ? undefined : formatFigure(Math.max(...known), figure.unit);
  const elapsed = ((history.value.times.at(-1) ?? 0) - (history.value.times[0] ?? 0)) / 1_000;
  const range = highest === undefined ? "no values yet" : `at most ${highest} in ${formatSeconds(elapsed)}`;
  return (
    <div class="figure" title={figure.help}>
      <span class="figure-label">{figure.label}</span>
      <span class="figure-value">{shown}</span>
      <Sparkline values={values} label={`${figure.label}: ${shown}, ${range}`} />
      <span class="figure-range">{range}</span>
    </div>
  );
}

const WRITES_COLUMNS: readonly DataColumn[] = [
  { name: "Database" },
  { name: "Lines written", isNumber: true },
  { name: "Line protocol", isNumber: true },
  { name: "Lines refused", isNumber: true },
];

function WritesSection({ metrics }: { metrics: Metrics }): JSX.Element {
  const rows = databaseWrites(metrics);
  return (
    <section class="figure-group">
      <h2>Writes since the process started</h2>
      {rows.length === 0 ? (
        <p class="operate-status">Nothing was written through this process yet.</p>
      ) : (
        <DataTable label="Writes by database" columns={WRITES_COLUMNS}>
          {rows.map(({ database, lines, bytes, rejected }) => (
            <tr key={database}>
              <th scope="row" class="cut">
                {database}
              </th>
              <td class="number">{lines.toLocaleString("en")}</td>
              <td class="number">{formatBytes(bytes)}</td>
              <td class="number">{rejected.toLocaleString("en")}</td>
            </tr>
          ))}
        </DataTable>
      )}
    </section>
  );
}

const MEMORY_COLUMNS: readonly DataColumn[] = [
  { name: "Part" },
  { name: "Bytes", isNumber: true },
  { name: "Share of the limit" },
];

function MemorySection({ metrics }: { metrics: Metrics }): JSX.Element {
  const limit = metrics.sum("neap_memory_limit_bytes") ?? 0;
  const held = metrics.sum("neap_memory_held_bytes") ?? 0;
  const rows = [{ part: "Held by the process", bytes: held }, ...memoryShares(metrics)];
  return (
    <section class="figure-group">
      <h2>Memory, of {formatBytes(limit)}</h2>
      <DataTable label="Memory" columns={MEMORY_COLUMNS}>
        {rows.map(({ part, bytes }) => (
          <tr key={part}>
            <th scope="row">{part}</th>
            <td class="number">{formatBytes(bytes)}</td>
            <td>
              <Share value={limit === 0 ? 0 : bytes / limit} label={part} />
            </td>
          </tr>
        ))}
      </DataTable>
    </section>
  );
}
