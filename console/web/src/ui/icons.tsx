/** The icons of the page. */

import type { JSX } from "preact";

/** The outlines of the icons, in a square of 16 by 16. */
const PATHS = {
  add: "M8 3v10M3 8h10",
  assistant: "M7 2.5l1.4 4.1 4.1 1.4-4.1 1.4L7 13.5 5.6 9.4 1.5 8l4.1-1.4zM13 2v3M11.5 3.5h3M13 11.5v2M12 12.5h2",
  bookmark: "M4.5 2.5h7v11L8 10.5l-3.5 3z",
  calendar: "M2.5 4h11v9.5h-11zM2.5 7h11M5.5 2.5V5M10.5 2.5V5",
  chart: "M2.5 2.5v11h11M5 10.5l2.5-3.5 2.5 2 3.5-5",
  check: "M3 8.5l3.5 3.5L13 4.5",
  chevronDown: "M4 6l4 4 4-4",
  chevronRight: "M6 4l4 4-4 4",
  chevronUp: "M4 10l4-4 4 4",
  clock: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zM8 4.5V8l2.5 1.5",
  close: "M4 4l8 8M12 4l-8 8",
  column: "M3 3h10v10H3zM8 3v10",
  copy: "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
  dashboard: "M2.5 2.5h4.5v6H2.5zM9 2.5h4.5v3.5H9zM9 8h4.5v5.5H9zM2.5 10.5H7v3H2.5z",
  database: "M3 4c0-2 10-2 10 0v8c0 2-10 2-10 0zM3 4c0 2 10 2 10 0M3 8c0 2 10 2 10 0",
  download: "M8 2.5v8M4.5 7.5L8 11l3.5-3.5M3 13.5h10",
  drag: "M6 3.5v.01M10 3.5v.01M6 8v.01M10 8v.01M6 12.5v.01M10 12.5v.01",
  edit: "M3 13l.5-3L10.5 3l2.5 2.5L6 12.5z",
  error: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zM8 5v3.5M8 11v.01",
  explore: "M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9zM10.5 10.5l3.5 3.5",
  export: "M8 10V2.5M5 5l3-2.5L11 5M3 9v4.5h10V9",
  field: "M3 4.5h10M3 8h10M3 11.5h6",
  filter: "M2.5 3h11L9.5 8v5l-3-1.5V8z",
  format: "M2.5 3.5h11M5 6.5h8.5M5 9.5h8.5M2.5 12.5h11",
  fullscreen: "M2.5 6V2.5H6M10 2.5h3.5V6M13.5 10v3.5H10M6 13.5H2.5V10",
  help: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zM6.3 6.3c.3-2.3 3.7-2 3.5.2C9.6 8 8 7.7 8 9.3M8 11.3v.01",
  history: "M3 8a5 5 0 1 0 1.5-3.5L3 6M3 3v3h3M8 5.5V8l2 1.5",
  import: "M8 2.5V10M5 7.5L8 10l3-2.5M3 9v4.5h10V9",
  info: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zM8 7.5V11M8 5v.01",
  key: "M10.5 2.5a3 3 0 1 0 0 6 3 3 0 0 0 0-6zM8.3 7.7l-5.3 5.3M4.5 11.5l1.5 1.5",
  menu: "M2.5 4h11M2.5 8h11M2.5 12h11",
  moon: "M13 9.5A5.5 5.5 0 0 1 6.5 3 5.5 5.5 0 1 0 13 9.5z",
  more: "M3.5 8v.01M8 8v.01M12.5 8v.01",
  operate: "M2 8h3l2-5 2.5 10 2-5H14",
  pause: "M5.5 3v10M10.5 3v10",
  play: "M4.5 3l8 5-8 5z",
  refresh: "M13 8a5 5 0 1 1-1.5-3.5L13 6M13 3v3h-3",
  save: "M3 3h8l2 2v8H3zM5.5 3v3h4V3M5 13V9h6v4",
  settings: "M2.5 4.5h6M11.5 4.5h2M10 3v3M2.5 11.5h2M7.5 11.5h6M6 10v3",
  signOut: "M6.5 2.5h-4v11h4M6 8h7.5M11 5l3 3-3 3",
  stop: "M4 4h8v8H4z",
  sun: "M8 5a3 3 0 1 0 0 6 3 3 0 0 0 0-6zM8 1.5v1M8 13.5v1M1.5 8h1M13.5 8h1M3.4 3.4l.7.7M11.9 11.9l.7.7M12.6 3.4l-.7.7M4.1 11.9l-.7.7",
  system: "M3 3h10v7H3zM6 13h4M8 10v3",
  table: "M2.5 3h11v10h-11zM2.5 6.5h11M2.5 10h11M6.5 6.5V13",
  tag: "M2.5 2.5h5.5l5.5 5.5-5.5 5.5L2.5 8zM5.5 5.5v.01",
  time: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zM8 4.5V8l2.5 1.5",
  trash: "M2.5 4.5h11M6 4.5v-2h4v2M4 4.5l.5 9h7l.5-9M6.5 7v4M9.5 7v4",
  tree: "M3 3h4v3H3zM9 10h4v3H9zM5 6v5.5h4",
  undo: "M4 6.5h5.5a3.5 3.5 0 0 1 0 7H6M6.5 4L4 6.5 6.5 9",
  upload: "M8 11V2.5M4.5 6L8 2.5 11.5 6M3 13.5h10",
  user: "M8 2.5a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5zM3 13.5c0-5 10-5 10 0",
  view: "M2.5 4h11v9h-11zM2.5 7h11M6.5 7v6M9 10h2.5M10.2 8.8v2.4",
  warning: "M8 2.5l6 11H2zM8 7v3M8 11.8v.01",
  write: "M3 13h10M8 10.5v-8M5 7.5l3 3 3-3",
} as const;

/** The names of the icons. */
export type IconName = keyof typeof PATHS;

/** An icon in the colour of the text. Screen readers skip it: the control beside it has the name. */
export function Icon({ name, size = 16 }: { name: IconName; size?: number }): JSX.Element {
  return (
    <svg
      class="icon"
      style={size === 16 ? undefined : { width: `${size}px`, height: `${size}px` }}
      viewBox="0 0 16 16"
      aria-hidden="true"
      focusable="false"
    >
      <path d={PATHS[name]} />
    </svg>
  );
}
