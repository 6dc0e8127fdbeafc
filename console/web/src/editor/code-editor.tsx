/** The editor of queries and plugins: CodeMirror in a shadow root, where the policy of the page allows its styles. */

import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { bracketMatching, indentOnInput } from "@codemirror/language";
import { Annotation, Compartment, EditorState, type Extension, Prec } from "@codemirror/state";
import {
  drawSelection,
  EditorView,
  highlightActiveLine,
  highlightSpecialChars,
  type KeyBinding,
  keymap,
  lineNumbers,
  placeholder,
} from "@codemirror/view";
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { editorTheme } from "./editor-theme";

/** Marks changes that come from the `value` of the caller. */
const FromCaller = Annotation.define<boolean>();

/** What callers may do with an editor. */
export interface EditorHandle {
  view: EditorView;
}

/** The properties of an editor. */
export interface CodeEditorProps {
  /** The name for screen readers. */
  label: string;
  value: string;
  onChange(value: string): void;
  /** The language, completion and so on. Must be stable between renders. */
  extensions?: Extension;
  /** Keys that have priority over those of the editor. Must be stable between renders. */
  keys?: readonly KeyBinding[];
  placeholder?: string;
  isReadOnly?: boolean;
  /** Receives the editor once it exists. */
  handleRef?: { current: EditorHandle | null };
}

/**
 * An editor for code. It lives in a shadow root, because the content security policy refuses `<style>` elements that a
 * script creates, and the editor adopts style sheets there.
 */
export function CodeEditor(props: CodeEditorProps): JSX.Element {
  const host = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView | undefined>(undefined);
  const latest = useRef(props);
  latest.current = props;
  /** Typed texts that the caller has not rendered yet. Without them, a late render would undo what was typed since. */
  const reported = useRef<string[]>([]);
  const language = useRef(new Compartment());
  const access = useRef(new Compartment());
  const extras = useRef(new Compartment());

  useEffect(() => {
    const element = host.current;
    if (!element) {
      return undefined;
    }
    const root = element.shadowRoot ?? element.attachShadow({ mode: "open" });
    const created = new EditorView({
      root,
      parent: root,
      state: EditorState.create({
        doc: props.value,
        extensions: [
          Prec.highest(keymap.of(props.keys ?? [])),
          language.current.of(props.extensions ?? []),
          access.current.of(EditorState.readOnly.of(props.isReadOnly ?? false)),
          extras.current.of([]),
          basics(props),
          EditorView.updateListener.of((update) => {
            const isOwn = update.transactions.some((transaction) => transaction.annotation(FromCaller));
            if (update.docChanged && !isOwn) {
              const text = update.state.doc.toString();
              reported.current = text === latest.current.value ? [] : [...reported.current, text];
              latest.current.onChange(text);
            }
          }),
        ],
      }),
    });
    view.current = created;
    if (props.handleRef) {
      props.handleRef.current = { view: created };
    }
    let isShown = true;
    import("./editor-extras").then(
      ({ EXTRAS }) => isShown && created.dispatch({ effects: extras.current.reconfigure(EXTRAS) }),
      () => undefined, // The server is away. The editor stays a plain one.
    );
    return () => {
      isShown = false;
      created.destroy();
      if (props.handleRef) {
        props.handleRef.current = null;
      }
    };
  }, []);

  useEffect(() => {
    const current = view.current;
    const at = reported.current.indexOf(props.value);
    if (at >= 0) {
      // The caller renders a text that was typed. Newer ones follow.
      reported.current.splice(0, at + 1);
    } else if (current && current.state.doc.toString() !== props.value) {
      reported.current = [];
      const changes = { from: 0, to: current.state.doc.length, insert: props.value };
      current.dispatch({ changes, annotations: FromCaller.of(true) });
    }
  }, [props.value]);

  useEffect(() => {
    view.current?.dispatch({ effects: language.current.reconfigure(props.extensions ?? []) });
  }, [props.extensions]);

  useEffect(() => {
    const readOnly = EditorState.readOnly.of(props.isReadOnly ?? false);
    view.current?.dispatch({ effects: access.current.reconfigure(readOnly) });
  }, [props.isReadOnly]);

  return <div class="code-editor" ref={host} />;
}

/**
 * Replaces selected text by what is typed. The browser would keep the colours of the old text as an inline style, which the
 * policy of the page refuses.
 */
function replaceSelection(event: InputEvent, view: EditorView): boolean {
  const { data } = event;
  const { from, to, empty } = view.state.selection.main;
  if (event.inputType !== "insertText" || data === null || empty || view.composing || view.state.readOnly) {
    return false;
  }
  event.preventDefault();
  const insert = () => {
    return view.state.update(view.state.replaceSelection(data), { userEvent: "input.type", scrollIntoView: true });
  };
  const isHandled = view.state.facet(EditorView.inputHandler).some((handler) => handler(view, from, to, data, insert));
  if (!isHandled) {
    view.dispatch(insert());
  }
  return true;
}

function basics(props: CodeEditorProps): Extension {
  return [
    lineNumbers(),
    highlightSpecialChars(),
    highlightActiveLine(),
    history(),
    drawSelection(),
    indentOnInput(),
    bracketMatching(),
    EditorState.allowMultipleSelections.of(true),
    EditorView.lineWrapping,
    EditorView.domEventHandlers({ beforeinput: replaceSelection }),
    EditorView.contentAttributes.of({ "aria-label": props.label, spellcheck: "false" }),
    placeholder(props.placeholder ?? ""),
    editorTheme,
    keymap.of([...defaultKeymap, ...historyKeymap, indentWithTab]),
  ];
}
