/** Draws a chart with uPlot, and zooms and reads it by pointer and keyboard. */

import type { JSX } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { zone } from "../time/zone";
import { Button } from "../ui";
import type { ChartData } from "./chart-data";
import { chartSummary } from "./chart-summary";
import { formatX } from "./format-x";
import { type Moment, momentsAt, withGuides } from "./guides";
import { HeatLegend } from "./heat-legend";
import { Legend } from "./legend";
import { type ChartColours, readColours } from "./palette";
import { type FrameCursor, PlotFrame } from "./plot-frame";
import { PlotTooltip, readingText } from "./plot-tooltip";
import { type Reading, readSeries, snap, stepPoint } from "./readings";
import type { IndexedSeries, Scene } from "./scene";
import { buildScene, withFixedEnds } from "./scenes";
import type { ChartSettings } from "./settings";
import { sharedCursor } from "./shared-cursor";
import { useSize, useThemeVersion } from "./use-theme";
import { type NsRange, pan, toRange, visibleExtent, type Zoom, zoomAround } from "./view";

/** The properties of a plot. */
export interface PlotProps {
  data: ChartData;
  settings: ChartSettings;
  title?: string;
  /** The range that the axis of times shows, even if there are no points. */
  range?: NsRange;
  /** Moments that the chart marks. */
  moments?: readonly Moment[];
  /** Takes a time range that the user selected. */
  onBrush?(from: bigint, to: bigint): void;
  /** Whether a selection goes to `onBrush` at once instead of zooming first. */
  brushesAtOnce?: boolean;
  /** Shows the range before the last selection, if there was one. */
  onZoomOut?(): void;
  /** Takes the canvas and its series for pictures. */
  onFrame?(frame: PlotPicture | undefined): void;
}

/** What a picture of a plot needs. */
export interface PlotPicture {
  canvas(): HTMLCanvasElement | undefined;
  shown(): IndexedSeries[];
}

/** The distance in CSS pixels within which the cursor reads a point. */
const REACH = 40;

/** The distance in CSS pixels within which the cursor reads the text of a moment. */
const MOMENT_REACH = 6;

const NO_MOMENTS: readonly Moment[] = [];

/** A plot with axes, legend, zoom and cursor. */
export function Plot(props: PlotProps): JSX.Element {
  const { data, settings, title, range, onBrush, moments = NO_MOMENTS } = props;
  const host = useRef<HTMLDivElement>(null);
  const size = useSize(host);
  const theme = useThemeVersion();
  const [hidden, setHidden] = useState<ReadonlySet<string>>(new Set());
  const [zoom, setZoom] = useState<Zoom>();
  const [cursor, setCursor] = useState<FrameCursor>();
  const [spoken, setSpoken] = useState("");
  const colours = useMemo(() => readColours(host.current ?? document.documentElement), [theme, size === undefined]);
  const shown = useMemo(() => visibleSeries(data, hidden), [data, hidden]);
  const view = visibleExtent(data, settings, usefulZoom(data, zoom), range);
  const zoomTo = (extent: { min: number; max: number }): void => setZoom({ base: data.base, extent });
  const select = (extent: { min: number; max: number }): void => {
    if (props.brushesAtOnce && onBrush && data.axis === "time") {
      const { from, to } = toRange(data, extent);
      onBrush(from, to);
    } else {
      zoomTo(extent);
    }
  };
  const share = useSharedCursor();
  const show = (at: FrameCursor | undefined): void => {
    setCursor(at);
    share.report(data, at);
  };
  const { frame, scene } = useFrame({
    host,
    size,
    data,
    settings,
    moments,
    shown,
    view,
    colours,
    select,
    setCursor: show,
  });
  share.follow(frame, data, view);
  useEffect(() => {
    props.onFrame?.({ canvas: () => frame.current?.canvas, shown: () => shown });
    return () => props.onFrame?.(undefined);
  }, [shown, frame]);

  const perPixel = (view.max - view.min) / Math.max(1, frame.current?.over.clientWidth ?? 1);
  const isHeat = settings.kind === "heatmap";
  const readings = cursor === undefined || isHeat ? [] : nearestFirst(shown, cursor, REACH * perPixel);
  const showAll = (): void => {
    if (zoom === undefined) {
      props.onZoomOut?.();
    }
    setZoom(undefined);
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    const plotted = { data, shown, view, cursor, isZoomed: zoom !== undefined };
    const action = keyAction(event, plotted);
    if (action === undefined) {
      return;
    }
    event.preventDefault();
    if ("view" in action && action.view === undefined) {
      showAll();
    } else if ("view" in action) {
      setZoom(action.view === undefined ? undefined : { base: data.base, extent: action.view });
    } else {
      frame.current?.moveCursor(action.cursor);
      setSpoken(readingText(data, settings, readSeries(shown, action.cursor, REACH * perPixel)));
    }
  };
  const over = frame.current?.over;
  const plotBox = { left: over?.offsetLeft ?? 0, top: over?.offsetTop ?? 0, width: over?.clientWidth ?? 1 };
  return (
    <div class="plot">
      {zoom !== undefined && usefulZoom(data, zoom) !== undefined && (
        <ZoomBar data={data} extent={view} onBrush={onBrush} onReset={() => setZoom(undefined)} />
      )}
      <div
        class="plot-area"
        role="application"
        aria-roledescription="chart"
        aria-label={`${chartSummary(data, settings, title)} Arrow keys read values, plus and minus zoom, Shift and arrows move, 0 shows all.`}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: the arrow keys read the values of the chart.
        tabIndex={0}
        onKeyDown={onKeyDown}
        onDblClick={showAll}
        onBlur={() => frame.current?.moveCursor(undefined)}
      >
        <div class="plot-host" ref={host} />
        {cursor && (
          <PlotTooltip
            cursor={cursor}
            plot={plotBox}
            data={data}
            settings={settings}
            colours={colours}
            readings={readings}
            lines={[
              ...(scene.current?.describe?.(cursor.x, cursor.y) ?? []),
              ...momentsAt(data, moments, cursor.x, MOMENT_REACH * perPixel),
            ]}
          />
        )}
      </div>
      <p class="visually-hidden" aria-live="polite">
        {spoken}
      </p>
      {scene.current?.heat && <HeatLegend scale={scene.current.heat} unit={settings.unit} />}
      {!isHeat && (settings.legend ?? true) && data.series.length > 1 && (
        <Legend
          data={data}
          colours={colours}
          hidden={hidden}
          onToggle={(label) => setHidden(toggled(hidden, label))}
          onSolo={(label) => setHidden(solo(data, hidden, label))}
        />
      )}
    </div>
  );
}

