/** The editor of a cell: its title, query and chart. */

import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { LANGUAGE_NAMES, QUERY_LANGUAGES } from "../api/query";
import { databases, listTables } from "../api/schema";
import { ResultChart } from "../chart/result-chart";
import { Button, Dialog, EmptyState, ErrorNote, Select, Spinner, TextField } from "../ui";
import { type Cell, type CellView, MAX_NAME_LENGTH, MAX_NOTE_LENGTH, MAX_QUERY_LENGTH } from "./dashboard";
import { CellContent } from "./dashboard-cell";
import { QueryField } from "./query-field";
import { starterDashboard } from "./starter";
import { type CellQuery, useQuery } from "./use-query";

/** The properties of the editor of a cell. */
export interface CellEditorProps {
  cell: Cell;
  database: string;
  parameters: Record<string, unknown>;
  range: { from: bigint; to: bigint } | undefined;
  onSave(cell: Cell): void;
  onClose(): void;
}

const VIEWS: readonly { value: CellView; label: string }[] = [
  { value: "chart", label: "Chart" },
  { value: "table", label: "Table" },
  { value: "note", label: "Note" },
];

const LANGUAGES = QUERY_LANGUAGES.map((value) => ({ value, label: LANGUAGE_NAMES[value] }));

/** Edits a cell, and shows what its query returns. */
export function CellEditor(props: CellEditorProps): JSX.Element {
  const { database, parameters, range, onSave, onClose } = props;
  const [cell, setCell] = useState(props.cell);
  const [run, setRun] = useState<CellQuery | undefined>(() => queryOf(props.cell, database, parameters));
  const [tick, setTick] = useState(0);
  const { isLoading, result, error } = useQuery(cell.view === "note" ? undefined : run, tick);
  const change = (part: Partial<Cell>): void => setCell({ ...cell, ...part });
  const preview = (): void => {
    setRun(queryOf(cell, database, parameters));
    setTick(tick + 1);
  };
  const isTooLong = cell.query.length > MAX_QUERY_LENGTH;
  const actions = (
    <>
      <Button onClick={onClose}>Cancel</Button>
      <Button kind="primary" disabled={isTooLong} onClick={() => onSave(cell)}>
        Apply
      </Button>
    </>
  );
  return (
    <Dialog title="Edit the cell" size="large" onClose={onClose} actions={actions}>
      <div class="cell-editor">
        <div class="cell-editor-fields">
          <TextField
            label="Title"
            value={cell.title}
            onInput={(title) => change({ title: title.slice(0, MAX_NAME_LENGTH) })}
            autoFocus
          />
          <Select label="Shows" value={cell.view} options={VIEWS} onChange={(view) => change({ view })} />
          {cell.view !== "note" && (
            <>
              <Select
                label="Language"
                value={cell.language}
                options={LANGUAGES}
                onChange={(language) => change({ language })}
              />
              <DatabaseField
                database={database}
                chosen={cell.database}
                onChange={(name) => change({ database: name })}
              />
            </>
          )}
        </div>
        {cell.view === "note" ? (
          <TextField
            label="Text"
            lines={8}
            value={cell.note}
            onInput={(note) => change({ note: note.slice(0, MAX_NOTE_LENGTH) })}
          />
        ) : (
          <>
            <QueryField
              value={cell.query}
              language={cell.language}
              database={cell.database || database}
              onChange={(query) => change({ query })}
              onRun={preview}
            />
            <div class="cell-editor-run">
              <Button icon="play" isBusy={isLoading} disabled={cell.query.trim() === ""} onClick={preview}>
                Run
              </Button>
              <ParameterHint parameters={parameters} />
            </div>
            {isTooLong && <ErrorNote error={`A query has at most ${MAX_QUERY_LENGTH} characters.`} />}
            {cell.query === "" && (
              <QuerySuggestions database={cell.database || database} onChoose={(query) => change({ query })} />
            )}
            {error !== undefined && <ErrorNote error={error} />}
            <div class="cell-editor-preview">
              {isLoading && result === undefined && <Spinner label="Running the query" />}
              {result === undefined && !isLoading && error === undefined && (
                <EmptyState icon="chart" title="No result yet">
                  <p>Run the query to see it as a chart.</p>
                </EmptyState>
              )}
              {result !== undefined && cell.view === "chart" && (
                <ResultChart
                  result={result}
                  settings={cell.chart}
                  onSettings={(chart) => change({ chart })}
                  range={range}
                  title={cell.title || undefined}
                />
              )}
              {result !== undefined && cell.view === "table" && (
                <CellContent cell={{ ...cell, query: cell.query || " " }} result={result} range={range} />
              )}
            </div>
          </>
        )}
      </div>
    </Dialog>
  );
}

function queryOf(cell: Cell, database: string, parameters: Record<string, unknown>): CellQuery | undefined {
  const { query, language } = cell;
  return query.trim() === "" ? undefined : { database: cell.database || database, text: query, language, parameters };
}

function DatabaseField(props: { database: string; chosen: string; onChange(name: string): void }): JSX.Element {
  const { database, chosen, onChange } = props;
  const names = databases.value.map(({ name }) => name).filter((name) => name !== database);
  const known = chosen === "" || names.includes(chosen) ? names : [chosen, ...names];
  return (
    <Select
      label="Database"
      value={chosen}
      options={[{ value: "", label: database }, ...known.map((name) => ({ value: name, label: name }))]}
      onChange={onChange}
    />
  );
}

function ParameterHint({ parameters }: { parameters: Record<string, unknown> }): JSX.Element {
  return (
    <p class="chart-note cell-parameters">
      Parameters:{" "}
      {Object.entries(parameters).map(([name, value]) => (
        <code key={name} title={value === null ? "all" : String(value).slice(0, 200)}>
          ${name}
        </code>
      ))}
    </p>
  );
}

/** Tables that are suggested at most. */
const MAX_SUGGESTIONS = 6;

/** Queries that an empty editor offers. */
function QuerySuggestions({
  database,
  onChoose,
}: {
  database: string;
  onChoose(query: string): void;
}): JSX.Element | null {
  const [suggestions, setSuggestions] = useState<{ title: string; query: string }[]>([]);
  useEffect(() => {
    let isCurrent = true;
    listTables(database).then(
      (tables) => {
        if (isCurrent) {
          const { cells } = starterDashboard(tables);
          // The variables of a first dashboard are unknown here.
          const plain = cells.map(({ title, query }) => ({ title, query: query.replace(/\n {2}AND \(\$.*\)$/m, "") }));
          setSuggestions(plain.slice(0, MAX_SUGGESTIONS));
        }
      },
      () => setSuggestions([]),
    );
    return () => {
      isCurrent = false;
    };
  }, [database]);
  if (suggestions.length === 0) {
    return null;
  }
  return (
    <div class="cell-suggestions" role="group" aria-label="Ready queries">
      {suggestions.map(({ title, query }) => (
        <Button key={title} kind="quiet" icon="chart" onClick={() => onChoose(query)}>
          {title}
        </Button>
      ))}
    </div>
  );
}
