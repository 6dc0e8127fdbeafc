/** Names that the server accepts. */

const MAX_NAME_BYTES = 511;

/** Returns why a database cannot have a name; `undefined` if it can. */
export function databaseNameError(name: string): string | undefined {
  if (name === "") {
    return "A database needs a name.";
  }
  if (name === "_internal") {
    return "_internal describes the cluster: it cannot be written to.";
  }
  if (new TextEncoder().encode(name).length > MAX_NAME_BYTES) {
    return `A name has at most ${MAX_NAME_BYTES} bytes.`;
  }
  if (!/^[A-Za-z0-9]/.test(name)) {
    return "A name begins with a letter or a digit.";
  }
  if (!/^[A-Za-z0-9_-]+(\/[A-Za-z0-9_-]+)?$/.test(name)) {
    return "A name has letters, digits, _ and - only; one / may separate a retention policy.";
  }
  return undefined;
}

/** Returns the table that a file of this name most likely fills. */
export function tableOfFile(name: string): string {
  return name
    .replace(/\.gz$/i, "")
    .replace(/\.[^.]+$/, "")
    .replace(/[^\p{L}\p{N}_]+/gu, "_")
    .replace(/^_+|_+$/g, "");
}

/** Returns a name that is safe for a downloaded file. */
export function fileName(text: string): string {
  const safe = text.replace(/[^\p{L}\p{N}._-]+/gu, "_").replace(/^[.]+/, "");
  return safe.slice(0, 100) || "download";
}

/** Saves a text as a file of the user. */
export function download(name: string, text: string, type = "text/plain"): void {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const anchor = document.createElement("a");
  anchor.href = url;
  anchor.download = fileName(name);
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** Maximum characters of a name in a list of choices. */
const MAX_OPTION_CHARS = 80;

/** Returns choices of names. Long ones are cut. */
export function optionsOf(names: readonly string[]): { value: string; label: string }[] {
  return names.map((value) => ({
    value,
    label: value.length > MAX_OPTION_CHARS ? `${value.slice(0, MAX_OPTION_CHARS)}…` : value,
  }));
}

/** Returns a number with its noun: `1 row`, `2 rows`. */
export function counted(count: number, noun: string): string {
  return `${formatCount(count)} ${noun}${count === 1 ? "" : "s"}`;
}

/** Returns a number with separators. */
export function formatCount(count: number | bigint): string {
  return count.toLocaleString("en");
}