/** Shows the moment below the pointer in all charts of the page. */
function useSharedCursor() {
  const [source] = useState({});
  useEffect(
    () => () => {
      if (sharedCursor.peek()?.source === source) {
        sharedCursor.value = undefined;
      }
    },
    [],
  );
  return {
    report(data: ChartData, cursor: FrameCursor | undefined): void {
      if (data.axis === "time" && cursor !== undefined) {
        sharedCursor.value = { source, ns: data.base + BigInt(Math.round(cursor.x * 1e6)) };
      } else if (sharedCursor.peek()?.source === source) {
        sharedCursor.value = undefined;
      }
    },
    follow(frame: { current: PlotFrame | null }, data: ChartData, view: { min: number; max: number }): void {
      const latest = useRef({ data, view });
      latest.current = { data, view };
      useEffect(() => {
        let isFollowing = false;
        return sharedCursor.subscribe((shared) => {
          const { data: present, view: visible } = latest.current;
          const isOther = shared !== undefined && shared.source !== source && present.axis === "time";
          if (isOther) {
            const x = Number(shared.ns - present.base) / 1e6;
            frame.current?.followCursor(x >= visible.min && x <= visible.max ? x : undefined);
          } else if (isFollowing) {
            frame.current?.followCursor(undefined);
          }
          isFollowing = isOther;
        });
      }, []);
    },
  };
}

function visibleSeries(data: ChartData, hidden: ReadonlySet<string>): IndexedSeries[] {
  return data.series.flatMap((series, index) => (hidden.has(series.label) ? [] : [{ index, series }]));
}

/** Returns a zoom if it shows any part of the data. */
function usefulZoom(data: ChartData, zoom: Zoom | undefined): Zoom | undefined {
  if (zoom === undefined) {
    return undefined;
  }
  const { min, max } = visibleExtent(data, { kind: "line" }, zoom);
  return max >= data.extent.min && min <= data.extent.max ? zoom : undefined;
}

function toggled(hidden: ReadonlySet<string>, label: string): Set<string> {
  const next = new Set(hidden);
  if (!next.delete(label)) {
    next.add(label);
  }
  return next;
}

function solo(data: ChartData, hidden: ReadonlySet<string>, label: string): Set<string> {
  const others = data.series.map((series) => series.label).filter((other) => other !== label);
  const isAlone = !hidden.has(label) && others.every((other) => hidden.has(other));
  return new Set(isAlone ? [] : others);
}

function nearestFirst(shown: IndexedSeries[], cursor: FrameCursor, reach: number): Reading[] {
  const readings = readSeries(shown, snap(shown, cursor.x), reach);
  return readings
    .filter(({ x }) => Math.abs(x - cursor.x) <= reach)
    .sort((a, b) => Math.abs(a.y - cursor.y) - Math.abs(b.y - cursor.y));
}

