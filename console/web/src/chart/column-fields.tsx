/** Fields that choose the columns of a chart by their types. */

import type { JSX } from "preact";
import type { QueryResult, ResultColumn } from "../api/query";
import { Checkbox, Popover, Select } from "../ui";
import { type ColumnChoice, seriesCandidates, valueCandidates, xCandidates } from "./columns";
import type { ChartSettings } from "./settings";

/** Columns that are listed at most. */
const MAX_COLUMNS = 200;

/** The properties of the fields. */
export interface ColumnFieldsProps {
  result: QueryResult;
  settings: ChartSettings;
  choice: ColumnChoice;
  onChange(change: Partial<ChartSettings>): void;
}

/** The choice of the columns of a chart. */
export function ColumnFields({ result, settings, choice, onChange }: ColumnFieldsProps): JSX.Element {
  const horizontal = xCandidates(result, settings.kind).slice(0, MAX_COLUMNS);
  const values = valueCandidates(result).filter((column) => column !== choice.x);
  const series = seriesCandidates(result).filter((column) => column !== choice.x);
  return (
    <>
      <Select
        label="Horizontal axis"
        value={choice.x?.name ?? ""}
        options={[
          ...(choice.x === undefined ? [{ value: "", label: "row number" }] : []),
          ...horizontal.map((column) => ({ value: column.name, label: `${column.name} (${column.kind})` })),
        ]}
        onChange={(x) => onChange({ x: x === "" ? undefined : x })}
      />
      <ColumnList
        label="Values"
        columns={values}
        chosen={choice.values}
        onChange={(names) => onChange({ values: names })}
        isOneNeeded
      />
      {series.length > 0 && (
        <ColumnList
          label="Series"
          columns={series}
          chosen={choice.series}
          onChange={(names) => onChange({ series: names })}
        />
      )}
    </>
  );
}

function ColumnList(props: {
  label: string;
  columns: ResultColumn[];
  chosen: ResultColumn[];
  onChange(names: string[]): void;
  isOneNeeded?: boolean;
}): JSX.Element {
  const { label, columns, chosen, onChange, isOneNeeded } = props;
  const text =
    chosen.length === 0
      ? "none"
      : chosen.length <= 2
        ? chosen.map(({ name }) => name).join(", ")
        : `${chosen.length} columns`;
  const toggle = (column: ResultColumn, isChecked: boolean): void => {
    const names = columns.filter((one) => (one === column ? isChecked : chosen.includes(one))).map(({ name }) => name);
    onChange(names);
  };
  return (
    <div class="field">
      <span class="field-label" aria-hidden="true">
        {label}
      </span>
      <Popover label={`${label}: ${text}`} text={<bdi class="chart-column-names">{text}</bdi>}>
        {() => (
          <div class="chart-column-list">
            {columns.length === 0 && <p>The result has no column of numbers.</p>}
            {columns.slice(0, MAX_COLUMNS).map((column) => (
              <Checkbox
                key={column.name}
                label={
                  <>
                    <bdi>{column.name}</bdi> <span class="chart-note">{column.arrowType}</span>
                  </>
                }
                isChecked={chosen.includes(column)}
                disabled={isOneNeeded && chosen.length === 1 && chosen[0] === column}
                onChange={(isChecked) => toggle(column, isChecked)}
              />
            ))}
          </div>
        )}
      </Popover>
    </div>
  );
}
