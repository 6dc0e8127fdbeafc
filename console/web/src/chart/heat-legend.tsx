/** The legend of a heat map: its colours and their values. */

import type { JSX } from "preact";
import { heatColour } from "./palette";
import type { HeatScale } from "./scene";
import { formatNumber, unitOf } from "./units";

/** Steps of colour that a legend shows. */
const STEPS = 24;

/** The colours of a heat map, from the smallest to the largest number. */
export function HeatLegend({ scale, unit }: { scale: HeatScale; unit: string | undefined }): JSX.Element | null {
  const { extent, isCount } = scale;
  if (!(extent.min <= extent.max)) {
    return null;
  }
  const text = (value: number): string => (isCount ? formatNumber(value) : unitOf(unit).format(value));
  return (
    <div class="heat-legend">
      <span>{text(isCount ? 0 : extent.min)}</span>
      <svg width="144" height="12" viewBox={`0 0 ${STEPS} 2`} preserveAspectRatio="none" aria-hidden="true">
        {Array.from({ length: STEPS }, (_, step) => {
          const fraction = step / (STEPS - 1);
          const [red, green, blue] = heatColour(isCount ? Math.sqrt(fraction) : fraction);
          return <rect key={step} x={step} y="0" width="1.05" height="2" fill={`rgb(${red},${green},${blue})`} />;
        })}
      </svg>
      <span>{text(extent.max)}</span>
      <span class="chart-note">{isCount ? "rows per cell" : "mean per cell"}</span>
    </div>
  );
}
