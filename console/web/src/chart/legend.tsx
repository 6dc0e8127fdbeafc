/** The legend of a chart: its series, which the user shows and hides. */

import type { JSX, TargetedKeyboardEvent } from "preact";
import type { ChartData } from "./chart-data";
import { type ChartColours, seriesStyle } from "./palette";

/** The properties of a legend. */
export interface LegendProps {
  data: ChartData;
  colours: ChartColours;
  hidden: ReadonlySet<string>;
  onToggle(label: string): void;
  /** Shows one series alone, or all if it is alone already. */
  onSolo(label: string): void;
}

/** The names of the series, as buttons that switch them off and on. */
export function Legend(props: LegendProps): JSX.Element {
  const { data, colours, hidden, onToggle, onSolo } = props;
  return (
    <ul class="chart-legend" aria-label="Series" onKeyDown={moveFocus}>
      {data.series.map(({ label }, index) => {
        const isShown = !hidden.has(label);
        return (
          <li key={label}>
            <button
              type="button"
              class="chart-legend-entry"
              aria-pressed={isShown}
              title={`${label}\nClick: switch off or on. Shift and click: show alone.`}
              onClick={(event) => (event.shiftKey ? onSolo(label) : onToggle(label))}
              onDblClick={() => onSolo(label)}
            >
              <LegendMark colours={colours} index={index} isShown={isShown} />
              <bdi class="chart-legend-label">{label === "" ? "∅" : label}</bdi>
            </button>
          </li>
        );
      })}
    </ul>
  );
}

function LegendMark({
  colours,
  index,
  isShown,
}: {
  colours: ChartColours;
  index: number;
  isShown: boolean;
}): JSX.Element {
  const { colour, dash } = seriesStyle(colours, index);
  return (
    <svg class="chart-legend-mark" width="18" height="10" viewBox="0 0 18 10" aria-hidden="true">
      <line
        x1="1"
        x2="17"
        y1="5"
        y2="5"
        stroke={isShown ? colour : colours.muted}
        stroke-width={isShown ? 3 : 1}
        stroke-dasharray={dash.length > 0 ? dash.join(" ") : undefined}
      />
    </svg>
  );
}

/** Moves the focus with the arrow keys, Home and End. */
function moveFocus(event: TargetedKeyboardEvent<HTMLUListElement>): void {
  const buttons = [...event.currentTarget.querySelectorAll("button")];
  const at = buttons.indexOf(document.activeElement as HTMLButtonElement);
  const steps: Record<string, number> = {
    ArrowRight: at + 1,
    ArrowDown: at + 1,
    ArrowLeft: at - 1,
    ArrowUp: at - 1,
    Home: 0,
    End: buttons.length - 1,
  };
  const to = steps[event.key];
  if (to !== undefined && buttons.length > 0) {
    event.preventDefault();
    buttons[(to + buttons.length) % buttons.length]?.focus();
  }
}
