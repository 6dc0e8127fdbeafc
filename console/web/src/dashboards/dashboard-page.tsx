/** One dashboard: reads it, edits it, and stores it. */

import type { JSX } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import { messageOf } from "../api/client";
import { may } from "../api/session";
import { isLostServer, useOnReturn } from "../api/use-loaded";
import { fileName, saveFile } from "../chart/save-file";
import { link, navigate, route } from "../router";
import { endTv, isTv, useTvEnd } from "../shell/tv-mode";
import { resolveRange } from "../time/range";
import { Button, ConfirmDialog, EmptyState, ErrorNote, IconButton, notify, Spinner } from "../ui";
import { useAnnotations } from "./annotations";
import { AnnotationsDialog } from "./annotations-dialog";
import { CellEditor } from "./cell-editor";
import { ConflictDialog } from "./conflict-dialog";
import { type Cell, type Dashboard, newCellId } from "./dashboard";
import { DashboardGrid } from "./dashboard-grid";
import { DashboardHeader } from "./dashboard-header";
import {
  change,
  forget,
  NEW_ID,
  type OpenDashboard,
  openDashboard,
  openDashboards,
  openKey,
  remove,
  save,
  saveCopy,
} from "./dashboard-store";
import { freePlace } from "./layout";
import { usePageCommands } from "./page-commands";
import { currentRange, currentRefresh } from "./page-state";
import { useRefresh } from "./use-refresh";
import type { formatDashboardFile } from "./validate";
import { VariableBar } from "./variable-bar";
import { queryParameters, valuesFromUrl } from "./variables";
import { VariablesDialog } from "./variables-dialog";

/** A dashboard. */
export function DashboardPage({ database, id }: { database: string; id: string }): JSX.Element {
  const [error, setError] = useState<unknown>();
  const open = openDashboards.value.get(openKey(database, id));
  const load = (): void => {
    setError(undefined);
    openDashboard(database, id).catch(setError);
  };
  useEffect(load, [database, id]);
  useOnReturn(isLostServer(error), load);
  if (error !== undefined) {
    return (
      <div class="dashboards">
        <ErrorNote title="The dashboard can't be opened" error={error} onRetry={load} />
        <p>
          <a href={link("dashboards")}>All dashboards of this database</a>
        </p>
      </div>
    );
  }
  return open === undefined ? <Spinner label="Loading the dashboard" /> : <OpenPage open={open} />;
}

/** The dialogs of a page. */
type PageDialog =
  | { kind: "cell"; cell: Cell }
  | { kind: "variables" }
  | { kind: "annotations" }
  | { kind: "delete" }
  | { kind: "discard" }
  | { kind: "conflict"; theirs: OpenDashboard | undefined };

