/** Parts of InfluxQL that can't be placeholders of a statement, filled before it is sent. */

const UNITS: Record<string, string> = { millisecond: "ms", second: "s", minute: "m", hour: "h", day: "d" };

/** A regular expression after an operator that compares with one. */
const REGEX = /([=!]~\s*\/)((?:[^/\\\n]|\\.)*)(\/)/g;

/**
 * Returns a statement with the interval in `time($interval)`, and with the values of parameters in regular expressions. All of
 * a variable, null, is `.*`.
 */
export function fillInfluxql(text: string, values: Record<string, unknown>): string {
  const duration = durationOf(values.interval);
  const timed = duration === undefined ? text : text.replace(/\btime\(\s*\$interval\b/gi, `time(${duration}`);
  return timed.replace(REGEX, (_, start: string, pattern: string, end: string) => {
    const filled = pattern.replace(/\$(\w+)/g, (whole, name: string) => {
      return Object.hasOwn(values, name) ? patternOf(values[name]) : whole;
    });
    return start + filled + end;
  });
}

/** Returns a duration of InfluxQL for an interval such as `5 minutes`. */
function durationOf(interval: unknown): string | undefined {
  const [, count, name = ""] = /^(\d+) (\w+?)s?$/.exec(String(interval)) ?? [];
  const unit = UNITS[name];
  return count === undefined || unit === undefined ? undefined : count + unit;
}

function patternOf(value: unknown): string {
  return value === null ? ".*" : String(value).replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
}
