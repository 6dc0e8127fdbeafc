/** The view that shows the state of the server. */

import type { ComponentChildren, JSX } from "preact";
import { isAdmin } from "../api/session";
import { link, navigate, route } from "../router";
import { Tabs } from "../ui";
import { CostPanel } from "./cost-panel";
import { NodesPanel } from "./nodes-panel";
import "./operate.css";
import { OverviewPanel } from "./overview-panel";
import { QueriesPanel } from "./queries-panel";
import { StoragePanel } from "./storage-panel";

/** The parts of the view, as the hash names them. */
type Part = "overview" | "cost" | "queries" | "storage" | "nodes";

const PARTS: readonly { id: Part; label: string; isForAdmins?: boolean; panel: () => ComponentChildren }[] = [
  { id: "overview", label: "Overview", panel: () => <OverviewPanel /> },
  { id: "cost", label: "Cost", panel: () => <CostPanel /> },
  { id: "queries", label: "Queries", panel: () => <QueriesPanel /> },
  { id: "storage", label: "Storage", panel: () => <StoragePanel /> },
  { id: "nodes", label: "Nodes", isForAdmins: true, panel: () => <NodesPanel /> },
];

/** The state of the process and the cluster, what it costs, and its queries. */
export default function OperateView(): JSX.Element {
  const offered = PARTS.filter((part) => !part.isForAdmins || isAdmin.value);
  const selected = offered.find((part) => part.id === route.value.path[0]) ?? offered[0];
  if (selected === undefined) {
    return <div class="operate" />;
  }
  return (
    <div class="operate">
      <h1 class="visually-hidden">Operate</h1>
      <Tabs
        label="Parts of Operate"
        tabs={offered}
        selected={selected.id}
        onSelect={(id) => navigate(link("operate", {}, [id]))}
        panel={<div key={selected.id}>{selected.panel()}</div>}
      />
    </div>
  );
}
