/** Dashboards for tests: files to import, and data that they show. */
import type { Page } from "playwright-core";
import type { Server } from "./server";

/** A cell of a file; what is absent has a usual value. */
export interface TestCell {
  title: string;
  query: string;
  chart?: Record<string, unknown>;
  view?: "chart" | "table" | "note";
  language?: "sql" | "influxql";
  note?: string;
  place?: { x: number; y: number; width: number; height: number };
}

/** Returns the text of the file of a dashboard. */
export function dashboardFile(name: string, cells: TestCell[], more: Record<string, unknown> = {}): string {
  const placed = cells.map((cell, index) => ({
    id: `c${index}`,
    view: "chart",
    language: "sql",
    chart: { kind: "line" },
    place: { x: (index % 2) * 6, y: Math.floor(index / 2) * 5, width: 6, height: 5 },
    ...cell,
  }));
  const dashboard = { cells: placed, variables: [], range: RANGE, refreshSeconds: 0, ...more };
  return JSON.stringify({ format: "neap-dashboard", version: 1, name, dashboard });
}

/** The day of the data that `writeClimate` writes. */
export const DAY = "2026-03-01";
export const RANGE = { from: `${DAY}T00:00:00Z`, to: "2026-03-02T00:00:00Z" };

/** Rooms of the data. */
export const ROOMS = ["Attic", "Cellar", "Kitchen", "Office"];

/** Writes a day of temperatures of four rooms, one for each minute, without those from 06:00 to 08:00 of the Attic. */
export async function writeClimate(server: Server, database: string): Promise<void> {
  const start = Date.parse(`${DAY}T00:00:00Z`);
  const lines: string[] = [];
  for (let minute = 0; minute < 24 * 60; minute += 1) {
    const time = BigInt(start + minute * 60_000) * 1_000_000n;
    ROOMS.forEach((room, index) => {
      if (room === "Attic" && minute >= 360 && minute < 480) {
        return;
      }
      const wave = Math.sin((minute / 1440) * 2 * Math.PI + index) * (3 + index);
      const temperature = 18 + index + wave + ((minute * 7919 + index * 31) % 100) / 100;
      const memory = 1_000_000 * (index + 1) * (1 + minute);
      lines.push(`climate,room=${room} temperature=${temperature.toFixed(2)},memory=${memory}i ${time}`);
    });
  }
  await server.write(database, lines.join("\n"));
}

/** Imports a dashboard, without saving it. */
export async function importDashboard(page: Page, text: string): Promise<void> {
  await page.getByLabel(/^File of a dashboard/).setInputFiles({
    name: "dashboard.json",
    mimeType: "application/json",
    buffer: Buffer.from(text),
  });
}

/** Returns whether any pixel of a canvas has a colour that its corner does not have. */
export async function isPainted(page: Page, cell: string): Promise<boolean> {
  const canvas = page.getByRole("article", { name: cell, exact: true }).locator("canvas");
  return canvas.evaluate((element) => {
    const target = element as HTMLCanvasElement;
    const pixels =
      target.getContext("2d")?.getImageData(0, 0, target.width, target.height).data ?? new Uint8ClampedArray();
    let coloured = 0;
    for (let i = 0; i < pixels.length; i += 4) {
      const [red = 0, green = 0, blue = 0, alpha = 0] = pixels.subarray(i, i + 4);
      const isGrey = Math.max(red, green, blue) - Math.min(red, green, blue) < 40;
      coloured += alpha > 100 && !isGrey ? 1 : 0;
    }
    return coloured > 100;
  });
}
