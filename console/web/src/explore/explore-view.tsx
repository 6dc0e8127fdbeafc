/** The view that explores data: tree, editor and result. */

import type { JSX } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { mayAsk } from "../api/assistant";
import { languageOf } from "../api/query";
import { currentDatabase } from "../api/schema";
import { link, navigate, route, setParams } from "../router";
import { type Command, useCommands } from "../shell/commands";
import { presentStamp, refreshMs, stampOf } from "../time/refresh";
import { ConfirmDialog, IconButton, Lazy, notify, Splitter, textScale } from "../ui";
import type { AssistantDialogProps } from "./assistant-dialog";
import {
  batches,
  cancel,
  type Execution,
  executions,
  forgetClosedTabs,
  MAX_STATEMENTS,
  plans,
  run,
  runAll,
} from "./execution";
import { asOf, range, refresh } from "./explore-state";
import { usesRange } from "./parameters";
import { ParametersPanel } from "./parameters-panel";
import type { QueryEditorHandle } from "./query-editor";
import { closeTab, currentTab, openEmptyTab, openTab, type QueryTab, selectNeighbour, tabs } from "./query-tabs";
import { ResultPanel } from "./result-panel";
import { SchemaTree } from "./schema-tree";
import { type Statement, splitStatements, statementAt, statementKind } from "./statements";
import { TabBar } from "./tab-bar";
import { type AssistantMenuTask, format, Toolbar } from "./toolbar";
import "./explore.css";

/** The sizes of the parts, in pixels. They stay while the page is open. Large screens have larger text. */
const sizes = { tree: 270 * textScale(), editor: 190 * textScale() };

/** Statements of which some change data, and which wait for a confirmation. */
interface PendingChange {
  tab: QueryTab;
  statements: readonly Statement[];
  /** Those that change data. */
  changes: readonly Statement[];
}

/** The question of the open dialog of the assistant. */
type OpenQuestion = Omit<AssistantDialogProps, "onClose">;

/** The properties of the pane of a query. */
interface QueryPaneProps {
  tab: QueryTab;
}

/** The properties of the dialog that asks before statements that change data. */
interface ConfirmChangeProps extends PendingChange {
  onClose(): void;
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
function QueryPane({ tab }: QueryPaneProps): JSX.Element {
  const [editorHeight, setEditorHeight] = useState(sizes.editor);
  const [pending, setPending] = useState<PendingChange>();
  const [question, setQuestion] = useState<OpenQuestion>();
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
      setPending({ tab, statements: [chosen], changes: [chosen] });
    } else {
      void run(tab, chosen);
    }
  };
  const onRunAll = () => {
    const all = splitStatements(tab.text, tab.language).slice(0, MAX_STATEMENTS);
    const changes = all.filter(({ text }) => statementKind(text, tab.language) === "change");
    if (all.length < 2) {
      start(all[0]);
    } else if (currentDatabase.value === "") {
      notify("info", "Choose a database first.");
    } else if (changes.length > 0) {
      setPending({ tab, statements: all, changes });
    } else {
      void runAll(tab, all);
    }
  };
  const onAsk = (task: AssistantMenuTask) => {
    const chosen = statement();
    if (task === "explain" && !chosen) {
      notify("info", "Type a query first.");
    } else {
      setQuestion({ task, tab, statement: chosen });
    }
  };
  const onFix = () =>
    setQuestion({ task: "fix", tab, statement: execution?.statement, error: execution?.failure?.message });
  const hasAssistant = mayAsk(currentDatabase.value);
  const onRun = () => start(statement());
  const onCancel = () => cancel(tab.id);
  const latestRun = useRef(onRun);
  latestRun.current = onRun;
  const latestRunAll = useRef(onRunAll);
  latestRunAll.current = onRunAll;
  useExploreKeys(onRun, onRunAll, onCancel);
  useCommands(
    useMemo(
      () =>
        listCommands(
          () => latestRun.current(),
          () => latestRunAll.current(),
        ),
      [],
    ),
  );

  return (
    <>
      <Toolbar
        tab={tab}
        isRunning={execution?.status === "running"}
        onRun={onRun}
        onRunAll={onRunAll}
        onCancel={onCancel}
        onAsk={hasAssistant ? onAsk : undefined}
      />
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
        onFix={hasAssistant ? onFix : undefined}
      />
      {question && (
        <Lazy
          load={async () => (await import("./assistant-dialog")).AssistantDialog}
          props={{ ...question, onClose: () => setQuestion(undefined) }}
        />
      )}
      {pending && <ConfirmChange {...pending} onClose={() => setPending(undefined)} />}
    </>
  );
}

