/** The input of a run by hand: rows, or a time of a schedule. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { messageOf } from "../api/client";
import { listTables } from "../api/schema";
import { useLoaded } from "../api/use-loaded";
import { Button, notify, Select, TextField } from "../ui";
import { optionsOf } from "../write/names";
import { newestLines } from "./triggers";

export interface RowFieldsProps {
  database: string;
  /** The only table that is offered, if the trigger is on one. */
  table: string | undefined;
  lines: string;
  onLines(lines: string): void;
}

/** The number of rows that are taken from a table. */
const TAKEN_ROWS = 10;

/** The rows that a plugin gets. */
export function RowFields({ database, table, lines, onLines }: RowFieldsProps): JSX.Element {
  const tables = useLoaded(database, () => listTables(database));
  const [chosen, setChosen] = useState(table ?? "");
  const [isBusy, setBusy] = useState(false);
  const names = (tables.value ?? []).map(({ name }) => name);
  const source = chosen === "" ? (names[0] ?? "") : chosen;
  const take = async () => {
    setBusy(true);
    try {
      onLines(await newestLines(database, source, TAKEN_ROWS));
    } catch (error) {
      notify("error", messageOf(error));
    }
    setBusy(false);
  };
  return (
    <>
      <TextField
        label="Rows as line protocol, with times in nanoseconds"
        value={lines}
        onInput={onLines}
        lines={5}
        placeholder="home,room=Kitchen temp=31"
        isMonospace
      />
      <div class="admin-field-row">
        <Select
          label="Table"
          value={source}
          options={optionsOf(names.includes(source) || source === "" ? names : [source, ...names])}
          onChange={setChosen}
        />
        <Button onClick={() => void take()} disabled={source === ""} isBusy={isBusy}>
          Take its newest {TAKEN_ROWS} rows
        </Button>
      </div>
    </>
  );
}
