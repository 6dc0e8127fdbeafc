/** The processes that share the store. */

import type { JSX } from "preact";
import { info } from "../api/session";
import { useLoaded } from "../api/use-loaded";
import { parseAnswerTime } from "../time/zone";
import { Button, EmptyState, ErrorNote } from "../ui";
import { type DataColumn, DataTable } from "./data-table";
import { formatSeconds } from "./format";
import { type ClusterNode, listNodes } from "./system-tables";

/** The processes that share the store. */
export function NodesPanel(): JSX.Element {
  const loaded = useLoaded("nodes", listNodes);
  return (
    <div class="operate-nodes">
      <div class="operate-controls">
        <p class="operate-scope">
          The processes of <code>neap serve</code> that reported in the last 24 hours. Each one reports when it starts,
          every 10 minutes and when it stops.
        </p>
        <Button icon="refresh" onClick={loaded.reload} isBusy={loaded.isLoading}>
          Refresh
        </Button>
      </div>
      {loaded.error !== undefined && (
        <ErrorNote title="The nodes can't be listed." error={loaded.error} onRetry={loaded.reload} />
      )}
      {loaded.value?.length === 0 && (
        <EmptyState icon="operate" title="No process has reported">
          <p>A process without the permission to write to the store serves requests without being listed.</p>
        </EmptyState>
      )}
      {loaded.value !== undefined && loaded.value.length > 0 && <NodeTable nodes={loaded.value} />}
    </div>
  );
}

const COLUMNS: readonly DataColumn[] = [
  { name: "Node" },
  { name: "State" },
  { name: "Modes" },
  { name: "Cores", isNumber: true },
  { name: "Version" },
  { name: "Address" },
  { name: "Last report" },
];

function NodeTable({ nodes }: { nodes: readonly ClusterNode[] }): JSX.Element {
  return (
    <DataTable label="Nodes" columns={COLUMNS}>
      {nodes.map((node) => (
        <NodeRow key={node.instance_id} node={node} isPresent={isPresent(node, nodes)} />
      ))}
    </DataTable>
  );
}

/** Returns whether a node answers this page: it has the name of the session, or no other one runs. */
function isPresent(node: ClusterNode, nodes: readonly ClusterNode[]): boolean {
  const running = nodes.filter(({ state }) => state === "running");
  return node.state === "running" && (running.length === 1 || node.node_id === info.value?.node_id);
}

function NodeRow({ node, isPresent }: { node: ClusterNode; isPresent: boolean }): JSX.Element {
  const { version, address } = parameters(node.cli_params);
  const age = Math.max(0, (Date.now() - parseAnswerTime(node.updated_at)) / 1_000);
  return (
    <tr aria-current={isPresent ? "true" : undefined}>
      <th scope="row" class="cut">
        {node.node_id}
      </th>
      <td>
        <span class={`query-state query-state-${node.state === "running" ? "running" : "cancelled"}`}>
          {node.state}
        </span>
        {isPresent && <span class="badge">answers this page</span>}
      </td>
      <td>{node.mode.join(", ")}</td>
      <td class="number">{node.core_count}</td>
      <td>{version}</td>
      <td class="monospace">{address}</td>
      <td>{formatSeconds(age)} ago</td>
    </tr>
  );
}

/** Reads the version and the address out of the parameters that a process reports as JSON. */
function parameters(text: string | undefined): { version: string; address: string } {
  try {
    const parsed: unknown = JSON.parse(text ?? "");
    const { version, address } = parsed as Record<string, unknown>;
    return { version: String(version ?? "–"), address: String(address ?? "–") };
  } catch {
    return { version: "–", address: "–" };
  }
}