/** Asks before a statement that changes data, because a query can't be taken back. */
function ConfirmChange({ tab, statements, changes, onClose }: ConfirmChangeProps): JSX.Element {
  const database = currentDatabase.value;
  const isOne = statements.length === 1;
  return (
    <ConfirmDialog
      title={isOne ? "This statement changes data" : `${changes.length} of ${statements.length} statements change data`}
      action={isOne ? "Run the statement" : "Run all statements"}
      onClose={onClose}
      onConfirm={() => {
        void (isOne && statements[0] ? run(tab, statements[0]) : runAll(tab, statements));
      }}
    >
      <p>
        In the database “<bdi>{database.slice(0, 200)}</bdi>”:
      </p>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a long text scrolls by keyboard. */}
      <pre class="value-text" tabIndex={0}>
        {changes.map(({ text }) => text.slice(0, 4000)).join(";\n")}
      </pre>
    </ConfirmDialog>
  );
}

/** Opens the query that the hash contains in a tab, without running it, and removes it from the hash. */
function useLinkedQuery(): void {
  const text = route.value.params.get("q");
  const language = languageOf(route.value.params.get("lang"));
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
    const isRangeUsed = usesRange(execution.query.text, execution.query.language);
    const isRangeChanged = old.from !== from || old.to !== to;
    if (old.moment !== moment || (isRangeUsed && isRangeChanged)) {
      void run(currentTab.value, execution.statement);
    } else if (isRangeChanged) {
      notify("info", "The query does not use the time range. Add: WHERE time >= $from AND time < $to");
    }
  }, [from, to, moment]);
}

/** Runs the shown query again after each interval, or when there are new data, while the page is visible. */
function useAutoRefresh(): void {
  const chosen = refresh.value;
  useEffect(() => {
    if (chosen === 0) {
      return undefined;
    }
    const timer = setInterval(async () => {
      const tab = currentTab.peek();
      const execution = executions.peek().get(tab.id);
      const isIdle = execution?.status === "done" && isRepeatable(execution) && !batches.peek().has(tab.id);
      if (!isIdle || document.hidden || (chosen === "data" && !(await hasNewData(execution)))) {
        return;
      }
      if (executions.peek().get(tab.id) === execution) {
        void run(tab, execution.statement);
      }
    }, refreshMs(chosen));
    return () => clearInterval(timer);
  }, [chosen]);
}

/** Returns whether the database has changed since a query. */
async function hasNewData({ query, result }: Execution): Promise<boolean> {
  const stamp = await presentStamp(query.database);
  return stamp !== undefined && stamp !== stampOf(result?.headers);
}

function isRepeatable({ query }: Execution): boolean {
  return statementKind(query.text, query.language) !== "change";
}

/** Handles the keys of the view outside of the editor. */
function useExploreKeys(onRun: () => void, onRunAll: () => void, onCancel: () => void): void {
  const latest = useRef({ onRun, onRunAll, onCancel });
  latest.current = { onRun, onRunAll, onCancel };
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      if (event.defaultPrevented || document.querySelector("dialog[open]")) {
        return;
      }
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
        event.preventDefault();
        if (event.shiftKey) {
          latest.current.onRunAll();
        } else {
          latest.current.onRun();
        }
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

function listCommands(onRun: () => void, onRunAll: () => void): Command[] {
  const group = "Explore";
  return [
    { id: "run", label: "Run the query", group, icon: "play", keys: "Ctrl+Enter", run: onRun },
    { id: "run-all", label: "Run all statements", group, icon: "play", keys: "Ctrl+Shift+Enter", run: onRunAll },
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
