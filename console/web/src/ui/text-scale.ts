/** Returns how much larger the text is than the one that the widths are meant for. */
export function textScale(): number {
  return Number.parseFloat(getComputedStyle(document.documentElement).fontSize) / 13 || 1;
}
