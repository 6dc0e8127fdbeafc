/** Menus behind a button. */

import type { ComponentChildren, JSX, TargetedKeyboardEvent } from "preact";
import { useEffect, useId, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { ButtonKind } from "./button";
import { Icon, type IconName } from "./icons";

/** One entry of a menu. */
export interface MenuItem {
  label: string;
  icon?: IconName;
  detail?: string;
  onSelect(): void;
  disabled?: boolean;
  isDangerous?: boolean;
}

/** The properties of a menu. */
export interface MenuProps {
  /** The name for screen readers, and the text of the button unless there is only an icon. */
  label: string;
  icon?: IconName;
  kind?: ButtonKind;
  isIconOnly?: boolean;
  items: readonly MenuItem[];
  align?: "start" | "end";
}

/** A button that opens a list of actions. Arrow keys move, Escape closes. */
export function Menu({ label, icon, kind = "plain", isIconOnly, items, align = "end" }: MenuProps): JSX.Element {
  return (
    <Popover
      label={label}
      icon={icon ?? (isIconOnly ? "more" : undefined)}
      kind={kind}
      isIconOnly={isIconOnly}
      align={align}
      role="menu"
    >
      {(close) => (
        <ul class="menu" role="menu" aria-label={label} onKeyDown={moveInMenu}>
          {items.map((item) => (
            <li key={item.label} role="none">
              <button
                type="button"
                role="menuitem"
                class={item.isDangerous ? "menu-item menu-item-danger" : "menu-item"}
                disabled={item.disabled}
                onClick={() => {
                  close();
                  item.onSelect();
                }}
              >
                {item.icon ? <Icon name={item.icon} /> : <span class="icon" />}
                <span>{item.label}</span>
                {item.detail && <span class="menu-detail">{item.detail}</span>}
              </button>
            </li>
          ))}
        </ul>
      )}
    </Popover>
  );
}

/** The properties of a button with a panel. */
export interface PopoverProps {
  label: string;
  /** What the button shows instead of the label. */
  text?: ComponentChildren;
  icon?: IconName;
  kind?: ButtonKind;
  isIconOnly?: boolean;
  align?: "start" | "end";
  role?: "menu" | "dialog";
  /** The content, which gets a function that closes the panel. */
  children(close: () => void): ComponentChildren;
}

/** A button that opens a panel beside it, above all other content. A click elsewhere and Escape close it. */
export function Popover(props: PopoverProps): JSX.Element {
  const { label, text, icon, kind = "plain", isIconOnly, align = "start", role = "dialog", children } = props;
  const [isOpen, setOpen] = useState(false);
  const root = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  const panel = useRef<HTMLDivElement>(null);
  const panelId = useId();
  useLayoutEffect(() => {
    if (!isOpen || !button.current || !panel.current) {
      return undefined;
    }
    return keepBeside(panel.current, button.current, align);
  }, [isOpen, align]);
  const close = () => {
    setOpen(false);
    button.current?.focus();
  };
  useEffect(() => {
    if (!isOpen) {
      return undefined;
    }
    root.current?.querySelector<HTMLElement>(".popover-panel :is(button:not(:disabled), input, select, a)")?.focus();
    const onPointer = (event: PointerEvent) => {
      if (!event.composedPath().includes(root.current as EventTarget)) {
        setOpen(false);
      }
    };
    document.addEventListener("pointerdown", onPointer);
    return () => document.removeEventListener("pointerdown", onPointer);
  }, [isOpen]);
  return (
    <div
      class="popover"
      ref={root}
      onKeyDown={(event) => {
        if (event.key === "Escape" && isOpen) {
          event.stopPropagation();
          event.preventDefault();
          close();
        }
      }}
      onFocusOut={(event) => {
        if (event.relatedTarget instanceof Node && !root.current?.contains(event.relatedTarget)) {
          setOpen(false);
        }
      }}
    >
      <button
        ref={button}
        type="button"
        class={`button button-${kind} ${isIconOnly ? "icon-button" : ""}`}
        aria-haspopup={role}
        aria-expanded={isOpen}
        aria-controls={isOpen ? panelId : undefined}
        aria-label={isIconOnly || text !== undefined ? label : undefined}
        title={isIconOnly ? label : undefined}
        onClick={() => setOpen(!isOpen)}
      >
        {icon && <Icon name={icon} />}
        {!isIconOnly && <span>{text ?? label}</span>}
        {!isIconOnly && <Icon name="chevronDown" size={12} />}
      </button>
      {isOpen && (
        <div
          id={panelId}
          ref={panel}
          popover="manual"
          class="popover-panel"
          role={role === "dialog" ? "dialog" : undefined}
          aria-label={role === "dialog" ? label : undefined}
        >
          {children(close)}
        </div>
      )}
    </div>
  );
}

/** The gap between a panel, its button and the edges of the window, in pixels. */
const GAP = 4;

/**
 * Shows a panel in the top layer, which no part of the page cuts off, and keeps it beside a button while the page scrolls.
 * Returns a function that ends this.
 */
function keepBeside(panel: HTMLElement, button: HTMLElement, align: "start" | "end"): () => void {
  const place = () => {
    const anchor = button.getBoundingClientRect();
    const { width, height } = panel.getBoundingClientRect();
    const below = anchor.bottom + GAP;
    const fitsBelow = below + height + GAP <= innerHeight || innerHeight - anchor.bottom >= anchor.top;
    const left = align === "end" ? anchor.right - width : anchor.left;
    const top = fitsBelow ? below : anchor.top - height - GAP;
    panel.style.setProperty("--panel-top", `${Math.max(GAP, top)}px`);
    panel.style.setProperty("--panel-left", `${Math.max(GAP, Math.min(left, innerWidth - width - GAP))}px`);
    panel.style.setProperty("--panel-min-width", `${anchor.width}px`);
  };
  panel.showPopover();
  place();
  addEventListener("scroll", place, { capture: true, passive: true });
  addEventListener("resize", place);
  return () => {
    removeEventListener("scroll", place, { capture: true });
    removeEventListener("resize", place);
  };
}

function moveInMenu(event: TargetedKeyboardEvent<HTMLUListElement>): void {
  const items = [...event.currentTarget.querySelectorAll<HTMLElement>("[role=menuitem]:not(:disabled)")];
  const at = items.indexOf(document.activeElement as HTMLElement);
  const steps: Record<string, number> = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 };
  const to = steps[event.key];
  if (to !== undefined) {
    event.preventDefault();
    items[(to + items.length) % items.length]?.focus();
  }
}
