/** Dialogs, and those that ask before data go. */

import type { ComponentChildren, JSX } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { messageOf } from "../api/client";
import { Button, IconButton } from "./button";
import { TextField } from "./fields";
import { ErrorNote } from "./notes";

/** The properties of a dialog. */
export interface DialogProps {
  title: string;
  onClose(): void;
  children: ComponentChildren;
  /** The buttons. */
  actions?: ComponentChildren;
  size?: "small" | "medium" | "large";
  /** Called on Enter in a field and by a submit button in `actions`. */
  onSubmit?(): void;
}

/** A modal dialog. It exists as long as it is rendered; Escape closes it. */
export function Dialog({ title, onClose, children, actions, size = "small", onSubmit }: DialogProps): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null);
  const titleId = useId();
  useEffect(() => {
    const element = dialog.current;
    const before = document.activeElement;
    element?.showModal();
    element?.querySelector<HTMLElement>("[data-autofocus]")?.focus();
    return () => {
      element?.close();
      if (before instanceof HTMLElement) {
        before.focus();
      }
    };
  }, []);
  return (
    <dialog
      ref={dialog}
      class={`dialog dialog-${size}`}
      aria-labelledby={titleId}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
    >
      <form
        method="dialog"
        onSubmit={(event) => {
          event.preventDefault();
          onSubmit?.();
        }}
      >
        <header class="dialog-head">
          <h2 id={titleId} title={title.slice(0, 400)}>
            {title}
          </h2>
          <IconButton icon="close" label="Close" onClick={onClose} />
        </header>
        <div class="dialog-body">{children}</div>
        {actions && <footer class="dialog-actions">{actions}</footer>}
      </form>
    </dialog>
  );
}

/** The properties of a dialog that asks before a change. */
export interface ConfirmDialogProps {
  title: string;
  children: ComponentChildren;
  /** The text of the button: a verb and an object. */
  action: string;
  /** The name that the user types before the action, where data go. */
  typeToConfirm?: string;
  isDangerous?: boolean;
  onConfirm(): void | Promise<void>;
  onClose(): void;
}

/** Asks before a change. It stays open with the error if `onConfirm` fails, and closes if it succeeds. */
export function ConfirmDialog(props: ConfirmDialogProps): JSX.Element {
  const { title, children, action, typeToConfirm, isDangerous = true, onConfirm, onClose } = props;
  const [typed, setTyped] = useState("");
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState<string>();
  const isReady = typeToConfirm === undefined || typed === typeToConfirm;
  const confirm = async () => {
    if (!isReady || isBusy) {
      return;
    }
    setBusy(true);
    setError(undefined);
    try {
      await onConfirm();
      onClose();
    } catch (failure) {
      setError(messageOf(failure));
      setBusy(false);
    }
  };
  const actions = (
    <>
      <Button onClick={onClose}>Cancel</Button>
      <Button kind={isDangerous ? "danger" : "primary"} type="submit" disabled={!isReady} isBusy={isBusy}>
        {action}
      </Button>
    </>
  );
  return (
    <Dialog title={title} onClose={onClose} onSubmit={confirm} actions={actions}>
      {children}
      {typeToConfirm !== undefined && (
        <>
          <p>To confirm, type this name:</p>
          <p class="confirm-name monospace">{typeToConfirm}</p>
          <TextField label="Name" isLabelHidden value={typed} onInput={setTyped} autoFocus isMonospace />
        </>
      )}
      {error && <ErrorNote error={error} />}
    </Dialog>
  );
}
