/** The toolbar above the editor: run, language, range, refresh, and saved queries. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { AssistantTask } from "../api/assistant";
import { LANGUAGE_NAMES, QUERY_LANGUAGES, type QueryLanguage } from "../api/query";
import { currentDatabase } from "../api/schema";
import { may } from "../api/session";
import { formatHash, link, navigate } from "../router";
import { fixedRange, type TimeRange } from "../time/range";
import { Button, copyText, Menu, notify, RefreshSelect, Select, TimeRangePicker } from "../ui";
import { AsOfPicker } from "./as-of";
import { asOf, range, refresh, setRange, setRefresh } from "./explore-state";
import { formatQuery } from "./format-query";
import { HistoryDialog } from "./history-dialog";
import { openTab, type QueryTab, updateTab } from "./query-tabs";
import { SaveDialog } from "./save-dialog";
import { SavedQueries, saveQuery } from "./saved-queries";
import { splitStatements } from "./statements";

/** The maximum length of a link to a query, in characters. */
const MAX_LINK_CHARS = 30_000;

/** The tasks of the assistant that the toolbar offers. An error offers to fix it. */
export type AssistantMenuTask = Exclude<AssistantTask, "fix">;

/** The properties of the toolbar. */
export interface ToolbarProps {
  tab: QueryTab;
  isRunning: boolean;
  onRun(): void;
  onRunAll(): void;
  onCancel(): void;
  /** Asks the assistant; absent if there is none. */
  onAsk?(task: AssistantMenuTask): void;
}

/** Dialogs that the toolbar opens. */
type OpenDialog = "none" | "history" | "saved" | "save";

/** The controls above the editor. */
export function Toolbar({ tab, isRunning, onRun, onRunAll, onCancel, onAsk }: ToolbarProps): JSX.Element {
  const [dialog, setDialog] = useState<OpenDialog>("none");
  const close = () => setDialog("none");
  const maySave = may("write", currentDatabase.value);
  const save = () => {
    if (tab.saved?.database === currentDatabase.value) {
      void saveQuery(tab);
    } else {
      setDialog("save");
    }
  };
  return (
    <div class="query-toolbar" role="group" aria-label="Query">
      {isRunning ? (
        <Button kind="danger" icon="stop" onClick={onCancel} title="Cancel the query (Esc)">
          Cancel
        </Button>
      ) : (
        <Button kind="primary" icon="play" onClick={onRun} title="Run the query (Ctrl+Enter)">
          Run
        </Button>
      )}
      {splitStatements(tab.text, tab.language).length > 1 && (
        <Button onClick={onRunAll} disabled={isRunning} title="Run all statements (Ctrl+Shift+Enter)">
          Run all
        </Button>
      )}
      <Select
        label="Language"
        isLabelHidden
        class="language-select"
        value={tab.language}
        options={QUERY_LANGUAGES.map((value) => ({ value, label: LANGUAGE_NAMES[value] }))}
        onChange={(language: QueryLanguage) => updateTab(tab.id, { language, isPreview: false })}
      />
      <TimeRangePicker range={range.value} onChange={setRange} />
      <RefreshSelect value={refresh.value} onChange={setRefresh} />
      <AsOfPicker />
      <span class="toolbar-gap" />
      {onAsk && (
        <Menu
          label="Assistant"
          icon="assistant"
          kind="quiet"
          items={[
            { label: "Explain the statement", icon: "help", onSelect: () => onAsk("explain") },
            { label: "Write a query…", icon: "edit", onSelect: () => onAsk("write") },
          ]}
        />
      )}
      <Button kind="quiet" icon="format" onClick={() => format(tab)} disabled={tab.language === "promql"}>
        Format
      </Button>
      {maySave && (
        <Button kind="quiet" icon="save" onClick={save} disabled={tab.text.trim() === ""}>
          Save
        </Button>
      )}
      <Button kind="quiet" icon="bookmark" onClick={() => setDialog("saved")} disabled={currentDatabase.value === ""}>
        Saved
      </Button>
      <Button kind="quiet" icon="history" onClick={() => setDialog("history")}>
        History
      </Button>
      <Menu
        label="More actions"
        isIconOnly
        kind="quiet"
        items={[
          { label: "Copy a link to this query", icon: "copy", onSelect: () => void copyLink(tab, range.value) },
          {
            label: "Copy a link with fixed times",
            icon: "clock",
            onSelect: () => void copyLink(tab, fixedRange(range.value, Date.now())),
          },
          { label: "Save as…", icon: "save", onSelect: () => setDialog("save"), disabled: !maySave },
          {
            label: "Keep as a materialized view…",
            icon: "view",
            onSelect: () => navigate(link("administer", { q: tab.text.slice(0, MAX_LINK_CHARS) }, ["views"])),
            disabled: !maySave || tab.language !== "sql" || tab.text.trim() === "",
          },
          {
            label: "Alert on this query…",
            icon: "warning",
            onSelect: () =>
              navigate(link("administer", { q: tab.text.slice(0, MAX_LINK_CHARS), lang: tab.language }, ["alerts"])),
            disabled: !maySave || tab.text.trim() === "",
          },
          {
            label: "Duplicate the tab",
            icon: "add",
            onSelect: () => openTab({ ...tab, name: `${tab.name} copy`, isPreview: false, saved: undefined }),
          },
        ]}
      />
      {dialog === "history" && <HistoryDialog onClose={close} />}
      {dialog === "saved" && <SavedQueries onClose={close} />}
      {dialog === "save" && <SaveDialog tab={tab} onClose={close} />}
    </div>
  );
}

/** Lays out the text of a tab. */
export function format(tab: QueryTab): void {
  const text = formatQuery(tab.text, tab.language);
  if (text !== tab.text.trim()) {
    updateTab(tab.id, { text, isPreview: false });
  }
}

/** Copies a link that opens the query of a tab, without running it. */
async function copyLink(tab: QueryTab, { from, to }: TimeRange): Promise<void> {
  const params = { db: currentDatabase.value, from, to, asof: asOf.value, lang: tab.language, q: tab.text };
  const link = `${location.origin}${location.pathname}${formatHash("explore", params)}`;
  if (link.length > MAX_LINK_CHARS) {
    notify("warning", "The query is too long for a link. Save it instead.");
  } else if (await copyText(link)) {
    notify("success", "Copied the link.");
  }
}
