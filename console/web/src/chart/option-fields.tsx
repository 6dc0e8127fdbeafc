/** Fields for the options of a chart, such as the unit and the treatment of gaps. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { Checkbox, Select, TextField } from "../ui";
import { type ChartSettings, type GapMode, type HeatMode, MAX_THRESHOLDS, type Reducer } from "./settings";
import { UNITS } from "./units";

/** The properties of the fields. */
export interface OptionFieldsProps {
  settings: ChartSettings;
  onChange(change: Partial<ChartSettings>): void;
}

const GAPS: readonly { value: GapMode; label: string }[] = [
  { value: "auto", label: "Break at nulls and missing intervals" },
  { value: "nulls", label: "Break at nulls" },
  { value: "connect", label: "Connect over nulls" },
];

const HEAT: readonly { value: HeatMode | ""; label: string }[] = [
  { value: "", label: "By the number of series" },
  { value: "distribution", label: "Rows by time and value" },
  { value: "series", label: "Mean by time and series" },
];

const REDUCED: readonly { value: Reducer; label: string }[] = [
  { value: "last", label: "Last value" },
  { value: "first", label: "First value" },
  { value: "mean", label: "Mean" },
  { value: "min", label: "Minimum" },
  { value: "max", label: "Maximum" },
  { value: "sum", label: "Sum" },
  { value: "count", label: "Number of values" },
];

/** The options of a chart that are not columns. */
export function OptionFields({ settings, onChange }: OptionFieldsProps): JSX.Element {
  const { kind } = settings;
  const hasNumberAxis = kind === "line" || kind === "bar" || kind === "scatter";
  return (
    <div class="chart-options">
      <UnitField settings={settings} onChange={onChange} />
      <NumberField
        label="Decimal places"
        value={settings.decimals}
        placeholder="as needed"
        onChange={(decimals) => onChange({ decimals: decimals === undefined ? undefined : clampDecimals(decimals) })}
      />
      {hasNumberAxis && (
        <>
          <NumberField label="Lowest value" value={settings.yMin} onChange={(yMin) => onChange({ yMin })} />
          <NumberField label="Highest value" value={settings.yMax} onChange={(yMax) => onChange({ yMax })} />
          <ThresholdsField settings={settings} onChange={onChange} />
          <Checkbox
            label="Logarithmic scale"
            isChecked={settings.logarithmic ?? false}
            onChange={(logarithmic) => onChange({ logarithmic })}
          />
        </>
      )}
      {kind === "bar" && (
        <Checkbox label="Stacked" isChecked={settings.stacked ?? false} onChange={(stacked) => onChange({ stacked })} />
      )}
      {kind === "line" && (
        <Select label="Gaps" value={settings.gaps ?? "auto"} options={GAPS} onChange={(gaps) => onChange({ gaps })} />
      )}
      {kind === "heatmap" && (
        <Select
          label="Cells"
          value={settings.heat ?? ""}
          options={HEAT}
          onChange={(heat) => onChange({ heat: heat === "" ? undefined : heat })}
        />
      )}
      {kind === "value" && (
        <>
          <ThresholdsField settings={settings} onChange={onChange} />
          <Select
            label="Value of a series"
            value={settings.reduce ?? "last"}
            options={REDUCED}
            onChange={(reduce) => onChange({ reduce })}
          />
        </>
      )}
      {hasNumberAxis && (
        <Checkbox label="Legend" isChecked={settings.legend ?? true} onChange={(legend) => onChange({ legend })} />
      )}
    </div>
  );
}

/** The limits that are drawn as lines, separated by spaces. */
function ThresholdsField({ settings, onChange }: OptionFieldsProps): JSX.Element {
  const [text, setText] = useState((settings.thresholds ?? []).join(" "));
  const apply = (typed: string): void => {
    setText(typed);
    const words = typed.split(/[\s;]+/).filter((word) => word !== "");
    const numbers = words.map(Number).filter(Number.isFinite).slice(0, MAX_THRESHOLDS);
    onChange({ thresholds: numbers.length === 0 ? undefined : numbers });
  };
  return <TextField label="Thresholds" value={text} placeholder="such as 80 95" onInput={apply} />;
}

/** The choice of the unit. */
export function UnitField({ settings, onChange }: OptionFieldsProps): JSX.Element {
  return (
    <Select
      label="Unit"
      value={settings.unit ?? "none"}
      options={UNITS.map(({ id, label }) => ({ value: id, label }))}
      onChange={(unit) => onChange({ unit: unit === "none" ? undefined : unit })}
    />
  );
}

/** Decimal places at most. */
const MAX_DECIMALS = 12;

function clampDecimals(value: number): number {
  return Math.min(MAX_DECIMALS, Math.max(0, Math.round(value)));
}

function NumberField(props: {
  label: string;
  value: number | undefined;
  placeholder?: string;
  onChange(value: number | undefined): void;
}): JSX.Element {
  const { label, value, placeholder = "automatic", onChange } = props;
  return (
    <TextField
      label={label}
      type="number"
      value={value === undefined ? "" : String(value)}
      placeholder={placeholder}
      onInput={(text) => {
        const number = Number(text);
        onChange(text.trim() === "" || !Number.isFinite(number) ? undefined : number);
      }}
    />
  );
}
