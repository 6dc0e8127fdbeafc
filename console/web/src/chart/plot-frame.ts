// The frame of a chart: axes, cursor and selection of uPlot around a scene that this module paints.

import uPlot from "uplot";
import { type AxisState, chartAxes, chartPadding } from "./axes";
import type { Extent } from "./number-ticks";
import type { PlotArea, Scene } from "./scene";

/** What a frame reports. */
export interface FrameEvents {
  /** The place of the pointer, as values of both axes, and in CSS pixels of the plot. `undefined`: it left. */
  onCursor(cursor: FrameCursor | undefined): void;
  /** The extent that was selected by dragging. */
  onSelect(extent: Extent): void;
}

/** A place in a plot. */
export interface FrameCursor {
  x: number;
  y: number;
  left: number;
  top: number;
}

/** The least width of a selection, in CSS pixels. */
const MIN_SELECTION = 5;

/** A chart on the page. */
export class PlotFrame {
  private readonly plot: uPlot;
  private isFollowing = false;
  private scene: Scene | undefined;
  private view: Extent = { min: 0, max: 1 };
  private isLogarithmic: boolean;

  constructor(
    host: HTMLElement,
    private dimensions: { width: number; height: number },
    private readonly state: () => AxisState,
    private readonly events: FrameEvents,
  ) {
    this.isLogarithmic = isLogarithmic(state());
    const fontSize = Number.parseFloat(getComputedStyle(host).fontSize) || 12;
    this.plot = new uPlot(this.options(fontSize), [[0, 1] as number[], [0, 1] as number[]], host);
  }

  /** The size of the plot without its axes, in device pixels. */
  get size(): { width: number; height: number } {
    const { width, height } = this.plot.bbox;
    return { width: Math.max(1, Math.round(width)), height: Math.max(1, Math.round(height)) };
  }

  /** The canvas with the plot and its axes. */
  get canvas(): HTMLCanvasElement {
    return this.plot.ctx.canvas;
  }

  /** Whether the frame's vertical axis is the one that the settings want. If not, it must be made anew. */
  get isCurrent(): boolean {
    return this.isLogarithmic === isLogarithmic(this.state());
  }

  /** Shows a scene. */
  show(scene: Scene, view: Extent): void {
    this.scene = scene;
    this.view = view;
    this.plot.batch(() => {
      this.plot.setScale("x", view);
      this.plot.setScale("y", scene.extent);
    });
    this.plot.redraw(false, true);
  }

  /** Changes the size of the chart, in CSS pixels. */
  resize(dimensions: { width: number; height: number }): void {
    if (dimensions !== this.dimensions) {
      this.dimensions = dimensions;
      this.plot.setSize(dimensions);
    }
  }

  /** Shows where the cursor of another chart is, without reading values. */
  followCursor(x: number | undefined): void {
    this.isFollowing = true;
    this.moveCursor(x);
    this.isFollowing = false;
  }

  /** Moves the cursor to a value of the horizontal axis; hides it without one. */
  moveCursor(x: number | undefined): void {
    const left = x === undefined ? -10 : this.plot.valToPos(x, "x");
    this.plot.setCursor({ left, top: x === undefined ? -10 : this.plot.over.clientHeight / 2 });
  }

  /** Returns the place of a value of the vertical axis, in CSS pixels of the plot. */
  top(value: number): number {
    return this.plot.valToPos(value, "y");
  }

  /** The element over the plot without its axes. */
  get over(): HTMLElement {
    return this.plot.over;
  }

  destroy(): void {
    this.plot.destroy();
  }

  private options(fontSize: number): uPlot.Options {
    return {
      ...this.dimensions,
      legend: { show: false },
      scales: {
        x: { time: false, range: (_plot, min, max) => [min ?? 0, max ?? 1] },
        y: { distr: this.isLogarithmic ? 3 : 1, range: (_plot, min, max) => [min ?? 0, max ?? 1] },
      },
      padding: chartPadding(fontSize),
      axes: chartAxes(this.state, fontSize),
      series: [{}, { scale: "y", paths: () => null, points: { show: false } }],
      cursor: {
        y: false,
        points: { show: false },
        drag: { x: true, y: false, setScale: false, dist: MIN_SELECTION },
        bind: { dblclick: () => () => null },
      },
      hooks: {
        drawAxes: [() => this.paint()],
        setCursor: [() => this.reportCursor()],
        setSelect: [() => this.reportSelection()],
      },
    };
  }

  private paint(): void {
    if (this.scene === undefined) {
      return;
    }
    const { ctx, bbox } = this.plot;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    this.scene.paint(this.area(ctx));
    ctx.restore();
  }

  private area(context: CanvasRenderingContext2D): PlotArea {
    const { left, top, width, height } = this.plot.bbox;
    const { min, max } = this.view;
    const perX = width / (max - min);
    const { min: low = 0, max: high = 1 } = this.plot.scales.y ?? {};
    const place = this.isLogarithmic ? Math.log10 : (value: number): number => value;
    const bottom = place(low ?? 0);
    const perY = height / (place(high ?? 1) - bottom);
    return {
      context,
      left,
      top,
      width,
      height,
      ratio: uPlot.pxRatio,
      colours: this.state().colours,
      x: (value) => left + (value - min) * perX,
      y: (value) => {
        const y = top + height - (place(value) - bottom) * perY;
        return Number.isFinite(y) ? y : Number.NaN;
      },
    };
  }

  private reportCursor(): void {
    if (this.isFollowing) {
      return;
    }
    const { left = -1, top = -1 } = this.plot.cursor;
    if (left < 0 || top < 0) {
      this.events.onCursor(undefined);
      return;
    }
    this.events.onCursor({ x: this.plot.posToVal(left, "x"), y: this.plot.posToVal(top, "y"), left, top });
  }

  private reportSelection(): void {
    const { left, width } = this.plot.select;
    if (width < MIN_SELECTION) {
      return;
    }
    this.plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.events.onSelect({ min: this.plot.posToVal(left, "x"), max: this.plot.posToVal(left + width, "x") });
  }
}

function isLogarithmic({ settings }: AxisState): boolean {
  return settings.logarithmic === true && settings.kind !== "heatmap";
}
