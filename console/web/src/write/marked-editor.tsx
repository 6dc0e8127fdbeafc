/** An editor that marks places that are wrong. */

import { type Diagnostic, lintGutter, lintKeymap, setDiagnostics } from "@codemirror/lint";
import type { Extension } from "@codemirror/state";
import { EditorView, keymap } from "@codemirror/view";
import type { JSX } from "preact";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { CodeEditor, type EditorHandle } from "../editor/code-editor";

/** A place that is wrong. */
export interface Mark {
  from: number;
  to: number;
  message: string;
  severity: "error" | "warning" | "info";
  /** Who says so, if not the page. */
  source?: string;
}

export interface MarkedEditorProps {
  /** The name for screen readers. */
  label: string;
  value: string;
  onChange(value: string): void;
  marks?: readonly Mark[];
  /** The language and its highlighting. Read once. */
  language?: Extension;
  placeholder?: string;
  /** Called on Ctrl-Enter. */
  onSubmit?(): void;
}

const THEME = EditorView.theme({
  ".cm-diagnostic": { maxWidth: "44em", overflowWrap: "anywhere" },
  ".cm-lintRange-error": { backgroundColor: "var(--danger-bg)" },
  ".lp-measurement": { color: "var(--code-keyword)", fontWeight: "600" },
  ".lp-key": { color: "var(--code-name)" },
  ".lp-tag, .lp-string": { color: "var(--code-text)" },
  ".lp-float, .lp-integer, .lp-uinteger, .lp-boolean": { color: "var(--code-number)" },
  ".lp-separator, .lp-comment": { color: "var(--code-comment)" },
  ".lp-timestamp": { color: "var(--muted)" },
});

/** The editor. */
export function MarkedEditor({ marks = [], language, onSubmit, ...editor }: MarkedEditorProps): JSX.Element {
  const handle = useRef<EditorHandle | null>(null);
  const submit = useRef(onSubmit);
  submit.current = onSubmit;
  const extensions = useMemo(() => [lintGutter(), keymap.of(lintKeymap), THEME, language ?? []], []);
  const keys = useMemo(() => [{ key: "Mod-Enter", run: () => call(submit.current) }], []);
  useEffect(() => {
    const view = handle.current?.view;
    if (view !== undefined) {
      view.dispatch(setDiagnostics(view.state, diagnostics(marks, view.state.doc.length)));
    }
  }, [marks, editor.value]);
  return <CodeEditor {...editor} extensions={extensions} keys={keys} handleRef={handle} />;
}

function call(action: (() => void) | undefined): boolean {
  action?.();
  return action !== undefined;
}

function diagnostics(marks: readonly Mark[], length: number): Diagnostic[] {
  return marks
    .filter((mark) => mark.from <= length)
    .map((mark) => ({ ...mark, to: Math.min(Math.max(mark.to, mark.from), length) }))
    .sort((left, right) => left.from - right.from);
}
