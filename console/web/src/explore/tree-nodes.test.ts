import { expect, test } from "vitest";
import { type DatabaseSchema, tagKey } from "./schema-store";
import { databaseId, type TreeState, treeNodes } from "./tree-nodes";

const SCHEMA: DatabaseSchema = {
  tables: [
    {
      name: "soil",
      columns: [
        { name: "bed", type: "Dictionary(Int32, Utf8)", role: "tag" },
        { name: "moisture", type: "Float64", role: "field" },
      ],
    },
    { name: "air", columns: [] },
  ],
  systemTables: [{ name: "queries", columns: [] }],
  caches: [{ name: "latest", table: "soil", kind: "last", columns: ["bed"] }],
  views: new Map([["air", "1 h of soil"]]),
  retention: new Map([["soil", 86_400e9 * 7]]),
};

function lines(change: Partial<TreeState>): string[] {
  const state: TreeState = {
    databases: [{ name: "garden", retentionNs: 3_600_000_000_000n }, { name: "other" }],
    schemas: new Map([["garden", { state: "loaded", value: SCHEMA }]]),
    cardinalities: new Map(),
    expanded: new Set(),
    filter: "",
    ...change,
  };
  return treeNodes(state).map(
    ({ level, label, detail }) => `${" ".repeat(level - 1)}${label}${detail ? ` (${detail})` : ""}`,
  );
}

const TABLE = JSON.stringify(["table", "garden", false, "soil"]);

test("a_closed_tree_lists_databases_with_their_retention", () => {
  expect(lines({})).toEqual(["garden (keeps 1 h)", "other"]);
});

test("an_open_table_lists_its_columns_with_types_and_counted_values", () => {
  const cardinalities = new Map([[tagKey("garden", "soil", "bed"), { state: "loaded" as const, value: 1200 }]]);
  expect(lines({ expanded: new Set([databaseId("garden"), TABLE]), cardinalities })).toEqual([
    "garden (keeps 1 h)",
    " soil (keeps 7 d)",
    "  bed (1,200 values)",
    "  moisture (Float64)",
    " air (view: 1 h of soil)",
    " Caches (1)",
    " System tables (1)",
    "other",
  ]);
});

test("the_filter_keeps_tables_with_a_matching_name_or_column", () => {
  expect(lines({ expanded: new Set([databaseId("garden")]), filter: "MOIST" })).toEqual([
    "garden (keeps 1 h)",
    " soil (keeps 7 d)",
    "other",
  ]);
});

test("a_schema_that_failed_to_load_shows_why", () => {
  const schemas = new Map([["other", { state: "failed" as const, error: "no permission" }]]);
  expect(lines({ schemas, expanded: new Set([databaseId("other")]) })).toContain(" no permission");
});
