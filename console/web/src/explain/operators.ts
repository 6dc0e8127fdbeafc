// What the operators of plans do, in a sentence each.

const PURPOSES: Record<string, string> = {
  Aggregate: "Groups rows and computes aggregates.",
  AggregateExec: "Groups rows and computes aggregates. A partial mode aggregates before rows are exchanged.",
  AnalyzeExec: "Runs the plan and measures it.",
  BoundedWindowAggExec: "Computes window functions over sorted rows, row by row.",
  CancellationExec: "Ends the query if it is cancelled or its time is over.",
  CoalesceBatchesExec: "Joins small batches of rows to larger ones.",
  CoalescePartitionsExec: "Joins the rows of all partitions, in any order.",
  CooperativeExec: "Lets other queries run from time to time.",
  CrossJoinExec: "Combines each row with each row of the other input.",
  DataSourceExec:
    "Reads rows from the store's files, or from memory. Row groups and pages that no row can match are left out.",
  DistributedExec: "Sends the stages of the plan to workers, and collects their rows.",
  DistributedLeafExec: "Reads a different part of the table in each task.",
  EmptyExec: "Returns no rows.",
  FilterExec: "Keeps the rows that match the condition.",
  GapFillExec: "Adds rows for times without data.",
  GlobalLimitExec: "Ends after a number of rows.",
  HashJoinExec: "Builds a table in memory of the first input, and looks up each row of the second one.",
  InterleaveExec: "Joins inputs that are divided in the same way.",
  LocalLimitExec: "Ends each partition after a number of rows.",
  NestedLoopJoinExec: "Compares each row with each row of the other input.",
  NetworkBroadcastExec: "Gets all rows of a stage in each task.",
  NetworkCoalesceExec: "Collects the rows of all tasks of a stage.",
  NetworkShuffleExec: "Gets the rows of a stage that belong to the groups of the task.",
  PlaceholderRowExec: "Returns one row without columns.",
  Projection: "Computes expressions and chooses columns.",
  ProjectionExec: "Computes expressions and chooses columns.",
  RankSortExec:
    "Sorts rows by times and tags. Only if there are too many rows, it runs the operators below it, which say how to sort.",
  RepartitionExec: "Divides rows among partitions, so that threads share the work.",
  RunAggregateExec: "Computes the partial aggregate below it, for runs of rows of one group.",
  SnapshotScanExec: "Reads the sections and segments of a table in the snapshot of the query.",
  Sort: "Sorts rows.",
  SortExec: "Sorts rows. With a fetch, only the first ones stay in memory.",
  SortMergeJoinExec: "Joins two sorted inputs.",
  SortPreservingMergeExec: "Merges sorted partitions to one.",
  TableScan: "Reads a table.",
  UnionExec: "Joins the rows of all inputs.",
  WindowAggExec: "Computes window functions.",
};

/** Returns what an operator does; `undefined` if it is not known. */
export function purposeOf(name: string): string | undefined {
  const plain = name.replace(/^t\d+: /, "");
  if (/^Stage \d+$/.test(plain)) {
    return "A part of the plan that runs in several tasks, each on a worker.";
  }
  return Object.hasOwn(PURPOSES, plain) ? PURPOSES[plain] : undefined;
}