interface FrameInput {
  host: { current: HTMLDivElement | null };
  size: { width: number; height: number } | undefined;
  data: ChartData;
  settings: ChartSettings;
  moments: readonly Moment[];
  shown: IndexedSeries[];
  view: { min: number; max: number };
  colours: ChartColours;
  select(extent: { min: number; max: number }): void;
  setCursor(cursor: FrameCursor | undefined): void;
}

/** Keeps the frame of a plot, and shows the scene of the present data and view in it. */
function useFrame(input: FrameInput): { frame: { current: PlotFrame | null }; scene: { current: Scene | undefined } } {
  const frame = useRef<PlotFrame | null>(null);
  const scene = useRef<Scene | undefined>(undefined);
  const latest = useRef(input);
  latest.current = input;
  const { host, size, data, settings, moments, shown, view, colours } = input;
  const [painted, setPainted] = useState(0);
  useEffect(() => {
    if (host.current === null || size === undefined || size.width < 40 || size.height < 40) {
      return;
    }
    if (frame.current?.isCurrent === false) {
      frame.current.destroy();
      frame.current = null;
    }
    if (frame.current === null) {
      frame.current = newFrame(host.current, size, latest, scene);
    } else {
      frame.current.resize(size);
    }
    const { width, height } = frame.current.size;
    const sceneInput = { data, shown, view, width, height, settings };
    scene.current = withGuides(withFixedEnds(buildScene(sceneInput), sceneInput), data, settings, moments);
    frame.current.show(scene.current, view);
    // The legend of a heat map and the place of the tooltip depend on what was painted.
    setPainted(painted + 1);
  }, [size, data, settings, moments, shown, view.min, view.max, colours, zone.value]);
  useEffect(
    () => () => {
      frame.current?.destroy();
      frame.current = null;
    },
    [],
  );
  return { frame, scene };
}

function newFrame(
  host: HTMLDivElement,
  size: { width: number; height: number },
  latest: { current: FrameInput },
  scene: { current: Scene | undefined },
): PlotFrame {
  const state = () => ({
    data: latest.current.data,
    settings: latest.current.settings,
    colours: latest.current.colours,
    rows: scene.current?.rows,
  });
  return new PlotFrame(host, size, state, {
    onCursor: (cursor) => latest.current.setCursor(cursor),
    onSelect: (extent) => latest.current.select(extent),
  });
}

/** What a key does: it changes the view (`undefined`: shows all), or moves the cursor. */
type KeyAction = { view: { min: number; max: number } | undefined } | { cursor: number };

interface PlottedState {
  data: ChartData;
  shown: IndexedSeries[];
  view: { min: number; max: number };
  cursor: FrameCursor | undefined;
  isZoomed: boolean;
}

function keyAction(event: KeyboardEvent, state: PlottedState): KeyAction | undefined {
  const { data, shown, view, cursor, isZoomed } = state;
  if (event.ctrlKey || event.metaKey || event.altKey) {
    return undefined;
  }
  const middle = (view.min + view.max) / 2;
  const at = cursor?.x ?? middle;
  const step = (view.max - view.min) / 200;
  switch (event.key) {
    case "ArrowLeft":
      return event.shiftKey ? { view: pan(view, -0.25) } : { cursor: stepPoint(shown, at, -1, step) };
    case "ArrowRight":
      return event.shiftKey ? { view: pan(view, 0.25) } : { cursor: stepPoint(shown, at, 1, step) };
    case "Home":
      return { cursor: Math.max(view.min, data.extent.min) };
    case "End":
      return { cursor: Math.min(view.max, data.extent.max) };
    case "+":
    case "=":
      return { view: zoomAround(view, at, 0.5) };
    case "-":
      return { view: zoomAround(view, at, 2) };
    case "0":
      return { view: undefined };
    case "Escape":
      return isZoomed ? { view: undefined } : undefined;
    default:
      return undefined;
  }
}

/** The range that is zoomed to, and what can be done with it. */
function ZoomBar(props: {
  data: ChartData;
  extent: { min: number; max: number };
  onBrush?: ((from: bigint, to: bigint) => void) | undefined;
  onReset(): void;
}): JSX.Element {
  const { data, extent, onBrush, onReset } = props;
  const span = extent.max - extent.min;
  return (
    <div class="zoom-bar" role="group" aria-label="Zoom">
      <span class="zoom-text">
        {formatX(data, extent.min, span)} – {formatX(data, extent.max, span)}
      </span>
      {onBrush && data.axis === "time" && (
        <Button
          kind="quiet"
          icon="clock"
          onClick={() => {
            const { from, to } = toRange(data, extent);
            onReset();
            onBrush(from, to);
          }}
        >
          Query this range
        </Button>
      )}
      <Button kind="quiet" icon="undo" onClick={onReset}>
        Show all
      </Button>
    </div>
  );
}
