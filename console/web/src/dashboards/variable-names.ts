// Names of variables.

/** Parameters that each query gets. */
export const RESERVED_NAMES: readonly string[] = ["from", "to", "interval"];

/** Characters of a name at most. */
const MAX_LENGTH = 60;

/** Returns why a text can't be the name of a variable, or `undefined`. */
export function variableNameError(name: string): string | undefined {
  if (RESERVED_NAMES.includes(name.toLowerCase())) {
    return `$${name} is the time range of the dashboard.`;
  }
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name) || name === "__proto__") {
    return "A name has letters, digits and underscores, and does not begin with a digit.";
  }
  return name.length > MAX_LENGTH ? `A name has at most ${MAX_LENGTH} characters.` : undefined;
}
