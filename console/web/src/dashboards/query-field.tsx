/** A field for the query of a cell. */

import type { JSX } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { QueryLanguage } from "../api/query";
import { TextField } from "../ui";

/** The properties of the field. */
export interface QueryFieldProps {
  value: string;
  language: QueryLanguage;
  database: string;
  onChange(value: string): void;
  onRun(): void;
}

/** The modules of the editor, which are loaded when a cell is edited. */
type EditorModules = [
  typeof import("../editor/code-editor"),
  typeof import("../explore/query-language"),
  typeof import("../explore/schema-store"),
];

/** The editor of a query. Until its modules are loaded it is a plain field. */
export function QueryField(props: QueryFieldProps): JSX.Element {
  const [modules, setModules] = useState<EditorModules>();
  useEffect(() => {
    Promise.all([
      import("../editor/code-editor"),
      import("../explore/query-language"),
      import("../explore/schema-store"),
    ]).then(setModules, () => setModules(undefined));
  }, []);
  if (modules === undefined) {
    return (
      <TextField label="Query" lines={8} value={props.value} onInput={props.onChange} isMonospace class="query-field" />
    );
  }
  return <Editor {...props} modules={modules} />;
}

function Editor({
  value,
  language,
  database,
  onChange,
  onRun,
  modules,
}: QueryFieldProps & { modules: EditorModules }): JSX.Element {
  const [{ CodeEditor }, { queryLanguage }, { loadedSchema, loadSchema, functions, loadFunctions }] = modules;
  const run = useRef(onRun);
  run.current = onRun;
  useEffect(() => {
    void loadSchema(database);
    void loadFunctions(database);
  }, [database]);
  const extensions = useMemo(
    () => queryLanguage(language, () => ({ ...loadedSchema(database), functions: functions.value })),
    [language, database],
  );
  const keys = useMemo(
    () => [
      {
        key: "Mod-Enter",
        run: () => {
          run.current();
          return true;
        },
      },
    ],
    [],
  );
  return (
    <div class="query-field">
      <CodeEditor label="Query" value={value} onChange={onChange} extensions={extensions} keys={keys} />
    </div>
  );
}
