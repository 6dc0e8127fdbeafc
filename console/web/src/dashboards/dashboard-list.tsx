/** The list of dashboards of a database. */

import type { JSX } from "preact";
import { useRef } from "preact/hooks";
import { messageOf } from "../api/client";
import type { DocumentHead } from "../api/documents";
import { listTables } from "../api/schema";
import { may } from "../api/session";
import { useLoaded } from "../api/use-loaded";
import { link, navigate } from "../router";
import { formatAnswerTime, zone } from "../time/zone";
import { Button, EmptyState, ErrorNote, notify, Spinner } from "../ui";
import { emptyDashboard } from "./dashboard";
import { listDashboards, NEW_ID, openNew } from "./dashboard-store";
import { MAX_FILE_BYTES, readFile } from "./import-file";
import { newestTime, rangeWithData, starterDashboard } from "./starter";

/** The dashboards of a database. */
export function DashboardList({ database }: { database: string }): JSX.Element {
  const { value: dashboards, error, reload } = useLoaded(database, () => listDashboards(database));
  const mayWrite = may("write", database);
  const open = (name: string, dashboard = emptyDashboard()): void => {
    openNew(database, name, dashboard);
    navigate(link("dashboards", {}, [NEW_ID]));
  };
  const openStarter = async (): Promise<void> => {
    try {
      const tables = await listTables(database);
      const range = rangeWithData(await newestTime(database, tables), Date.now());
      const dashboard = starterDashboard(tables, range);
      if (dashboard.cells.length === 0) {
        notify("info", "No table of this database has a column of numbers yet.");
      } else {
        open(`Overview of ${database}`.slice(0, 120), dashboard);
      }
    } catch (failure) {
      notify("error", messageOf(failure));
    }
  };
  const importFile = async (file: File): Promise<void> => {
    try {
      const { name, dashboard } = await readFile(file);
      open(name, dashboard);
      notify("success", `${isolated(name)} was imported. Save it to keep it.`);
    } catch (failure) {
      notify("error", `The file was not imported: ${messageOf(failure)}`);
    }
  };
  return (
    <div
      class="dashboards"
      onDragOver={(event) => event.preventDefault()}
      onDrop={(event) => {
        event.preventDefault();
        const file = event.dataTransfer?.files[0];
        if (file && mayWrite) {
          void importFile(file);
        }
      }}
    >
      <header class="dashboards-head">
        <h1>Dashboards</h1>
        {mayWrite && (
          <div class="dashboards-actions">
            <ImportButton onFile={(file) => void importFile(file)} />
            <Button icon="chart" onClick={() => void openStarter()}>
              From tables
            </Button>
            <Button kind="primary" icon="add" onClick={() => open("New dashboard")}>
              New dashboard
            </Button>
          </div>
        )}
      </header>
      {error !== undefined && <ErrorNote title="The dashboards can't be listed" error={error} onRetry={reload} />}
      {dashboards === undefined && error === undefined && <Spinner label="Loading dashboards" />}
      {dashboards?.length === 0 && <NoDashboards mayWrite={mayWrite} onStarter={() => void openStarter()} />}
      {dashboards !== undefined && dashboards.length > 0 && <DashboardCards dashboards={dashboards} />}
    </div>
  );
}

/** Returns a text with marks that keep its direction of writing from what follows. */
function isolated(text: string): string {
  return `\u2068${text}\u2069`;
}

function NoDashboards({ mayWrite, onStarter }: { mayWrite: boolean; onStarter(): void }): JSX.Element {
  return (
    <EmptyState icon="dashboard" title="No dashboards yet">
      {mayWrite ? (
        <>
          <p>
            A dashboard shows queries side by side, with one time range. It is stored in the database, so that everyone
            who can read the database sees it.
          </p>
          <Button kind="primary" icon="chart" onClick={onStarter}>
            Make one from the tables
          </Button>
        </>
      ) : (
        <p>Users who can write to this database can create dashboards here.</p>
      )}
    </EmptyState>
  );
}

function DashboardCards({ dashboards }: { dashboards: DocumentHead[] }): JSX.Element {
  return (
    <ul class="dashboard-cards">
      {dashboards.map(({ id, name, updated_at, updated_by, version }) => (
        <li key={id}>
          <a class="dashboard-card" href={link("dashboards", {}, [id])}>
            <strong>
              <bdi>{name}</bdi>
            </strong>
            <span class="chart-note">
              Version {version}, {formatUpdate(updated_at)}
              {updated_by && (
                <>
                  {" by "}
                  <bdi>{updated_by}</bdi>
                </>
              )}
            </span>
          </a>
        </li>
      ))}
    </ul>
  );
}

/** Returns a time of the server for people. */
export function formatUpdate(text: string): string {
  return `${formatAnswerTime(text, zone.value, "minutes")} ${zone.value}`;
}

function ImportButton({ onFile }: { onFile(file: File): void }): JSX.Element {
  const input = useRef<HTMLInputElement>(null);
  return (
    <>
      <input
        ref={input}
        type="file"
        class="visually-hidden"
        accept="application/json,.json"
        aria-label={`File of a dashboard, at most ${MAX_FILE_BYTES / 1024} KiB`}
        tabIndex={-1}
        onChange={(event) => {
          const file = event.currentTarget.files?.[0];
          event.currentTarget.value = "";
          if (file) {
            onFile(file);
          }
        }}
      />
      <Button icon="import" onClick={() => input.current?.click()}>
        Import
      </Button>
    </>
  );
}