function OpenPage({ open }: { open: OpenDashboard }): JSX.Element {
  const { dashboard, database } = open;
  const mayWrite = may("write", database);
  const [isEditing, setEditing] = useState((open.id === NEW_ID || open.isChanged) && mayWrite);
  const [dialog, setDialog] = useState<PageDialog>();
  const [isSaving, setSaving] = useState(false);
  const params = route.value.params;
  const range = currentRange(dashboard, params);
  const refreshSeconds = currentRefresh(dashboard, params);
  const { tick, nowMs, refresh } = useRefresh(refreshSeconds, database);
  const values = useMemo(() => valuesFromUrl(dashboard.variables, params), [dashboard.variables, params]);
  const parameters = queryParameters(dashboard, range, values, nowMs);
  const { fromMs, toMs } = resolveRange(range, nowMs);
  const annotations = useAnnotations({ database, text: dashboard.annotations, parameters }, tick);
  useTvEnd();
  useLeaveWarning(open.isChanged);
  const edit = (part: Partial<Dashboard>): void => change(open, { dashboard: { ...dashboard, ...part } });
  const store = async (version?: number): Promise<void> => {
    setSaving(true);
    try {
      const outcome = await save(open, version);
      if (outcome.kind === "conflict") {
        setDialog({ kind: "conflict", theirs: outcome.theirs });
      } else {
        setDialog(undefined);
        setEditing(false);
        notify("success", `Saved as version ${outcome.open.version}.`);
        if (open.id === NEW_ID) {
          navigate(link("dashboards", Object.fromEntries(params), [outcome.open.id]));
        }
      }
    } catch (failure) {
      notify("error", `The dashboard was not saved: ${messageOf(failure)}`);
    } finally {
      setSaving(false);
    }
  };
  const copy = async (name: string): Promise<void> => {
    try {
      const saved = await saveCopy(database, name, dashboard);
      notify("success", `Saved as \u2068${saved.name}\u2069.`);
      navigate(link("dashboards", {}, [saved.id]));
    } catch (failure) {
      notify("error", `The copy was not saved: ${messageOf(failure)}`);
    }
  };
  const reload = async (): Promise<void> => {
    if (open.id === NEW_ID) {
      forget(open);
      navigate(link("dashboards"));
      return;
    }
    await openDashboard(database, open.id, true);
    setEditing(false);
  };
  const removeCell = (cell: Cell): void => {
    edit({ cells: dashboard.cells.filter(({ id }) => id !== cell.id) });
    notify("info", "The cell was removed.", () => restoreCell(open, cell));
  };
  const addCell = (): void => {
    setEditing(true);
    setDialog({ kind: "cell", cell: emptyCell(dashboard) });
  };
  usePageCommands(
    {
      refresh,
      edit: () => setEditing(true),
      addCell,
      save: () => {
        if (open.isChanged && !isSaving) {
          void store();
        }
      },
    },
    mayWrite,
  );
  return (
    <div class={isTv.value ? "dashboards dashboard-page dashboard-tv" : "dashboards dashboard-page"}>
      {isTv.value && (
        <div class="tv-end">
          <h1 class="visually-hidden">{open.name}</h1>
          <IconButton icon="close" label="Leave TV mode" kind="plain" onClick={endTv} />
        </div>
      )}
      {!isTv.value && (
        <DashboardHeader
          open={open}
          isEditing={isEditing}
          isSaving={isSaving}
          mayWrite={mayWrite}
          range={range}
          refreshSeconds={refreshSeconds}
          onName={(name) => change(open, { name })}
          onEdit={() => setEditing(true)}
          onStopEditing={() => setEditing(false)}
          onDiscard={() => setDialog({ kind: "discard" })}
          onSave={() => void store()}
          onCopy={() => void copy(`${open.name} (copy)`.slice(0, 120))}
          onDelete={() => setDialog({ kind: "delete" })}
          onExport={(format) => exportFile(open, format)}
          onRefresh={refresh}
          onAddCell={addCell}
          onAddNote={() => edit({ cells: [...dashboard.cells, { ...emptyCell(dashboard, 4, 3), view: "note" }] })}
          onVariables={() => setDialog({ kind: "variables" })}
          onAnnotations={() => setDialog({ kind: "annotations" })}
          onKeepView={() => edit({ range, refreshSeconds, variables: withInitial(dashboard, values) })}
        />
      )}
      {annotations.error !== undefined && <ErrorNote title="The annotations can't be read" error={annotations.error} />}
      {!isTv.value && dashboard.variables.length > 0 && (
        <VariableBar database={database} variables={dashboard.variables} values={values} range={range} tick={tick} />
      )}
      {dashboard.cells.length === 0 ? (
        <NoCells isEditing={isEditing} onAdd={addCell} />
      ) : (
        <DashboardGrid
          database={database}
          cells={dashboard.cells}
          isEditing={isEditing && !isTv.value}
          parameters={parameters}
          range={nsRange(fromMs, toMs)}
          moments={annotations.moments}
          tick={tick}
          onCells={(cells) => edit({ cells })}
          onEdit={(cell) => setDialog({ kind: "cell", cell })}
          onRemove={removeCell}
          onDuplicate={(cell) => edit({ cells: [...dashboard.cells, duplicate(dashboard, cell)] })}
        />
      )}
      <PageDialogs
        open={open}
        dialog={dialog}
        parameters={parameters}
        range={nsRange(fromMs, toMs)}
        onClose={() => setDialog(undefined)}
        onCell={(cell) => {
          edit({ cells: withCell(dashboard.cells, cell) });
          setDialog(undefined);
        }}
        onDashboard={edit}
        onReload={reload}
        onOverwrite={(version) => void store(version)}
        onCopy={(name) => {
          setDialog(undefined);
          void copy(name);
        }}
      />
    </div>
  );
}

