/** Chooses a time range. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { describeRange, PRESETS, rangeError, storedEnd, type TimeRange, typedEnd } from "../time/range";
import { zone } from "../time/zone";
import { Button } from "./button";
import { TextField } from "./fields";
import { Popover } from "./menu";

/** The properties of the picker. */
export interface TimeRangePickerProps {
  range: TimeRange;
  onChange(range: TimeRange): void;
  label?: string;
  align?: "start" | "end";
}

/** Chooses a time range: one of the presets, or any two ends. */
export function TimeRangePicker({ range, onChange, label = "Time range", align }: TimeRangePickerProps): JSX.Element {
  const text = describeRange(range, zone.value);
  return (
    <Popover label={`${label}: ${text}`} text={text} icon="clock" align={align}>
      {(close) => (
        <RangeForm
          range={range}
          onApply={(chosen) => {
            onChange(chosen);
            close();
          }}
        />
      )}
    </Popover>
  );
}

function RangeForm({ range, onApply }: { range: TimeRange; onApply(range: TimeRange): void }): JSX.Element {
  const [from, setFrom] = useState(typedEnd(range.from, zone.value));
  const [to, setTo] = useState(typedEnd(range.to, zone.value));
  const error = rangeError({ from, to }, Date.now(), zone.value);
  const apply = () => {
    if (error === undefined) {
      onApply({ from: storedEnd(from, zone.value), to: storedEnd(to, zone.value) });
    }
  };
  return (
    <div class="range-form">
      <ul class="range-presets" aria-label="Ranges">
        {PRESETS.map((preset) => (
          <li key={preset.label}>
            <button
              type="button"
              class="menu-item"
              aria-pressed={preset.range.from === range.from && preset.range.to === range.to}
              onClick={() => onApply(preset.range)}
            >
              {preset.label}
            </button>
          </li>
        ))}
      </ul>
      <div class="range-custom">
        <TextField label="From" value={from} onInput={setFrom} onEnter={apply} placeholder="start" isMonospace />
        <TextField
          label="To"
          value={to}
          onInput={setTo}
          onEnter={apply}
          placeholder="end"
          isMonospace
          error={error}
          hint={`now-1h, or a time in ${zone.value} such as 2026-01-31 12:00`}
        />
        <Button kind="primary" onClick={apply} disabled={error !== undefined}>
          Apply
        </Button>
      </div>
    </div>
  );
}
