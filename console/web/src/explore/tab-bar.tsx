/** The bar of query tabs. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { IconButton } from "../ui";
import { executions } from "./execution";
import {
  closeTab,
  currentTab,
  openEmptyTab,
  type QueryTab,
  selectNeighbour,
  selectTab,
  tabs,
  updateTab,
} from "./query-tabs";

/** The maximum number of characters of a tab's name. */
const MAX_NAME_CHARS = 80;

/** The tabs of the editor. */
export function TabBar(): JSX.Element {
  const [renamed, setRenamed] = useState<string>();
  const current = currentTab.value;
  return (
    <div class="query-tabs">
      <div
        class="query-tab-list"
        role="tablist"
        aria-label="Queries"
        onKeyDown={(event) => {
          const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : undefined;
          if (step && event.target instanceof HTMLElement && event.target.role === "tab") {
            selectNeighbour(step);
            const list = event.currentTarget;
            requestAnimationFrame(() => list.querySelector<HTMLElement>("[aria-selected=true]")?.focus());
          } else if (event.key === "Delete" && event.target instanceof HTMLElement && event.target.role === "tab") {
            closeTab(currentTab.value.id);
          }
        }}
      >
        {tabs.value.map((tab) =>
          renamed === tab.id ? (
            <NameField key={tab.id} tab={tab} onDone={() => setRenamed(undefined)} />
          ) : (
            <div key={tab.id} class="query-tab" role="presentation" data-current={tab.id === current.id}>
              <button
                type="button"
                role="tab"
                class={tab.isPreview ? "query-tab-name query-tab-preview" : "query-tab-name"}
                aria-selected={tab.id === current.id}
                tabIndex={tab.id === current.id ? 0 : -1}
                title={`${tab.name.slice(0, MAX_NAME_CHARS)}\nDouble-click to rename. Delete closes the tab.`}
                onClick={() => selectTab(tab.id)}
                onDblClick={() => setRenamed(tab.id)}
                onAuxClick={(event) => event.button === 1 && closeTab(tab.id)}
              >
                <bdi>{tab.name}</bdi>
                <TabMark tab={tab} />
              </button>
              {tab.id === current.id && (
                <button
                  type="button"
                  class="query-tab-close"
                  tabIndex={-1}
                  aria-hidden="true"
                  title="Close"
                  onClick={() => closeTab(tab.id)}
                >
                  ×
                </button>
              )}
            </div>
          ),
        )}
      </div>
      <IconButton icon="add" label="New query (Alt+N)" onClick={openEmptyTab} />
    </div>
  );
}

/** Shows that a query runs, failed, or differs from what is saved. */
function TabMark({ tab }: { tab: QueryTab }): JSX.Element | null {
  const status = executions.value.get(tab.id)?.status;
  if (status === "running") {
    return <span class="spinner" role="img" aria-label="running" />;
  }
  if (status === "failed") {
    return <span class="tab-mark tab-mark-failed" role="img" aria-label="failed" />;
  }
  const isChanged = tab.saved !== undefined && tab.saved.text !== tab.text;
  return isChanged ? <span class="tab-mark" role="img" aria-label="not saved" /> : null;
}

function NameField({ tab, onDone }: { tab: QueryTab; onDone(): void }): JSX.Element {
  const finish = (name: string) => {
    if (name.trim() !== "") {
      updateTab(tab.id, { name: name.trim(), isPreview: false });
    }
    onDone();
  };
  return (
    <input
      class="input query-tab-input"
      aria-label="Name of the tab"
      maxLength={MAX_NAME_CHARS}
      value={tab.name}
      ref={(element) => element?.select()}
      onBlur={(event) => finish(event.currentTarget.value)}
      onKeyDown={(event) => {
        event.stopPropagation();
        if (event.key === "Enter") {
          finish(event.currentTarget.value);
        } else if (event.key === "Escape") {
          onDone();
        }
      }}
    />
  );
}
