/** The editor of a query, with its errors and completion. */

import { lintGutter, setDiagnostics } from "@codemirror/lint";
import { closeHoverTooltips, type EditorView, type KeyBinding } from "@codemirror/view";
import type { JSX } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { LANGUAGE_NAMES, type QueryLanguage } from "../api/query";
import { currentDatabase } from "../api/schema";
import { CodeEditor, type EditorHandle } from "../editor/code-editor";
import type { CompletionSchema } from "./completion";
import type { Execution } from "./execution";
import { type QueryTab, updateTab } from "./query-tabs";
import { functions, loadedSchema, loadFunctions } from "./schema-store";
import { type Statement, statementAt } from "./statements";
import { tagValues } from "./tag-values";

/** What the view may ask of the editor. */
export interface QueryEditorHandle {
  /** Returns the selected text, or else the statement at the cursor. */
  statement(): Statement | undefined;
  focus(): void;
}

/** The properties of the editor. */
export interface QueryEditorProps {
  tab: QueryTab;
  execution?: Execution;
  onRun(): void;
  onCancel(): void;
  handleRef: { current: QueryEditorHandle | null };
}

/** The colours and the completion of languages, and what closes a list of completions. */
type LanguageSupport = typeof import("./query-language") & typeof import("../editor/editor-extras");

/** Loaded once an editor is shown: a text can be typed without it. */
let loadedSupport: LanguageSupport | undefined;

const PLACEHOLDERS: Record<QueryLanguage, string> = {
  sql: "SELECT * FROM …",
  influxql: "SELECT mean(field) FROM …",
  promql: "avg by (host) (table_field)",
};

/** The editor of a query, with the error of the last run at its place. */
export function QueryEditor({ tab, execution, onRun, onCancel, handleRef }: QueryEditorProps): JSX.Element {
  const editor = useRef<EditorHandle | null>(null);
  const latest = useRef({ tab, onRun, onCancel });
  latest.current = { tab, onRun, onCancel };
  const support = useLanguageSupport();
  const language = useMemo(
    () => [support?.queryLanguage(tab.language, completionSchema) ?? [], lintGutter()],
    [support, tab.language],
  );
  const keys = useMemo(() => runKeys(() => latest.current), []);

  useEffect(() => {
    handleRef.current = {
      statement: () => editor.current && selectedStatement(editor.current, latest.current.tab),
      focus: () => editor.current?.view.focus(),
    } as QueryEditorHandle;
    return () => {
      handleRef.current = null;
    };
  }, []);

  useEffect(() => {
    void loadFunctions(currentDatabase.value);
  }, [currentDatabase.value]);

  const failure = execution?.failure;
  useEffect(() => {
    const view = editor.current?.view;
    if (!view) {
      return;
    }
    const length = view.state.doc.length;
    const place = failure?.place;
    const shown = place && place.to <= length && place.from < place.to;
    const diagnostics = shown ? [{ ...place, severity: "error" as const, message: failure.message }] : [];
    view.dispatch(setDiagnostics(view.state, diagnostics));
  }, [failure, tab.id]);

  return (
    <CodeEditor
      key={tab.id}
      label={`${LANGUAGE_NAMES[tab.language]} query`}
      value={tab.text}
      onChange={(text) => {
        if (text !== latest.current.tab.text) {
          updateTab(latest.current.tab.id, { text, isPreview: false });
        }
      }}
      extensions={language}
      keys={keys}
      placeholder={PLACEHOLDERS[tab.language]}
      handleRef={editor}
    />
  );
}

function useLanguageSupport(): LanguageSupport | undefined {
  const [support, setSupport] = useState(loadedSupport);
  useEffect(() => {
    Promise.all([import("./query-language"), import("../editor/editor-extras")]).then(
      ([language, extras]) => {
        loadedSupport ??= { ...language, ...extras };
        setSupport(loadedSupport);
      },
      () => undefined, // The server is away.
    );
  }, []);
  return support;
}

function completionSchema(): CompletionSchema {
  const database = currentDatabase.peek();
  const { tables, systemTables, caches } = loadedSchema(database);
  return { tables, systemTables, functions: functions.peek(), values: (tag) => tagValues(database, tag, caches) };
}

function selectedStatement({ view }: EditorHandle, tab: QueryTab): Statement | undefined {
  const { from, to } = view.state.selection.main;
  const text = view.state.doc.toString();
  const selected = text.slice(from, to);
  if (selected.trim() !== "") {
    const lead = selected.length - selected.trimStart().length;
    return { text: selected.trim().replace(/;$/, ""), start: from + lead };
  }
  return statementAt(text, from, tab.language);
}

function runKeys(latest: () => { onRun(): void; onCancel(): void }): KeyBinding[] {
  const run = (view: EditorView) => {
    loadedSupport?.closeCompletion(view);
    view.dispatch({ effects: closeHoverTooltips });
    latest().onRun();
    return true;
  };
  return [
    // The view handles Ctrl+Shift+Enter, which runs all statements.
    { key: "Mod-Enter", run },
    { key: "Shift-Enter", run },
  ];
}
