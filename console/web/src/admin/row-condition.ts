/** The condition of a row delete: a time range and values of tags, as the server accepts them. */

import { quoteIdentifier, quoteText } from "../api/schema";
import { formatOffset, fromWall, zone } from "../time/zone";

/** The values of one tag that are selected. */
export interface TagChoice {
  tag: string;
  /** `null`: rows without the tag. */
  values: (string | null)[];
}

export interface RowChoice {
  /** The first time; empty: from the beginning. */
  from: string;
  /** The time after the last one; empty: without end. */
  to: string;
  tags: TagChoice[];
}

const MOMENT = /^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2})(?::(\d{2})(\.\d{1,9})?)?)?\s*(Z|[+-]\d{2}:\d{2})?$/;

/** Returns a time as RFC 3339; `undefined` if the text is none. Without an offset, it is one of the zone of the page. */
export function parseMoment(text: string, zoneName = zone.peek()): string | undefined {
  const match = MOMENT.exec(text.trim());
  if (match === null) {
    return undefined;
  }
  const [, day, minute = "00:00", second = "00", fraction = "", offset] = match;
  const parsed = new Date(`${day}T${minute}:${second}Z`);
  const isReal = !Number.isNaN(parsed.getTime()) && parsed.toISOString().startsWith(day ?? " ");
  if (!isReal) {
    return undefined;
  }
  const own = offset ?? formatOffset(fromWall(parsed.getTime(), zoneName), zoneName);
  return `${day}T${minute}:${second}${fraction}${own}`;
}

/** Returns why a choice is wrong; `undefined` if it is right. */
export function choiceProblem(choice: RowChoice): string | undefined {
  const from = choice.from === "" ? undefined : parseMoment(choice.from);
  const to = choice.to === "" ? undefined : parseMoment(choice.to);
  if ((choice.from !== "" && from === undefined) || (choice.to !== "" && to === undefined)) {
    return "Write a time such as 2026-01-31 or 2026-01-31T12:00:00Z.";
  }
  if (from !== undefined && to !== undefined && new Date(from) >= new Date(to)) {
    return "The end must be after the start.";
  }
  return undefined;
}

/** Returns the condition in SQL; empty: all rows. */
export function conditionOf(choice: RowChoice): string {
  const from = parseMoment(choice.from);
  const to = parseMoment(choice.to);
  const parts = [
    from === undefined ? "" : `time >= TIMESTAMP ${quoteText(from)}`,
    to === undefined ? "" : `time < TIMESTAMP ${quoteText(to)}`,
    ...choice.tags.map(tagCondition),
  ];
  return parts.filter((part) => part !== "").join(" AND ");
}

function tagCondition({ tag, values }: TagChoice): string {
  const name = quoteIdentifier(tag);
  const parts = values.map((value) => (value === null ? `${name} IS NULL` : `${name} = ${quoteText(value)}`));
  return parts.length > 1 ? `(${parts.join(" OR ")})` : (parts[0] ?? "");
}
