/** The view that administers databases, users, tokens, backups, plugins and rows. It offers what the caller may do. */

import "../write/tables.css";
import "./admin.css";
import type { JSX } from "preact";
import { useMemo } from "preact/hooks";
import { currentDatabase, INTERNAL_DATABASE } from "../api/schema";
import { info, isAdmin, isRequired, may, mayAnywhere, mayOnUsers } from "../api/session";
import { link, navigate, route } from "../router";
import { type Command, useCommands } from "../shell/commands";
import { EmptyState, Tabs } from "../ui";
import { AlertsPanel } from "./alerts-panel";
import { BackupsPanel } from "./backups-panel";
import { CachesPanel } from "./caches-panel";
import { DatabasesPanel } from "./databases-panel";
import { DeletePanel } from "./delete-panel";
import { HistoryPanel } from "./history-panel";
import { ImportsPanel } from "./imports-panel";
import { PluginsPanel } from "./plugins-panel";
import { TokensPanel } from "./tokens-panel";
import { TriggersPanel } from "./triggers-panel";
import { UsersPanel } from "./users-panel";
import { ViewsPanel } from "./views-panel";

type Section =
  | "databases"
  | "users"
  | "tokens"
  | "views"
  | "alerts"
  | "caches"
  | "triggers"
  | "plugins"
  | "delete"
  | "restore"
  | "backups"
  | "imports";

interface SectionEntry {
  id: Section;
  label: string;
  isAllowed: boolean;
  /** Whether the section is about the chosen database. */
  needsDatabase: boolean;
  panel(database: string): JSX.Element;
}

/** Returns the sections that the caller may use. */
function sections(database: string): SectionEntry[] {
  const mayRead = may("read", database);
  const all: SectionEntry[] = [
    entry("databases", "Databases", true, false, () => <DatabasesPanel />),
    entry("views", "Views", mayRead, true, (name) => <ViewsPanel database={name} />),
    entry("alerts", "Alerts", mayRead, true, (name) => <AlertsPanel database={name} />),
    entry("caches", "Caches", mayRead, true, (name) => <CachesPanel database={name} />),
    entry("triggers", "Triggers", mayRead, true, (name) => <TriggersPanel database={name} />),
    entry("plugins", "Plugins", isAdmin.value, true, (name) => <PluginsPanel database={name} />),
    entry("delete", "Delete rows", mayRead && may("write", database), true, (name) => <DeletePanel database={name} />),
    entry("restore", "History", mayRead, true, (name) => <HistoryPanel database={name} />),
    entry("backups", "Backups", isAdmin.value || (info.value?.can_audit ?? false), false, () => <BackupsPanel />),
    entry("imports", "Imports", mayAnywhere("write"), false, () => <ImportsPanel />),
    entry("users", "Users", mayOnUsers("read"), false, () => <UsersPanel />),
    entry("tokens", "Tokens", isAdmin.value || (info.value?.can_create_tokens ?? false), false, () => <TokensPanel />),
  ];
  return all.filter((section) => section.isAllowed);
}

function entry(
  id: Section,
  label: string,
  isAllowed: boolean,
  needsDatabase: boolean,
  panel: SectionEntry["panel"],
): SectionEntry {
  return { id, label, isAllowed, needsDatabase, panel };
}

function commandOf({ id, label }: SectionEntry): Command {
  const run = () => navigate(link("administer", {}, [id]));
  return { id: `administer ${id}`, label: `Administer: ${label}`, group: "Administer", icon: "settings", run };
}

/** The view. */
export default function AdminView(): JSX.Element {
  const database = currentDatabase.value === INTERNAL_DATABASE ? "" : currentDatabase.value;
  const allowed = sections(database);
  const ids = allowed.map(({ id }) => id).join(" ");
  const commands = useMemo(() => allowed.map(commandOf), [ids]);
  useCommands(commands);
  const wanted = route.value.path[0];
  const section = allowed.find(({ id }) => id === wanted) ?? allowed[0];
  if (section === undefined) {
    return <EmptyState title="You may not administer anything" />;
  }
  const panel =
    section.needsDatabase && database === "" ? (
      <EmptyState icon="database" title="There is no database yet">
        <p>
          <a href={link("write", {}, ["samples"])}>Write sample data</a>, or{" "}
          <a href={link("administer", {}, ["databases"])}>create a database</a>.
        </p>
      </EmptyState>
    ) : (
      section.panel(database)
    );
  return (
    <div class="admin-view">
      <h1 class="visually-hidden">Administer</h1>
      <Tabs
        label="Subjects"
        tabs={allowed.map(({ id, label }) => ({ id, label }))}
        selected={section.id}
        onSelect={(id) => navigate(link("administer", {}, [id]))}
        panel={<div key={`${section.id} ${section.needsDatabase ? database : ""}`}>{panel}</div>}
      />
      {!isRequired.value && section.id === "databases" && (
        <p class="muted admin-foot">This server requires no token: everyone who reaches it may do everything here.</p>
      )}
    </div>
  );
}
