/** The view of dashboards: the list, or one of them. */

import type { JSX } from "preact";
import { currentDatabase } from "../api/schema";
import { link, route } from "../router";
import { EmptyState } from "../ui";
import { DashboardList } from "./dashboard-list";
import { DashboardPage } from "./dashboard-page";
import "./dashboards.css";

/** The dashboards of the present database, or one of them. */
export default function DashboardsView(): JSX.Element {
  const database = currentDatabase.value;
  const id = route.value.path[0];
  if (database === "") {
    return (
      <div class="dashboards">
        <EmptyState icon="dashboard" title="No database">
          <p>
            Dashboards show the data of a database. <a href={link("write")}>Write some data</a> first.
          </p>
        </EmptyState>
      </div>
    );
  }
  return id === undefined ? (
    <DashboardList key={database} database={database} />
  ) : (
    <DashboardPage key={`${database}/${id}`} database={database} id={id} />
  );
}
