/** Notes about errors, waiting, and empty views. */

import type { ComponentChildren, JSX } from "preact";
import { messageOf } from "../api/client";
import { Button } from "./button";
import { Icon, type IconName } from "./icons";

/** The properties of a note about an error. */
export interface ErrorNoteProps {
  error: unknown;
  title?: string;
  onRetry?(): void;
  /** Further buttons. */
  actions?: ComponentChildren;
}

/** Shows an error at the place that it is about. */
export function ErrorNote({ error, title, onRetry, actions }: ErrorNoteProps): JSX.Element {
  return (
    <div class="note note-error" role="alert">
      <Icon name="error" />
      <div class="note-text">
        {title && <strong>{title}</strong>}
        <p class="preserve-lines">{messageOf(error)}</p>
      </div>
      {actions}
      {onRetry && (
        <Button kind="quiet" icon="refresh" onClick={onRetry}>
          Retry
        </Button>
      )}
    </div>
  );
}

/** Shows a remark. */
export function Note({ kind = "info", children }: { kind?: "info" | "warning"; children: ComponentChildren }) {
  return (
    <div class={`note note-${kind}`}>
      <Icon name={kind === "info" ? "info" : "warning"} />
      <div class="note-text">{children}</div>
    </div>
  );
}

/** The properties of an empty state. */
export interface EmptyStateProps {
  icon?: IconName;
  title: string;
  /** What to do next. */
  children?: ComponentChildren;
}

/** Fills a place that has no content yet, and says what to do next. */
export function EmptyState({ icon = "info", title, children }: EmptyStateProps): JSX.Element {
  return (
    <div class="empty-state">
      <Icon name={icon} size={28} />
      <h2>{title}</h2>
      {children}
    </div>
  );
}
