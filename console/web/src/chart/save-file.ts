// Files that the page offers to save.

/** The length of a file name at most, without its ending. */
const MAX_NAME_LENGTH = 80;

/** Returns a file name from any text: without separators, control characters and names that systems reserve. */
export function fileName(text: string, ending: string): string {
  const clean = text
    .normalize("NFKC")
    .replace(/[^\p{L}\p{N}._ -]+/gu, "-")
    .replace(/^[-. ]+|[-. ]+$/g, "");
  const name = Array.from(clean).slice(0, MAX_NAME_LENGTH).join("");
  const isReserved = name === "" || /^(con|prn|aux|nul|com\d|lpt\d)(\.|$)/i.test(name);
  return `${isReserved ? `neap-${name}`.replace(/-$/, "") : name}.${ending}`;
}

/** Saves data as a file. */
export function saveFile(data: Blob, name: string): void {
  const url = URL.createObjectURL(data);
  const anchor = document.createElement("a");
  anchor.href = url;
  anchor.download = name;
  anchor.click();
  // Some browsers read the data after the click.
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