function PageDialogs(props: {
  open: OpenDashboard;
  dialog: PageDialog | undefined;
  parameters: Record<string, unknown>;
  range: { from: bigint; to: bigint } | undefined;
  onClose(): void;
  onCell(cell: Cell): void;
  onDashboard(part: Partial<Dashboard>): void;
  onReload(): Promise<void>;
  onOverwrite(version: number): void;
  onCopy(name: string): void;
}): JSX.Element | null {
  const { open, dialog, onClose } = props;
  switch (dialog?.kind) {
    case "cell":
      return (
        <CellEditor
          cell={dialog.cell}
          database={open.database}
          parameters={props.parameters}
          range={props.range}
          onSave={props.onCell}
          onClose={onClose}
        />
      );
    case "variables":
      return (
        <VariablesDialog
          database={open.database}
          variables={open.dashboard.variables}
          onSave={(variables) => {
            props.onDashboard({ variables });
            onClose();
          }}
          onClose={onClose}
        />
      );
    case "annotations":
      return (
        <AnnotationsDialog
          annotations={open.dashboard.annotations}
          onSave={(annotations) => {
            props.onDashboard({ annotations });
            onClose();
          }}
          onClose={onClose}
        />
      );
    case "delete":
      return (
        <ConfirmDialog
          title="Delete the dashboard"
          action="Delete dashboard"
          typeToConfirm={open.name}
          onConfirm={() => removeDashboard(open)}
          onClose={onClose}
        >
          <p>All users of the database lose this dashboard. The data stay.</p>
        </ConfirmDialog>
      );
    case "discard":
      return (
        <ConfirmDialog
          title="Discard the changes"
          action="Discard changes"
          onConfirm={props.onReload}
          onClose={onClose}
        >
          <p>The dashboard becomes what was saved last.</p>
        </ConfirmDialog>
      );
    case "conflict":
      return (
        <ConflictDialog
          mine={open}
          theirs={dialog.theirs}
          onReload={async () => {
            await props.onReload();
            onClose();
          }}
          onOverwrite={props.onOverwrite}
          onCopy={props.onCopy}
          onClose={onClose}
        />
      );
    default:
      return null;
  }
}

async function removeDashboard(open: OpenDashboard): Promise<void> {
  if (open.id !== NEW_ID) {
    await remove(open.database, open.id, open.version);
  }
  forget(open);
  navigate(link("dashboards"));
  notify("info", "The dashboard was deleted.", () => {
    saveCopy(open.database, open.name, open.dashboard).then(
      (saved) => navigate(link("dashboards", {}, [saved.id])),
      (error) => notify("error", `The dashboard was not restored: ${messageOf(error)}`),
    );
  });
}

/** Puts a cell back into the present version of a dashboard. */
function restoreCell({ database, id }: OpenDashboard, cell: Cell): void {
  const present = openDashboards.peek().get(openKey(database, id));
  if (present !== undefined) {
    change(present, { dashboard: { ...present.dashboard, cells: withCell(present.dashboard.cells, cell) } });
  }
}

function withCell(cells: readonly Cell[], cell: Cell): Cell[] {
  const isKnown = cells.some(({ id }) => id === cell.id);
  return isKnown ? cells.map((one) => (one.id === cell.id ? cell : one)) : [...cells, cell];
}

function emptyCell({ cells }: Dashboard, width = 6, height = 5): Cell {
  return {
    id: newCellId(cells),
    title: "",
    view: "chart",
    place: freePlace(cells, width, height),
    database: "",
    language: "sql",
    query: "",
    chart: { kind: "line" },
    note: "",
  };
}

function duplicate({ cells }: Dashboard, cell: Cell): Cell {
  const { width, height } = cell.place;
  return { ...cell, id: newCellId(cells), place: freePlace(cells, width, height) };
}

/** Returns the variables with the present values as those at the start. */
function withInitial({ variables }: Dashboard, values: ReadonlyMap<string, string | null>): Dashboard["variables"] {
  return variables.map((variable) => ({ ...variable, initial: values.get(variable.name) ?? null }));
}

function exportFile({ name, dashboard }: OpenDashboard, format: typeof formatDashboardFile): void {
  const blob = new Blob([format({ name, dashboard })], { type: "application/json" });
  saveFile(blob, fileName(name, "json"));
}

function nsRange(fromMs: number | undefined, toMs: number | undefined): { from: bigint; to: bigint } | undefined {
  if (fromMs === undefined || toMs === undefined) {
    return undefined;
  }
  return { from: BigInt(Math.round(fromMs)) * 1_000_000n, to: BigInt(Math.round(toMs)) * 1_000_000n };
}

/** Asks before the page is closed with changes that are not saved. */
function useLeaveWarning(isChanged: boolean): void {
  useEffect(() => {
    if (!isChanged) {
      return undefined;
    }
    const warn = (event: BeforeUnloadEvent): void => event.preventDefault();
    window.addEventListener("beforeunload", warn);
    return () => window.removeEventListener("beforeunload", warn);
  }, [isChanged]);
}

function NoCells({ isEditing, onAdd }: { isEditing: boolean; onAdd(): void }): JSX.Element {
  return (
    <EmptyState icon="dashboard" title="No cells yet">
      <p>A cell shows the result of a query as a chart or a table.</p>
      {isEditing && (
        <Button kind="primary" icon="add" onClick={onAdd}>
          Add a cell
        </Button>
      )}
    </EmptyState>
  );
}
