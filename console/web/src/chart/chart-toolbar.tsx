/** The toolbar above a chart: its kind, columns and options, and the picture. */

import type { JSX, TargetedKeyboardEvent } from "preact";
import type { QueryResult } from "../api/query";
import { Button, Popover } from "../ui";
import { KIND_NAMES } from "./chart-summary";
import { ColumnFields } from "./column-fields";
import type { ColumnChoice } from "./columns";
import { OptionFields } from "./option-fields";
import { CHART_KINDS, type ChartKind, type ChartSettings } from "./settings";

/** The properties of a toolbar. */
export interface ChartToolbarProps {
  result: QueryResult;
  settings: ChartSettings;
  choice: ColumnChoice;
  onSettings(settings: ChartSettings): void;
  onPicture(): void;
}

/** The controls of a chart: its kind, columns and options. */
export function ChartToolbar({ result, settings, choice, onSettings, onPicture }: ChartToolbarProps): JSX.Element {
  const change = (part: Partial<ChartSettings>): void => onSettings({ ...settings, ...part });
  return (
    <div class="chart-toolbar">
      <KindChoice kind={settings.kind} onChange={(kind) => change({ kind })} />
      <ColumnFields result={result} settings={settings} choice={choice} onChange={change} />
      <div class="chart-toolbar-end">
        <Popover label="Chart options" text="Options" icon="settings" align="end">
          {() => <OptionFields settings={settings} onChange={change} />}
        </Popover>
        <Button icon="download" onClick={onPicture}>
          PNG
        </Button>
      </div>
    </div>
  );
}

/** The kinds of charts, as radio buttons in one row. */
export function KindChoice({ kind, onChange }: { kind: ChartKind; onChange(kind: ChartKind): void }): JSX.Element {
  const move = (event: TargetedKeyboardEvent<HTMLDivElement>): void => {
    const at = CHART_KINDS.indexOf(kind);
    const step = event.key === "ArrowRight" || event.key === "ArrowDown" ? 1 : 0;
    const back = event.key === "ArrowLeft" || event.key === "ArrowUp" ? -1 : 0;
    if (step + back === 0) {
      return;
    }
    event.preventDefault();
    const next = CHART_KINDS[(at + step + back + CHART_KINDS.length) % CHART_KINDS.length];
    if (next !== undefined) {
      onChange(next);
      event.currentTarget.querySelector<HTMLElement>(`[data-kind="${next}"]`)?.focus();
    }
  };
  return (
    <div class="chart-kinds" role="radiogroup" aria-label="Kind of chart" onKeyDown={move}>
      {CHART_KINDS.map((one) => (
        <button
          key={one}
          type="button"
          role="radio"
          data-kind={one}
          class="chart-kind"
          aria-checked={one === kind}
          tabIndex={one === kind ? 0 : -1}
          onClick={() => onChange(one)}
        >
          {KIND_NAMES[one]}
        </button>
      ))}
    </div>
  );
}
