/** Short notices at the edge of the page. */

import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { IconButton } from "./button";
import { Icon } from "./icons";

/** The kinds of notices. */
export type ToastKind = "info" | "success" | "warning" | "error";

interface Toast {
  id: number;
  kind: ToastKind;
  text: string;
  undo?: () => void;
}

/** The time that a notice stays, in milliseconds. Errors and notices with an undo stay longer. */
const SHORT_MS = 5_000;
const LONG_MS = 12_000;

/** The maximum number of notices. The oldest one leaves first. */
const MAX_TOASTS = 4;

const toasts = signal<Toast[]>([]);
let nextId = 1;

/** Shows a notice for a few seconds. `undo` adds a button that takes the change back. */
export function notify(kind: ToastKind, text: string, undo?: () => void): void {
  const id = nextId++;
  toasts.value = [...toasts.value.slice(1 - MAX_TOASTS), { id, kind, text, undo }];
  setTimeout(() => dismiss(id), kind === "error" || undo ? LONG_MS : SHORT_MS);
}

function dismiss(id: number): void {
  toasts.value = toasts.value.filter((toast) => toast.id !== id);
}

/** Shows the notices. Once per page. */
export function Toasts(): JSX.Element {
  return (
    <div class="toasts" role="log" aria-live="polite" aria-label="Notices">
      {toasts.value.map(({ id, kind, text, undo }) => (
        <div key={id} class={`toast toast-${kind}`}>
          <Icon name={kind === "success" ? "check" : kind === "info" ? "info" : "warning"} />
          <p>{text}</p>
          {undo && (
            <button
              type="button"
              class="button button-quiet"
              onClick={() => {
                dismiss(id);
                undo();
              }}
            >
              Undo
            </button>
          )}
          <IconButton icon="close" label="Dismiss" onClick={() => dismiss(id)} />
        </div>
      ))}
    </div>
  );
}
