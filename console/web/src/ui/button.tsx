/** Buttons with a text, an icon, or both. */

import type { ComponentChildren, JSX } from "preact";
import { useState } from "preact/hooks";
import { messageOf } from "../api/client";
import { Icon, type IconName } from "./icons";
import { notify } from "./toast";

/** The importance of a button. */
export type ButtonKind = "primary" | "plain" | "quiet" | "danger";

/** The properties of a button. */
export interface ButtonProps {
  kind?: ButtonKind;
  icon?: IconName;
  children?: ComponentChildren;
  onClick?(event: MouseEvent): void;
  disabled?: boolean;
  /** Shows that the action runs, and disables the button. */
  isBusy?: boolean;
  type?: "button" | "submit";
  title?: string;
  form?: string;
  class?: string;
}

/** A button with a text. */
export function Button({ kind = "plain", icon, isBusy, type = "button", ...rest }: ButtonProps): JSX.Element {
  const { children, disabled, class: extra = "", ...others } = rest;
  return (
    <button
      type={type}
      class={`button button-${kind} ${extra}`}
      disabled={disabled || isBusy}
      aria-busy={isBusy ? "true" : undefined}
      {...others}
    >
      {isBusy ? <Spinner /> : icon && <Icon name={icon} />}
      <span>{children}</span>
    </button>
  );
}

/** The properties of a button without a text. */
export interface IconButtonProps {
  icon: IconName;
  /** The name for screen readers and the tooltip. */
  label: string;
  onClick?(event: MouseEvent): void;
  disabled?: boolean;
  isPressed?: boolean;
  kind?: ButtonKind;
  class?: string;
}

/** A button that shows an icon only. */
export function IconButton({ icon, label, isPressed, kind = "quiet", ...rest }: IconButtonProps): JSX.Element {
  const { class: extra = "", ...others } = rest;
  return (
    <Tooltip text={label}>
      <button
        type="button"
        class={`button icon-button button-${kind} ${extra}`}
        aria-label={label}
        aria-pressed={isPressed}
        {...others}
      >
        <Icon name={icon} />
      </button>
    </Tooltip>
  );
}

/** Shows a text beside its child while the pointer is over it or the focus is in it. */
export function Tooltip({ text, children }: { text: string; children: ComponentChildren }): JSX.Element {
  return (
    <span class="tooltip" data-tooltip={text}>
      {children}
    </span>
  );
}

/** Shows that something is in progress. With a label, screen readers announce it. */
export function Spinner({ label }: { label?: string }): JSX.Element {
  return label === undefined ? (
    <span class="spinner" aria-hidden="true" />
  ) : (
    <span class="spinner-line" role="status">
      <span class="spinner" aria-hidden="true" /> {label}
    </span>
  );
}

/** The properties of a button that copies a text. */
export interface CopyButtonProps {
  /** The text, or a function that makes it at the click. */
  text: string | (() => string);
  label?: string;
  kind?: ButtonKind;
}

/** A button that copies a text to the clipboard. */
export function CopyButton({ text, label = "Copy", kind = "plain" }: CopyButtonProps): JSX.Element {
  const [isCopied, setCopied] = useState(false);
  const copy = async () => {
    if (await copyText(typeof text === "string" ? text : text())) {
      setCopied(true);
      setTimeout(() => setCopied(false), 1500);
    }
  };
  return (
    <Button kind={kind} icon={isCopied ? "check" : "copy"} onClick={copy}>
      {isCopied ? "Copied" : label}
    </Button>
  );
}

/** Copies a text to the clipboard, also on pages without HTTPS. Returns whether it succeeded, and tells the user if not. */
export async function copyText(text: string): Promise<boolean> {
  try {
    if (navigator.clipboard) {
      await navigator.clipboard.writeText(text);
      return true;
    }
  } catch (error) {
    notify("error", `The browser does not allow copying: ${messageOf(error)}`);
    return false;
  }
  return copyBySelection(text);
}

/** The clipboard interface exists only on HTTPS and on this machine. Elsewhere the page copies a selection. */
function copyBySelection(text: string): boolean {
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "visually-hidden";
  (document.querySelector("dialog[open]") ?? document.body).append(area);
  area.select();
  const isCopied = document.execCommand("copy");
  area.remove();
  if (!isCopied) {
    notify("error", "The browser does not allow copying.");
  }
  return isCopied;
}
