/** The filter of logs and traces: words, service, errors, and the time range. */

import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { Table } from "../api/schema";
import { useLoaded } from "../api/use-loaded";
import { range, setRange } from "../explore/explore-state";
import { setParams } from "../router";
import { Button, Checkbox, Select, TextField, TimeRangePicker } from "../ui";
import { readRows, type SignalFilter, servicesQuery } from "./queries";

/** The time without a key after which words are searched, in milliseconds. */
const SEARCH_DELAY_MS = 400;

/** The properties of the filter. */
export interface SignalBarProps {
  database: string;
  table: Table;
  filter: SignalFilter;
  /** The present range as parameters. */
  moments: { from: string; to: string };
  label: string;
  isLoading: boolean;
  onReload(): void;
}

/** The filter. It is part of the hash, so that a link has it. */
export function SignalBar(props: SignalBarProps): JSX.Element {
  const { database, table, filter, moments, label, isLoading, onReload } = props;
  const [text, setText] = useState(filter.text);
  useEffect(() => setText(filter.text), [filter.text]);
  useEffect(() => {
    const timer = setTimeout(() => text !== filter.text && setParams({ text }), SEARCH_DELAY_MS);
    return () => clearTimeout(timer);
  }, [text]);
  const services = useLoaded(JSON.stringify([database, table.name, range.value]), async (signal) => {
    const query = servicesQuery(table, moments);
    const rows = query === undefined ? [] : await readRows<{ service: string | null }>(database, query, signal);
    return rows.flatMap(({ service }) => (service === null ? [] : [service]));
  });
  const names = [...new Set([...(services.value ?? []), ...(filter.service === "" ? [] : [filter.service])])];
  return (
    <div class="signal-bar" role="group" aria-label="Filter">
      <TextField
        label={label}
        isLabelHidden
        type="search"
        placeholder={label}
        value={text}
        onInput={setText}
        onEnter={() => setParams({ text })}
      />
      <Select
        label="Service"
        isLabelHidden
        value={filter.service}
        options={[
          { value: "", label: "All services" },
          ...names.map((name) => ({ value: name, label: name.slice(0, 60) })),
        ]}
        onChange={(service) => setParams({ service })}
      />
      <Checkbox
        label="Errors only"
        isChecked={filter.isError}
        onChange={(isError) => setParams({ errors: isError ? "1" : undefined })}
      />
      <TimeRangePicker range={range.value} onChange={setRange} align="end" />
      <Button icon="refresh" onClick={onReload} isBusy={isLoading}>
        Refresh
      </Button>
    </div>
  );
}

/** Returns the filter that the hash names. */
export function filterOf(params: URLSearchParams): SignalFilter {
  return {
    text: params.get("text") ?? "",
    service: params.get("service") ?? "",
    isError: params.get("errors") === "1",
  };
}
