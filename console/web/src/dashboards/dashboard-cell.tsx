/** A cell of a dashboard: runs its query and shows the chart. */

import type { ComponentChildren, JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { formatValue, type QueryResult } from "../api/query";
import { may } from "../api/session";
import type { Moment } from "../chart/guides";
import { ResultChart } from "../chart/result-chart";
import { link, navigate } from "../router";
import { Dialog, EmptyState, ErrorNote, Menu, type MenuItem, Spinner, VirtualTable } from "../ui";
import type { ChartRoom } from "./chart-runs";
import type { Cell } from "./dashboard";
import type { DashboardGridProps } from "./dashboard-grid";
import { setNsRange } from "./page-state";
import { type CellQuery, useQuery } from "./use-query";

/** The properties of a cell. */
export interface DashboardCellProps extends DashboardGridProps {
  cell: Cell;
  /** What moves the cell. */
  handle: ComponentChildren;
}

/** A cell: its title, its actions, and the result of its query. */
export function DashboardCell(props: DashboardCellProps): JSX.Element {
  const { cell, database, parameters, tick, handle } = props;
  const body = useRef<HTMLDivElement>(null);
  const isSeen = useSeen(body);
  const picture = useRef<(() => void) | undefined>(undefined);
  const [isLarge, setLarge] = useState(false);
  const query = cell.view !== "note" && isSeen ? queryOf(cell, database, parameters) : undefined;
  const room = cell.view === "chart" ? chartRoom(props, isLarge ? null : body.current) : undefined;
  const { isLoading, result, error } = useQuery(query, tick, room);
  return (
    <>
      <header class="cell-head">
        {handle}
        <h2 class="cell-title" title={cell.title}>
          <bdi>{cell.title}</bdi>
        </h2>
        {isLoading && <Spinner />}
        <Menu
          label={`Actions of ${cell.title || "the cell"}`}
          isIconOnly
          kind="quiet"
          items={cellActions(
            props,
            () => picture.current?.(),
            () => setLarge(true),
          )}
        />
      </header>
      <div class="cell-body" ref={body} aria-busy={isLoading}>
        {error !== undefined && <ErrorNote error={error} />}
        <CellContent cell={cell} result={result} range={props.range} moments={props.moments} pictureRef={picture} />
      </div>
      {isLarge && (
        <Dialog title={cell.title || "Cell"} size="large" onClose={() => setLarge(false)}>
          <div class="cell-large">
            <CellContent cell={cell} result={result} range={props.range} moments={props.moments} />
          </div>
        </Dialog>
      )}
    </>
  );
}

/** Returns what the chart of a cell can show in its element, or in the whole window. */
function chartRoom({ cell, range }: DashboardCellProps, element: HTMLElement | null): ChartRoom {
  const width = element?.clientWidth || window.innerWidth;
  return { settings: cell.chart, pixels: Math.ceil(width * window.devicePixelRatio), range };
}

function queryOf(cell: Cell, database: string, parameters: Record<string, unknown>): CellQuery {
  return { database: cell.database || database, text: cell.query, language: cell.language, parameters };
}

/** Returns whether an element was visible at any time. */
function useSeen(element: { current: HTMLElement | null }): boolean {
  const [isSeen, setSeen] = useState(false);
  useEffect(() => {
    if (element.current === null || isSeen) {
      return undefined;
    }
    const observer = new IntersectionObserver(
      (entries) => {
        if (entries.some((entry) => entry.isIntersecting)) {
          setSeen(true);
        }
      },
      { rootMargin: "200px" },
    );
    observer.observe(element.current);
    return () => observer.disconnect();
  }, [isSeen]);
  return isSeen;
}

function cellActions(props: DashboardCellProps, savePicture: () => void, enlarge: () => void): MenuItem[] {
  const { cell, database, isEditing, onEdit, onDuplicate, onRemove } = props;
  const items: MenuItem[] = [];
  if (cell.view !== "note") {
    items.push({ label: "Enlarge", icon: "fullscreen", onSelect: enlarge });
    items.push({
      label: "Open in Explore",
      icon: "explore",
      onSelect: () => navigate(exploreLink(props)),
    });
  }
  if (cell.view === "chart") {
    items.push({ label: "Save as PNG", icon: "download", onSelect: savePicture });
  }
  if (isEditing && may("write", database)) {
    items.push(
      { label: "Edit", icon: "edit", onSelect: () => onEdit(cell) },
      { label: "Duplicate", icon: "copy", onSelect: () => onDuplicate(cell) },
      { label: "Remove", icon: "trash", isDangerous: true, onSelect: () => onRemove(cell) },
    );
  }
  return items;
}

/** Returns the place of Explore with the query and the time range of a cell. */
function exploreLink({ cell, database, parameters }: DashboardCellProps): string {
  return link("explore", {
    db: cell.database || database,
    q: cell.query,
    lang: cell.language === "sql" ? undefined : cell.language,
    from: String(parameters.from),
    to: String(parameters.to),
  });
}

/** What a cell shows. */
export function CellContent(props: {
  cell: Cell;
  result: QueryResult | undefined;
  range: { from: bigint; to: bigint } | undefined;
  moments?: readonly Moment[];
  pictureRef?: { current: (() => void) | undefined };
}): JSX.Element | null {
  const { cell, result, range, moments, pictureRef } = props;
  if (cell.view === "note") {
    return <p class="cell-note">{cell.note || "An empty note."}</p>;
  }
  if (cell.query.trim() === "") {
    return (
      <EmptyState icon="edit" title="No query">
        <p>Edit the cell to write one.</p>
      </EmptyState>
    );
  }
  if (result === undefined) {
    return null;
  }
  if (cell.view === "table") {
    return <ResultTable result={result} label={cell.title || "Rows"} />;
  }
  return (
    <ResultChart
      result={result}
      settings={cell.chart}
      onBrush={setNsRange}
      brushesAtOnce
      range={range}
      moments={moments}
      title={cell.title || undefined}
      pictureRef={pictureRef}
    />
  );
}

function ResultTable({ result, label }: { result: QueryResult; label: string }): JSX.Element {
  const { columns } = result;
  return (
    <VirtualTable
      label={label}
      columns={columns.map(({ name, kind }) => ({
        name,
        align: kind === "number" || kind === "integer" ? ("end" as const) : ("start" as const),
      }))}
      rows={result.rows}
      get={(row, index) => {
        const column = columns[index];
        const value = column?.get(row) ?? null;
        return column === undefined || value === null ? null : formatValue(column, value);
      }}
    />
  );
}
