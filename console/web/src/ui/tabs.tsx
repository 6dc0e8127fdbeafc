/** Tabs, of which one is shown. */

import type { ComponentChildren, JSX, TargetedKeyboardEvent } from "preact";
import { useId } from "preact/hooks";
import { Icon, type IconName } from "./icons";

/** One tab. */
export interface Tab<T extends string> {
  id: T;
  label: ComponentChildren;
  icon?: IconName;
  /** A small number or word after the label. */
  badge?: string;
}

/** The properties of tabs. */
export interface TabsProps<T extends string> {
  /** The name of the group for screen readers. */
  label: string;
  tabs: readonly Tab<T>[];
  selected: T;
  onSelect(id: T): void;
  /** Controls after the tabs. */
  children?: ComponentChildren;
  /** The content of the selected tab. */
  panel?: ComponentChildren;
}

/** Tabs. The arrow keys move between them. */
export function Tabs<T extends string>(props: TabsProps<T>): JSX.Element {
  const { label, tabs, selected, onSelect, children, panel } = props;
  const group = useId();
  const move = (event: TargetedKeyboardEvent<HTMLDivElement>) => {
    const at = tabs.findIndex((tab) => tab.id === selected);
    const steps: Record<string, number> = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 };
    const to = steps[event.key];
    const tab = to === undefined ? undefined : tabs[(to + tabs.length) % tabs.length];
    if (tab) {
      event.preventDefault();
      onSelect(tab.id);
      event.currentTarget.querySelector<HTMLElement>(`[data-tab="${tabs.indexOf(tab)}"]`)?.focus();
    }
  };
  return (
    <div class="tabs">
      <div class="tab-bar">
        <div class="tab-list" role="tablist" aria-label={label} onKeyDown={move}>
          {tabs.map((tab, index) => (
            <button
              key={tab.id}
              type="button"
              role="tab"
              class="tab"
              id={`${group}-tab-${index}`}
              data-tab={index}
              aria-selected={tab.id === selected}
              aria-controls={panel && tab.id === selected ? `${group}-panel` : undefined}
              tabIndex={tab.id === selected ? 0 : -1}
              onClick={() => onSelect(tab.id)}
            >
              {tab.icon && <Icon name={tab.icon} />}
              <span>{tab.label}</span>
              {tab.badge && <span class="badge">{tab.badge}</span>}
            </button>
          ))}
        </div>
        {children}
      </div>
      {panel && (
        <div
          class="tab-panel"
          role="tabpanel"
          id={`${group}-panel`}
          aria-labelledby={`${group}-tab-${tabs.findIndex((tab) => tab.id === selected)}`}
        >
          {panel}
        </div>
      )}
    </div>
  );
}
