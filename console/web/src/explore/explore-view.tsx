/** The view that explores data: tree, editor and result. */

import type { JSX } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { currentDatabase } from "../api/schema";
import { link, navigate, route, setParams } from "../router";
import { type Command, useCommands } from "../shell/commands";
import { ConfirmDialog, IconButton, Lazy, notify, Splitter, textScale } from "../ui";
import { cancel, type Execution, executions, forgetClosedTabs, plans, run } from "./execution";
import { asOf, range, refreshSeconds } from "./explore-state";
import { ParametersPanel } from "./parameters-panel";
import type { QueryEditorHandle } from "./query-editor";
import { closeTab, currentTab, openEmptyTab, openTab, type QueryTab, selectNeighbour, tabs } from "./query-tabs";
import { ResultPanel } from "./result-panel";
import { SchemaTree } from "./schema-tree";
import { placeholders, type Statement, statementAt, statementKind } from "./statements";
import { TabBar } from "./tab-bar";
import { format, Toolbar } from "./toolbar";
import "./explore.css";

/** The sizes of the parts, in pixels. They stay while the page is open. Large screens have larger text. */
const sizes = { tree: 270 * textScale(), editor: 190 * textScale() };

/** A statement that changes data and waits for a confirmation. */
interface PendingChange {
  tab: QueryTab;
  statement: Statement;
}

/** The view "Explore": the schema, queries and their results. */
export default function ExploreView(): JSX.Element {
  const [treeWidth, setTreeWidth] = useState(sizes.tree);
  const drawer = useDrawer();
  sizes.tree = treeWidth;
  useLinkedQuery();
  useRerun();
  useAutoRefresh();
  useEffect(forgetClosedTabs, [tabs.value]);
  return (
    <div class={drawer.isOpen ? "explore explore-tree-open" : "explore"} onKeyDown={drawer.onKeyDown}>
      <h1 class="visually-hidden">Explore</h1>
      <div class="explore-side" id="schema" ref={drawer.ref} style={{ "--tree-width": `${treeWidth}px` }}>
        <SchemaTree onPreview={drawer.close} />
      </div>
      {drawer.isOpen && <div class="explore-backdrop" aria-hidden="true" onClick={drawer.close} />}
      <Splitter
        label="Width of the schema"
        orientation="vertical"
        value={treeWidth}
        min={160}
        max={640}
        onChange={setTreeWidth}
      />
      <div class="explore-main">
        <div class="explore-tabs">
          <div class="narrow-only">
            <IconButton
              icon="menu"
              label={drawer.isOpen ? "Hide the schema" : "Show the schema"}
              isPressed={drawer.isOpen}
              onClick={drawer.isOpen ? drawer.close : drawer.open}
            />
          </div>
          <TabBar />
        </div>
        <QueryPane tab={currentTab.value} />
      </div>
    </div>
  );
}

/** The tree as a drawer, on screens that have no room for it beside the query. */
function useDrawer() {
  const [isOpen, setOpen] = useState(false);
  const ref = useRef<HTMLDivElement>(null);
  const opener = useRef<Element | null>(null);
  useEffect(() => {
    if (isOpen) {
      ref.current?.querySelector("input")?.focus();
    }
  }, [isOpen]);
  const close = () => {
    setOpen(false);
    if (isOpen && opener.current instanceof HTMLElement) {
      opener.current.focus();
    }
  };
  return {
    isOpen,
    ref,
    open: () => {
      opener.current = document.activeElement;
      setOpen(true);
    },
    close,
    onKeyDown: (event: KeyboardEvent) => {
      if (event.key === "Escape" && isOpen) {
        event.stopPropagation();
        close();
      }
    },
  };
}

/** A query and its result. */
function QueryPane({ tab }: { tab: QueryTab }): JSX.Element {
  const [editorHeight, setEditorHeight] = useState(sizes.editor);
  const [pending, setPending] = useState<PendingChange>();
  const editor = useRef<QueryEditorHandle | null>(null);
  sizes.editor = editorHeight;
  const execution = executions.value.get(tab.id);
  const statement = () => editor.current?.statement() ?? statementAt(tab.text, 0, tab.language);
  const start = (chosen: Statement | undefined) => {
    if (!chosen) {
      notify("info", "Type a query first.");
    } else if (currentDatabase.value === "") {
      notify("info", "Choose a database first.");
    } else if (statementKind(chosen.text, tab.language) === "change") {
      setPending({ tab, statement: chosen });
    } else {
      void run(tab, chosen);
    }
  };
  const onRun = () => start(statement());
  const onCancel = () => cancel(tab.id);
  const latestRun = useRef(onRun);
  latestRun.current = onRun;
  useExploreKeys(onRun, onCancel);
  useCommands(useMemo(() => listCommands(() => latestRun.current()), []));

  return (
    <>
      <Toolbar tab={tab} isRunning={execution?.status === "running"} onRun={onRun} onCancel={onCancel} />
      <ParametersPanel tab={tab} onRun={onRun} />
      <div class="explore-editor" style={{ height: `${editorHeight}px` }}>
        <Lazy
          load={async () => (await import("./query-editor")).QueryEditor}
          props={{ tab, execution, onRun, onCancel, handleRef: editor }}
        />
      </div>
      <Splitter
        label="Height of the editor"
        orientation="horizontal"
        value={editorHeight}
        min={60}
        max={1400}
        onChange={setEditorHeight}
      />
      <ResultPanel
        key={tab.id}
        tab={tab}
        execution={execution}
        plan={plans.value.get(tab.id)}
        onRunAgain={() => start(execution?.statement)}
        statement={statement}
      />
      {pending && <ConfirmChange {...pending} onClose={() => setPending(undefined)} />}
    </>
  );
}

