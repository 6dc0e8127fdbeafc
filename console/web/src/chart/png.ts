// Charts as PNG files.

import type { ChartColours } from "./palette";

/** An entry of the legend in a picture. */
export interface PictureEntry {
  label: string;
  colour: string;
}

/** A picture of a chart. */
export interface Picture {
  title: string | undefined;
  /** The canvas of the plot; absent for charts without one. */
  canvas?: HTMLCanvasElement;
  /** Large texts in place of a canvas. */
  texts?: { label: string; value: string; colour: string }[];
  entries: PictureEntry[];
  colours: ChartColours;
}

/** Sizes of a picture, in CSS pixels. */
const MARGIN = 16;
const TITLE_HEIGHT = 28;
const ENTRY_HEIGHT = 20;
const TEXT_HEIGHT = 84;
const TEXT_WIDTH = 260;

/** Entries of the legend in a picture at most. */
const MAX_ENTRIES = 60;

const FONT = 'system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif';

/** Returns a PNG of a picture. */
export async function pictureBlob(picture: Picture): Promise<Blob> {
  const ratio = Math.max(1, window.devicePixelRatio);
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("2d");
  if (context === null) {
    throw new Error("The browser has no canvas.");
  }
  const texts = picture.texts ?? [];
  const perRow = Math.max(1, Math.min(4, texts.length));
  const plotWidth = picture.canvas ? picture.canvas.width / ratio : perRow * TEXT_WIDTH;
  const plotHeight = picture.canvas ? picture.canvas.height / ratio : Math.ceil(texts.length / perRow) * TEXT_HEIGHT;
  const rows = legendRows(context, picture.entries.slice(0, MAX_ENTRIES), plotWidth);
  const titleHeight = picture.title ? TITLE_HEIGHT : 0;
  const width = plotWidth + 2 * MARGIN;
  const height = titleHeight + plotHeight + rows.length * ENTRY_HEIGHT + 2 * MARGIN;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  context.scale(ratio, ratio);
  context.fillStyle = picture.colours.background;
  context.fillRect(0, 0, width, height);
  drawTitle(context, picture);
  if (picture.canvas) {
    context.drawImage(picture.canvas, MARGIN, MARGIN + titleHeight, plotWidth, plotHeight);
  }
  drawTexts(context, picture, texts, perRow, MARGIN + titleHeight);
  drawLegend(context, picture, rows, MARGIN + titleHeight + plotHeight);
  return toBlob(canvas);
}

function toBlob(canvas: HTMLCanvasElement): Promise<Blob> {
  return new Promise((resolve, reject) => {
    canvas.toBlob((blob) => {
      if (blob === null) {
        reject(new Error("The browser can't write the picture."));
      } else {
        resolve(blob);
      }
    }, "image/png");
  });
}

function drawTitle(context: CanvasRenderingContext2D, { title, colours }: Picture): void {
  if (title) {
    context.fillStyle = colours.text;
    context.font = `600 16px ${FONT}`;
    context.textBaseline = "top";
    context.fillText(title.slice(0, 200), MARGIN, MARGIN);
  }
}

function drawTexts(
  context: CanvasRenderingContext2D,
  { colours }: Picture,
  texts: { label: string; value: string; colour: string }[],
  perRow: number,
  top: number,
): void {
  context.textBaseline = "top";
  texts.forEach(({ label, value, colour }, index) => {
    const x = MARGIN + (index % perRow) * TEXT_WIDTH;
    const y = top + Math.floor(index / perRow) * TEXT_HEIGHT;
    context.fillStyle = colours.muted;
    context.font = `13px ${FONT}`;
    context.fillText(label.slice(0, 60), x, y, TEXT_WIDTH - 12);
    context.fillStyle = colour;
    context.font = `600 34px ${FONT}`;
    context.fillText(value, x, y + 20, TEXT_WIDTH - 12);
  });
}

interface PlacedEntry extends PictureEntry {
  x: number;
}

function legendRows(context: CanvasRenderingContext2D, entries: PictureEntry[], width: number): PlacedEntry[][] {
  context.font = `12px ${FONT}`;
  const rows: PlacedEntry[][] = [];
  let x = width;
  for (const entry of entries) {
    const label = entry.label.slice(0, 60);
    const needed = context.measureText(label).width + 36;
    if (x + needed > width) {
      rows.push([]);
      x = 0;
    }
    rows[rows.length - 1]?.push({ label, colour: entry.colour, x });
    x += needed;
  }
  return rows;
}

function drawLegend(context: CanvasRenderingContext2D, { colours }: Picture, rows: PlacedEntry[][], top: number): void {
  context.font = `12px ${FONT}`;
  context.textBaseline = "middle";
  rows.forEach((row, index) => {
    const y = top + index * ENTRY_HEIGHT + ENTRY_HEIGHT / 2;
    for (const { label, colour, x } of row) {
      context.fillStyle = colour;
      context.fillRect(MARGIN + x, y - 5, 14, 10);
      context.fillStyle = colours.text;
      context.fillText(label, MARGIN + x + 20, y);
    }
  });
}
