/** The tree of databases, tables, columns, caches and system tables. */

import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { currentDatabase, databases, INTERNAL_DATABASE, listDatabases } from "../api/schema";
import { Icon, IconButton, notify } from "../ui";
import { previewCache, previewColumn, previewTable } from "./preview";
import { cardinalities, loadCardinality, loadSchema, schemas, tagKey } from "./schema-store";
import { databaseId, type TreeNode, type TreeTarget, treeNodes } from "./tree-nodes";

/** The lines that are expanded. They stay so while the page is open. */
const expanded = signal<ReadonlySet<string>>(new Set());

/** The maximum number of characters of a name in the tree. */
const MAX_LABEL_CHARS = 200;

/** The tree of databases, tables, columns and caches. `onPreview` is called after a click that shows a query. */
export function SchemaTree({ onPreview }: { onPreview(): void }): JSX.Element {
  const [filter, setFilter] = useState("");
  const [active, setActive] = useState("");
  const tree = useRef<HTMLUListElement>(null);
  const current = currentDatabase.value;

  useEffect(() => {
    if (current !== "") {
      expanded.value = new Set(expanded.peek()).add(databaseId(current));
      void loadSchema(current);
    }
  }, [current]);

  const nodes = treeNodes({
    databases: databases.value,
    schemas: schemas.value,
    cardinalities: cardinalities.value,
    expanded: expanded.value,
    filter,
  });
  const hasData = databases.value.some(({ name }) => name !== INTERNAL_DATABASE);
  const activeId = nodes.some(({ id }) => id === active) ? active : nodes[0]?.id;
  const open = (node: TreeNode) => {
    setActive(node.id);
    if (activate(node.target)) {
      onPreview();
    } else {
      toggle(node);
    }
  };
  const focus = (node: TreeNode | undefined) => {
    if (node) {
      setActive(node.id);
      tree.current?.querySelector<HTMLElement>(`[data-index="${nodes.indexOf(node)}"]`)?.focus();
    }
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const line = event.target instanceof HTMLElement ? event.target : undefined;
    const at = Number(line?.dataset.index ?? -1);
    const node = nodes[at];
    if (!node || event.ctrlKey || event.metaKey || event.altKey) {
      return;
    }
    const actions: Record<string, () => void> = {
      ArrowDown: () => focus(nodes[at + 1]),
      ArrowUp: () => focus(nodes[at - 1]),
      Home: () => focus(nodes[0]),
      End: () => focus(nodes[nodes.length - 1]),
      ArrowRight: () => (node.isExpanded === false ? toggle(node) : focus(nodes[at + 1])),
      ArrowLeft: () => (node.isExpanded ? toggle(node) : focus(parentOf(nodes, at))),
      Enter: () => open(node),
      " ": () => open(node),
    };
    const action = actions[event.key];
    if (action) {
      event.preventDefault();
      action();
    }
  };

  return (
    <section class="tree-pane" aria-label="Schema">
      <div class="tree-head">
        <input
          class="input"
          type="search"
          aria-label="Filter tables and columns"
          placeholder="Filter tables and columns"
          value={filter}
          onInput={(event) => setFilter(event.currentTarget.value)}
        />
        <IconButton icon="refresh" label="Read the schema again" onClick={reload} />
      </div>
      {!hasData && <p class="tree-note">No databases yet</p>}
      <ul class="tree" role="tree" aria-label="Databases" ref={tree} onKeyDown={onKeyDown}>
        {nodes.map((node, index) => (
          <TreeLine
            key={node.id}
            node={node}
            index={index}
            isActive={node.id === activeId}
            onToggle={() => toggle(node)}
            onOpen={() => open(node)}
          />
        ))}
      </ul>
    </section>
  );
}

interface TreeLineProps {
  node: TreeNode;
  index: number;
  isActive: boolean;
  onToggle(): void;
  onOpen(): void;
}

function TreeLine({ node, index, isActive, onToggle, onOpen }: TreeLineProps): JSX.Element {
  const { label, detail, icon, level, isExpanded, target } = node;
  const shown = label.length > MAX_LABEL_CHARS ? `${label.slice(0, MAX_LABEL_CHARS)}…` : label;
  const isCurrent = target?.kind === "database" && target.database === currentDatabase.value;
  return (
    <li
      role="treeitem"
      class={`tree-line${isCurrent ? " tree-line-current" : ""}${node.isError ? " tree-line-error" : ""}`}
      aria-level={level}
      aria-expanded={isExpanded}
      aria-current={isCurrent ? "true" : undefined}
      tabIndex={isActive ? 0 : -1}
      data-index={index}
      style={{ paddingInlineStart: `${(level - 1) * 14 + 4}px` }}
      onClick={onOpen}
    >
      {isExpanded === undefined ? (
        <span class="tree-toggle" />
      ) : (
        <span
          class="tree-toggle"
          aria-hidden="true"
          onClick={(event) => {
            event.stopPropagation();
            onToggle();
          }}
        >
          <Icon name={isExpanded ? "chevronDown" : "chevronRight"} size={12} />
        </span>
      )}
      {icon && <Icon name={icon} />}
      <bdi class="tree-label" title={shown}>
        {shown}
      </bdi>{" "}
      {detail && <span class="tree-detail">{detail}</span>}
      {target && <LineAction target={target} />}
    </li>
  );
}

/** A small button at the end of a line. Keyboards reach the same by Enter. */
function LineAction({ target }: { target: TreeTarget }): JSX.Element | null {
  if (target.kind !== "column" || target.column.role !== "tag" || target.isSystem) {
    return null;
  }
  const { database, table, column } = target;
  if (cardinalities.value.has(tagKey(database, table, column.name))) {
    return null;
  }
  return (
    <button
      type="button"
      class="tree-action"
      tabIndex={-1}
      title="Counts the distinct values. This reads the column of all rows."
      onClick={(event) => {
        event.stopPropagation();
        void loadCardinality(database, table, column.name);
      }}
    >
      count
    </button>
  );
}

/** Does what a click on a line does. Returns whether it shows a query. */
function activate(target: TreeTarget | undefined): boolean {
  switch (target?.kind) {
    case "table":
      void previewTable(target.database, target.table, target.isSystem);
      return true;
    case "column":
      void previewColumn(target.database, target.table, target.column, target.isSystem);
      return true;
    case "cache":
      previewCache(target.database, target.cache);
      return true;
    case "database":
      if (target.database !== currentDatabase.value) {
        currentDatabase.value = target.database;
      }
      return false;
    case undefined:
      return false;
  }
}

function toggle(node: TreeNode): void {
  if (node.isExpanded === undefined) {
    return;
  }
  const next = new Set(expanded.value);
  if (!next.delete(node.id)) {
    next.add(node.id);
    if (node.target?.kind === "database") {
      void loadSchema(node.target.database);
    }
  }
  expanded.value = next;
}

function reload(): void {
  listDatabases().catch((error: Error) => notify("error", error.message));
  cardinalities.value = new Map();
  for (const database of schemas.value.keys()) {
    void loadSchema(database, true);
  }
}

function parentOf(nodes: readonly TreeNode[], at: number): TreeNode | undefined {
  const level = nodes[at]?.level ?? 1;
  return nodes.slice(0, at).findLast((node) => node.level < level);
}