/** Asks before a statement that changes data, because a query can't be taken back. */
function ConfirmChange({ tab, statement, onClose }: PendingChange & { onClose(): void }): JSX.Element {
  const database = currentDatabase.value;
  return (
    <ConfirmDialog
      title="This statement changes data"
      action="Run the statement"
      onClose={onClose}
      onConfirm={() => {
        void run(tab, statement);
      }}
    >
      <p>
        In the database “<bdi>{database.slice(0, 200)}</bdi>”:
      </p>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a long text scrolls by keyboard. */}
      <pre class="value-text" tabIndex={0}>
        {statement.text.slice(0, 4000)}
      </pre>
    </ConfirmDialog>
  );
}

/** Opens the query that the hash contains in a tab, without running it, and removes it from the hash. */
function useLinkedQuery(): void {
  const text = route.value.params.get("q");
  const language = route.value.params.get("lang") === "influxql" ? "influxql" : "sql";
  useEffect(() => {
    if (text !== null) {
      setParams({ q: undefined, lang: undefined });
      openTab({ text, language });
    }
  }, [text]);
}

/** Runs a query again when the range or the moment that it depends on changes. */
function useRerun(): void {
  const { from, to } = range.value;
  const moment = asOf.value;
  const before = useRef({ from, to, moment });
  useEffect(() => {
    const old = before.current;
    before.current = { from, to, moment };
    const execution = executions.peek().get(currentTab.value.id);
    if (!execution || !isRepeatable(execution)) {
      return;
    }
    const names = placeholders(execution.query.text, execution.query.language);
    const isRangeUsed = names.includes("from") || names.includes("to");
    const isRangeChanged = old.from !== from || old.to !== to;
    if (old.moment !== moment || (isRangeUsed && isRangeChanged)) {
      void run(currentTab.value, execution.statement);
    } else if (isRangeChanged) {
      notify("info", "The query does not use the time range. Add: WHERE time >= $from AND time < $to");
    }
  }, [from, to, moment]);
}

/** Runs the shown query again and again, while the page is visible. */
function useAutoRefresh(): void {
  const seconds = refreshSeconds.value;
  useEffect(() => {
    if (seconds === 0) {
      return undefined;
    }
    const timer = setInterval(() => {
      const execution = executions.peek().get(currentTab.peek().id);
      if (execution?.status === "done" && isRepeatable(execution) && document.visibilityState === "visible") {
        void run(currentTab.peek(), execution.statement);
      }
    }, seconds * 1000);
    return () => clearInterval(timer);
  }, [seconds]);
}

function isRepeatable({ query }: Execution): boolean {
  return statementKind(query.text, query.language) !== "change";
}

/** Handles the keys of the view outside of the editor. */
function useExploreKeys(onRun: () => void, onCancel: () => void): void {
  const latest = useRef({ onRun, onCancel });
  latest.current = { onRun, onCancel };
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      if (event.defaultPrevented || document.querySelector("dialog[open]")) {
        return;
      }
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
        event.preventDefault();
        latest.current.onRun();
      } else if (event.key === "Escape" && executions.peek().get(currentTab.peek().id)?.status === "running") {
        latest.current.onCancel();
      } else if (event.altKey && event.code === "KeyN") {
        event.preventDefault();
        openEmptyTab();
      } else if (event.altKey && event.code === "KeyW") {
        event.preventDefault();
        closeTab(currentTab.peek().id);
      }
    };
    document.addEventListener("keydown", onKeyDown);
    return () => document.removeEventListener("keydown", onKeyDown);
  }, []);
}

function listCommands(onRun: () => void): Command[] {
  const group = "Explore";
  return [
    { id: "run", label: "Run the query", group, icon: "play", keys: "Ctrl+Enter", run: onRun },
    {
      id: "cancel",
      label: "Cancel the query",
      group,
      icon: "stop",
      keys: "Esc",
      run: () => cancel(currentTab.peek().id),
    },
    { id: "format", label: "Format the query", group, icon: "format", run: () => format(currentTab.peek()) },
    { id: "new-tab", label: "New query", group, icon: "add", keys: "Alt+N", run: openEmptyTab },
    {
      id: "close-tab",
      label: "Close the tab",
      group,
      icon: "close",
      keys: "Alt+W",
      run: () => closeTab(currentTab.peek().id),
    },
    { id: "next-tab", label: "Next tab", group, icon: "chevronRight", run: () => selectNeighbour(1) },
    {
      id: "queries",
      label: "Show the queries of the server",
      group,
      icon: "operate",
      run: () => navigate(link("operate")),
    },
  ];
}
