/** Chooses the moment as of which a query is answered. */

import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { queryRows } from "../api/query";
import { currentDatabase } from "../api/schema";
import { parseTime, typedEnd } from "../time/range";
import { zone } from "../time/zone";
import { Button, Popover, TextField } from "../ui";
import { asOf, setAsOf } from "./explore-state";

/** The number of versions that the picker lists. */
const MAX_VERSIONS = 12;

/** Chooses the moment as of which queries answer. */
export function AsOfPicker(): JSX.Element {
  const moment = asOf.value;
  const text = moment === "" ? "Now" : `As of ${/^\d+$/.test(moment) ? moment : typedEnd(moment, zone.value)}`;
  return (
    <div class={moment === "" ? undefined : "as-of-active"}>
      <Popover label={`Moment of the data: ${text}`} text={text} icon="history">
        {(close) => (
          <AsOfForm
            onApply={(chosen) => {
              setAsOf(chosen);
              close();
            }}
          />
        )}
      </Popover>
    </div>
  );
}

function AsOfForm({ onApply }: { onApply(moment: string): void }): JSX.Element {
  const [text, setText] = useState(asOf.value);
  const versions = useVersions();
  const moment = toMoment(text, Date.now(), zone.value);
  const apply = () => {
    if (moment !== undefined) {
      onApply(moment);
    }
  };
  return (
    <div class="as-of-form">
      <p class="muted">Answers as the database was at an earlier moment, without later writes and deletes.</p>
      <TextField
        label="Time or stamp"
        value={text}
        onInput={setText}
        onEnter={apply}
        isMonospace
        placeholder="now-1h"
        error={moment === undefined ? "This is neither a time such as 2026-01-31 12:00 nor a stamp." : undefined}
        hint={`now-1h, a time in ${zone.value}, or the stamp of a write`}
      />
      <div class="form-actions">
        <Button onClick={() => onApply("")}>Now</Button>
        <Button kind="primary" onClick={apply} disabled={moment === undefined}>
          Apply
        </Button>
      </div>
      {versions.length > 0 && (
        <>
          <h3>Versions</h3>
          <ul class="as-of-versions">
            {versions.map((time) => (
              <li key={time}>
                <button type="button" class="menu-item monospace" onClick={() => onApply(time)}>
                  {typedEnd(time, zone.value)}
                </button>
              </li>
            ))}
          </ul>
        </>
      )}
    </div>
  );
}

/** Returns the value of the header for what the user typed: a time in RFC 3339, a stamp, or the empty text for now. */
export function toMoment(text: string, nowMs: number, zoneName: string): string | undefined {
  const trimmed = text.trim();
  if (trimmed === "" || trimmed === "now" || /^\d{5,20}$/.test(trimmed)) {
    return trimmed === "now" ? "" : trimmed;
  }
  if (/^\d{4}-\d{2}-\d{2}T[\d:.]+(Z|[+-]\d{2}:\d{2})$/.test(trimmed) && !Number.isNaN(Date.parse(trimmed))) {
    return trimmed;
  }
  const ms = parseTime(trimmed, nowMs, zoneName);
  return ms === undefined ? undefined : new Date(ms).toISOString();
}

function useVersions(): string[] {
  const [versions, setVersions] = useState<string[]>([]);
  const database = currentDatabase.value;
  useEffect(() => {
    const controller = new AbortController();
    const text = `SELECT committed FROM system.versions WHERE readable AND committed IS NOT NULL
      ORDER BY committed DESC LIMIT ${MAX_VERSIONS}`;
    queryRows<{ committed: string }>(database, text, "sql", { signal: controller.signal }).then(
      (rows) => setVersions(rows.map(({ committed }) => `${committed}Z`)),
      () => {}, // Without the list, the field still takes any time.
    );
    return () => controller.abort();
  }, [database]);
  return versions;
}
