import { describe, expect, it } from "vitest";
import { type PlanNode, parsePlan } from "./parse-plan";
import { figuresOf, totalsOf, withoutPassing } from "./plan-figures";

/** Returns a tree as lines of names. */
function outline(nodes: PlanNode[], indent = ""): string[] {
  return nodes.flatMap((node) => [`${indent}${node.name}`, ...outline(node.children, `${indent}  `)]);
}

const ANALYZED = `CancellationExec, metrics=[]
  SortPreservingMergeExec: [h@1 ASC NULLS LAST], metrics=[output_rows=2, elapsed_compute=61.54µs, output_bytes=5.0 KB]
    AggregateExec: mode=Partial, gby=[bed@0 as bed], metrics=[output_rows=2, elapsed_compute=344.01µs, reduction_factor=16.67% (2/12)]
      FilterExec: bed@0 = herbs, metrics=[output_rows=48.00 K, elapsed_compute=152.71µs, selectivity=50% (12/24)]
        DataSourceExec: file_groups={1 group: [[data/1/a.bundle@0]]}, projection=[bed], metrics=[output_rows=24, elapsed_compute=10.37µs, row_groups_pruned_statistics=1 total → 1 matched, bytes_scanned=138.9 K, time_elapsed_processing=3.02ms]
`;

const DISTRIBUTED = `┌───── DistributedExec ── local_coordinator_channels=0, plan_bytes_sent={0:6.5 KB}
│ SortPreservingMergeExec: [h@1 ASC NULLS LAST], metrics=[output_rows=4, elapsed_compute=240.04µs]
│   [Stage 2] => NetworkCoalesceExec: output_partitions=4, input_tasks=2, metrics=[output_rows=4, bytes_transferred=3.0 KB]
└──────────────────────────────────────────────────
  ┌───── Stage 2 ── tasks=2, partitions=2 plan_added_at={0:48.26ms, 1:34.03ms}
  │ AggregateExec: mode=FinalPartitioned, gby=[bed@0 as bed], metrics=[output_rows=4, elapsed_compute=661.52µs]
  │   [Stage 1] => NetworkShuffleExec: output_partitions=2, input_tasks=2, metrics=[output_rows=4]
  └──────────────────────────────────────────────────
    ┌───── Stage 1 ── tasks=2, partitions=4
    │ RepartitionExec: partitioning=Hash([bed@0], 4), metrics=[output_rows=4]
    │   DistributedLeafExec:, metrics=[output_rows=24, bytes_scanned=375]
    │     t0: SnapshotScanExec: table=soil, sections=1, bytes=1562
    │     t1: SnapshotScanExec: table=soil, sections=0, bytes=0
    └──────────────────────────────────────────────────

workers: n2, n1
`;

describe("an analyzed plan", () => {
  it("is a tree of operators", () => {
    const { roots, remarks } = parsePlan(ANALYZED);
    expect(remarks).toEqual([]);
    expect(outline(roots)).toEqual([
      "CancellationExec",
      "  SortPreservingMergeExec",
      "    AggregateExec",
      "      FilterExec",
      "        DataSourceExec",
    ]);
    expect(outline(withoutPassing(roots))[0]).toBe("SortPreservingMergeExec");
  });

  it("has time, rows and bytes", () => {
    const { roots } = parsePlan(ANALYZED);
    const scan = withoutPassing(roots)[0]?.children[0]?.children[0]?.children[0];
    expect(scan?.detail).toBe("file_groups={1 group: [[data/1/a.bundle@0]]}, projection=[bed]");
    expect(scan && figuresOf(scan)).toMatchObject({ rows: 24, scannedBytes: 138_900, timeNs: 3_020_000 });
    expect(totalsOf(roots)).toMatchObject({ rows: 2, scannedBytes: 138_900, hasMetrics: true });
    expect(totalsOf(roots).timeNs).toBeCloseTo(61_540 + 344_010 + 152_710 + 3_020_000);
  });
});

describe("a plan over workers", () => {
  it("has each stage below the operator that reads it", () => {
    const { roots, remarks } = parsePlan(DISTRIBUTED);
    expect(remarks).toEqual(["workers: n2, n1"]);
    expect(outline(roots)).toEqual([
      "DistributedExec",
      "  SortPreservingMergeExec",
      "    NetworkCoalesceExec",
      "      Stage 2",
      "        AggregateExec",
      "          NetworkShuffleExec",
      "            Stage 1",
      "              RepartitionExec",
      "                DistributedLeafExec",
      "                  t0: SnapshotScanExec",
      "                  t1: SnapshotScanExec",
    ]);
    expect(totalsOf(roots)).toMatchObject({ networkBytes: 3072, scannedBytes: 375 });
  });

  it("has no circles if a stage seems to read itself", () => {
    const text = "┌───── Stage 1 ── tasks=1\n│ A: x\n│   [Stage 1] => B: y\n└─────\n";
    expect(outline(parsePlan(text).roots)).toEqual(["Stage 1", "  A", "    B"]);
  });
});

describe("texts of the database", () => {
  it("with line breaks stay in their operator", () => {
    const text = 'FilterExec: k@0 = "a\n\nOther: x", metrics=[output_rows=1]\n  DataSourceExec: t, metrics=[]\n';
    const { roots } = parsePlan(text);
    expect(outline(roots)).toEqual(["FilterExec", "  DataSourceExec"]);
    expect(roots[0]?.detail).toBe('k@0 = "a\nOther: x"');
    expect(roots[0] && figuresOf(roots[0]).rows).toBe(1);
  });

  it("of any kind do not break the parser", () => {
    for (const text of [
      "",
      "\n\n",
      "not distributed: reads 0 bytes",
      "   x",
      "A",
      "┌───── \n│\n└──",
      "A: metrics=[",
      "]]]",
    ]) {
      expect(() => parsePlan(text)).not.toThrow();
    }
    expect(parsePlan("┌────┐\n│ A  │\n└────┘").roots).toEqual([]);
    const deep = Array.from({ length: 5_000 }, (_, i) => `${"  ".repeat(i)}A: x`).join("\n");
    expect(totalsOf(parsePlan(deep).roots).hasMetrics).toBe(false);
  });
});

it("several plans in one text are several trees", () => {
  const text = `Sort: h\n  TableScan: t\nSortExec: h\n  DataSourceExec: t\n\n${DISTRIBUTED}`;
  const { roots, remarks } = parsePlan(text);
  expect(roots.map(({ name }) => name)).toEqual(["DistributedExec", "Sort", "SortExec"]);
  expect(remarks).toEqual(["workers: n2, n1"]);
  expect(parsePlan("not distributed: reads 0 bytes, less than 536870912")).toEqual({
    roots: [],
    remarks: ["not distributed: reads 0 bytes, less than 536870912"],
  });
});

it("a logical plan has a tree without figures", () => {
  const { roots } = parsePlan(
    "Limit: skip=0, fetch=10\n  Left Join: a.k = b.k\n    TableScan: a\n    SubqueryAlias: b\n      TableScan: a",
  );
  expect(outline(roots)).toEqual(["Limit", "  Left Join", "    TableScan", "    SubqueryAlias", "      TableScan"]);
  expect(totalsOf(roots).hasMetrics).toBe(false);
});
