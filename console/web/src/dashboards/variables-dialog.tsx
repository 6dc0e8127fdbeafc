/** Edits the variables of a dashboard. */

import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { listTables, type Table } from "../api/schema";
import { Button, Checkbox, Dialog, EmptyState, IconButton, Select, TextField } from "../ui";
import { MAX_LIST_VALUES, MAX_VARIABLES, type Variable, type VariableSource } from "./dashboard";
import { variableNameError } from "./variable-names";

/** The properties of the dialog. */
export interface VariablesDialogProps {
  database: string;
  variables: readonly Variable[];
  onSave(variables: Variable[]): void;
  onClose(): void;
}

/** Edits the variables of a dashboard. */
export function VariablesDialog({ database, variables, onSave, onClose }: VariablesDialogProps): JSX.Element {
  const [edited, setEdited] = useState<Variable[]>([...variables]);
  const tables = useTables(database);
  const errors = edited.map((variable, index) => errorOf(edited, variable, index));
  const isValid = errors.every((error) => error === undefined);
  const add = (): void => setEdited([...edited, newVariable(edited, tables)]);
  const save = (): void => {
    if (isValid) {
      onSave(edited);
    }
  };
  const actions = (
    <>
      <Button icon="add" onClick={add} disabled={edited.length >= MAX_VARIABLES}>
        Add variable
      </Button>
      <Button onClick={onClose}>Cancel</Button>
      <Button kind="primary" type="submit" disabled={!isValid}>
        Apply
      </Button>
    </>
  );
  return (
    <Dialog title="Variables" size="medium" onClose={onClose} onSubmit={save} actions={actions}>
      <p>
        Queries use the value of a variable as a parameter. With “all” the parameter is null:{" "}
        <code>WHERE ($host IS NULL OR host = $host)</code>
      </p>
      {edited.length === 0 && (
        <EmptyState icon="tag" title="No variables yet">
          <p>Add one to choose, for example, the host that all cells show.</p>
        </EmptyState>
      )}
      {edited.map((variable, index) => (
        <VariableFields
          key={index}
          variable={variable}
          tables={tables}
          error={errors[index]}
          onChange={(changed) => setEdited(edited.map((one, at) => (at === index ? changed : one)))}
          onRemove={() => setEdited(edited.filter((_, at) => at !== index))}
        />
      ))}
    </Dialog>
  );
}

function useTables(database: string): Table[] {
  const [tables, setTables] = useState<Table[]>([]);
  useEffect(() => {
    listTables(database).then(setTables, () => setTables([]));
  }, [database]);
  return tables;
}

function errorOf(all: readonly Variable[], variable: Variable, index: number): string | undefined {
  const isTaken = all.some((other, at) => at !== index && other.name === variable.name);
  return isTaken ? "Another variable has this name." : variableNameError(variable.name);
}

function tagsOf(table: Table | undefined): string[] {
  return table?.columns.filter(({ role }) => role === "tag").map(({ name }) => name) ?? [];
}

function newVariable(all: readonly Variable[], tables: readonly Table[]): Variable {
  const table = tables.find((one) => tagsOf(one).length > 0);
  const column = tagsOf(table)[0];
  const source: VariableSource =
    table === undefined || column === undefined ? { kind: "text" } : { kind: "tag", table: table.name, column };
  const isFree = (name: string): boolean => all.every((variable) => variable.name !== name);
  const wanted = column !== undefined && variableNameError(column) === undefined ? column : "value";
  let name = wanted;
  for (let number = 2; !isFree(name); number++) {
    name = `${wanted}_${number}`;
  }
  return { name, source, hasAll: true, initial: null };
}

const KINDS: readonly { value: VariableSource["kind"]; label: string }[] = [
  { value: "tag", label: "Values of a tag" },
  { value: "list", label: "List" },
  { value: "text", label: "Text" },
];

function VariableFields(props: {
  variable: Variable;
  tables: readonly Table[];
  error: string | undefined;
  onChange(variable: Variable): void;
  onRemove(): void;
}): JSX.Element {
  const { variable, tables, error, onChange, onRemove } = props;
  const { source } = variable;
  return (
    <fieldset class="variable-fields">
      <legend class="visually-hidden">Variable {variable.name}</legend>
      <TextField
        label="Name"
        value={variable.name}
        error={error}
        onInput={(name) => onChange({ ...variable, name })}
        isMonospace
      />
      <Select
        label="Values"
        value={source.kind}
        options={KINDS}
        onChange={(kind) => onChange({ ...variable, source: sourceOf(kind, tables), initial: null })}
      />
      <SourceFields
        source={source}
        tables={tables}
        onChange={(changed) => onChange({ ...variable, source: changed })}
      />
      <Checkbox
        label="Offer “all”"
        isChecked={variable.hasAll}
        onChange={(hasAll) => onChange({ ...variable, hasAll })}
      />
      <IconButton icon="trash" label={`Remove ${variable.name}`} onClick={onRemove} />
    </fieldset>
  );
}

function sourceOf(kind: VariableSource["kind"], tables: readonly Table[]): VariableSource {
  if (kind === "list") {
    return { kind, values: [] };
  }
  const table = tables.find((one) => tagsOf(one).length > 0) ?? tables[0];
  return kind === "tag" ? { kind, table: table?.name ?? "", column: tagsOf(table)[0] ?? "" } : { kind: "text" };
}

function SourceFields(props: {
  source: VariableSource;
  tables: readonly Table[];
  onChange(source: VariableSource): void;
}): JSX.Element | null {
  const { source, tables, onChange } = props;
  switch (source.kind) {
    case "tag": {
      const table = tables.find(({ name }) => name === source.table);
      const names = withPresent(
        tables.map(({ name }) => name),
        source.table,
      );
      return (
        <>
          <Select
            label="Table"
            value={source.table}
            options={names}
            onChange={(name) => {
              const column = tagsOf(tables.find((one) => one.name === name))[0] ?? "";
              onChange({ ...source, table: name, column });
            }}
          />
          <Select
            label="Tag"
            value={source.column}
            options={withPresent(tagsOf(table), source.column)}
            onChange={(column) => onChange({ ...source, column })}
          />
        </>
      );
    }
    case "list":
      return (
        <TextField
          label="One value in each line"
          lines={4}
          value={source.values.join("\n")}
          onInput={(text) =>
            onChange({
              ...source,
              values: text === "" ? [] : text.split("\n").slice(0, MAX_LIST_VALUES),
            })
          }
        />
      );
    case "text":
      return null;
  }
}

function withPresent(names: string[], present: string): string[] {
  return names.includes(present) ? names : [present, ...names];
}
