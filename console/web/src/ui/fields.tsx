/** Fields for texts, choices and check boxes, with labels and errors. */

import type { ComponentChildren, JSX, Ref } from "preact";
import { useId } from "preact/hooks";

/** What all fields share. */
interface FieldProps {
  label: string;
  /** Whether only screen readers see the label. */
  isLabelHidden?: boolean;
  /** A sentence below the field. */
  hint?: ComponentChildren;
  /** Why the value is not accepted. */
  error?: string;
  disabled?: boolean;
  class?: string;
}

/** The properties of a field for text. */
export interface TextFieldProps extends FieldProps {
  value: string;
  onInput(value: string): void;
  onEnter?(): void;
  type?: "text" | "password" | "number" | "search" | "datetime-local" | "url";
  placeholder?: string;
  /** The number of lines. More than one makes the field a text area. */
  lines?: number;
  required?: boolean;
  autoFocus?: boolean;
  autoComplete?: string;
  /** Suggested values. */
  suggestions?: string[];
  isMonospace?: boolean;
  min?: number;
  max?: number;
  inputRef?: Ref<HTMLInputElement>;
}

/** A field for text. */
export function TextField(props: TextFieldProps): JSX.Element {
  const id = useId();
  const { value, onInput, onEnter, lines = 1, suggestions, isMonospace, autoFocus, inputRef, ...field } = props;
  const common = {
    id,
    value,
    class: isMonospace ? "input monospace" : "input",
    placeholder: field.placeholder,
    disabled: field.disabled,
    required: field.required,
    spellcheck: false,
    "aria-invalid": field.error ? ("true" as const) : undefined,
    "aria-describedby": field.error || field.hint ? `${id}-note` : undefined,
    "data-autofocus": autoFocus ? "true" : undefined,
  };
  return (
    <Field id={id} {...field}>
      {lines > 1 ? (
        <textarea {...common} rows={lines} onInput={(event) => onInput(event.currentTarget.value)} />
      ) : (
        <input
          {...common}
          ref={inputRef}
          // The union of all types accepts no computed type.
          type={(field.type ?? "text") as "text"}
          min={field.min}
          max={field.max}
          autocomplete={field.autoComplete ?? "off"}
          list={suggestions ? `${id}-list` : undefined}
          onInput={(event) => onInput(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key === "Enter" && onEnter) {
              event.preventDefault();
              onEnter();
            }
          }}
        />
      )}
      {suggestions && (
        <datalist id={`${id}-list`}>
          {suggestions.map((text) => (
            <option key={text} value={text} />
          ))}
        </datalist>
      )}
    </Field>
  );
}

/** One choice. */
export interface SelectOption<T extends string> {
  value: T;
  label?: string;
  disabled?: boolean;
}

/** The properties of a field with choices. */
export interface SelectProps<T extends string> extends FieldProps {
  value: T;
  options: readonly (SelectOption<T> | T)[];
  onChange(value: T): void;
}

/** A field with choices. */
export function Select<T extends string>({ value, options, onChange, ...field }: SelectProps<T>): JSX.Element {
  const id = useId();
  const all = options.map((option) => (typeof option === "string" ? { value: option } : option)) as SelectOption<T>[];
  return (
    <Field id={id} {...field}>
      <select
        id={id}
        class="input"
        value={value}
        disabled={field.disabled}
        aria-invalid={field.error ? "true" : undefined}
        aria-describedby={field.error || field.hint ? `${id}-note` : undefined}
        onChange={(event) => onChange(event.currentTarget.value as T)}
      >
        {all.map((option) => (
          <option key={option.value} value={option.value} disabled={option.disabled}>
            {option.label ?? option.value}
          </option>
        ))}
      </select>
    </Field>
  );
}

/** The properties of a check box. */
export interface CheckboxProps {
  label: ComponentChildren;
  isChecked: boolean;
  onChange(isChecked: boolean): void;
  disabled?: boolean;
  hint?: ComponentChildren;
}

/** A check box. */
export function Checkbox({ label, isChecked, onChange, disabled, hint }: CheckboxProps): JSX.Element {
  const id = useId();
  return (
    <div class="checkbox">
      <input
        id={id}
        type="checkbox"
        checked={isChecked}
        disabled={disabled}
        aria-describedby={hint ? `${id}-note` : undefined}
        onChange={(event) => onChange(event.currentTarget.checked)}
      />
      <label for={id}>{label}</label>
      {hint && (
        <p class="field-hint" id={`${id}-note`}>
          {hint}
        </p>
      )}
    </div>
  );
}

function Field(props: FieldProps & { id: string; children: ComponentChildren }): JSX.Element {
  const { id, label, isLabelHidden, hint, error, children, class: extra = "" } = props;
  return (
    <div class={`field ${extra}`}>
      <label for={id} class={isLabelHidden ? "visually-hidden" : "field-label"}>
        {label}
      </label>
      {children}
      {(error || hint) && (
        <p id={`${id}-note`} class={error ? "field-error" : "field-hint"} role={error ? "alert" : undefined}>
          {error ?? hint}
        </p>
      )}
    </div>
  );
}
