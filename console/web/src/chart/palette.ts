// Colours of series and of heat maps, chosen so that people with any colour vision can tell them apart. Series also
// differ by dashes, so that colour is not the only difference.

/** The number of colours of series: `--series-1` to `--series-8`. */
const SERIES_COLOURS = 8;

/** Dashes of lines, in pixels: one for each round through the colours. */
const DASHES: readonly number[][] = [[], [6, 3], [2, 3], [8, 3, 2, 3]];

/** The look of a series. */
export interface SeriesStyle {
  colour: string;
  dash: readonly number[];
}

/** The colours of a chart in the present theme. */
export interface ChartColours {
  series: string[];
  background: string;
  text: string;
  muted: string;
  grid: string;
  accent: string;
  warning: string;
}

/** Reads the colours of the theme from the custom properties of an element. */
export function readColours(element: Element): ChartColours {
  const style = getComputedStyle(element);
  const property = (name: string, fallback: string): string => style.getPropertyValue(name).trim() || fallback;
  const series = Array.from({ length: SERIES_COLOURS }, (_, i) =>
    property(`--series-${i + 1}`, OKABE_ITO[i] ?? "#0072b2"),
  );
  return {
    series,
    background: property("--surface", "#ffffff"),
    text: property("--text", "#1b1f24"),
    muted: property("--muted", "#57606a"),
    grid: property("--border", "#d0d7de"),
    accent: property("--accent", "#0072b2"),
    warning: property("--warning", "#8a5300"),
  };
}

/** The colours of Okabe and Ito, for a page without a theme. */
const OKABE_ITO = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#8c6bb1", "#4d4d4d"];

/** Returns the look of the series with this index. */
export function seriesStyle(colours: ChartColours, index: number): SeriesStyle {
  const colour = colours.series[index % colours.series.length] ?? colours.text;
  const dash = DASHES[Math.floor(index / colours.series.length) % DASHES.length] ?? [];
  return { colour, dash };
}

/** Red, green and blue of the colour map cividis at equal distances: its lightness grows evenly for all colour visions. */
const CIVIDIS: readonly (readonly [number, number, number])[] = [
  [0, 32, 77],
  [0, 48, 111],
  [42, 64, 108],
  [72, 81, 107],
  [95, 98, 110],
  [116, 115, 117],
  [138, 134, 120],
  [162, 153, 117],
  [187, 174, 109],
  [213, 196, 94],
  [239, 219, 70],
  [255, 234, 70],
];

/** Returns the colour of a fraction between 0 and 1. */
export function heatColour(fraction: number): [number, number, number] {
  const at = Math.min(1, Math.max(0, fraction)) * (CIVIDIS.length - 1);
  const index = Math.min(CIVIDIS.length - 2, Math.floor(at));
  const low = CIVIDIS[index] ?? [0, 0, 0];
  const high = CIVIDIS[index + 1] ?? low;
  const rest = at - index;
  const mix = (channel: 0 | 1 | 2): number => Math.round(low[channel] + (high[channel] - low[channel]) * rest);
  return [mix(0), mix(1), mix(2)];
}
