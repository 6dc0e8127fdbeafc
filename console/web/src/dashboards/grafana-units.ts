// The units of Grafana, and those of this page.

/** The unit of this page for each unit of Grafana. The first of several is the one that is exported. */
export const UNIT_IDS: Readonly<Record<string, string>> = {
  short: "short",
  bytes: "bytes",
  decbytes: "bytes_si",
  binBps: "bytes_per_second",
  Bps: "bytes_per_second",
  bps: "bits_per_second",
  percent: "percent",
  percentunit: "ratio",
  s: "seconds",
  ms: "milliseconds",
  µs: "microseconds",
  ns: "nanoseconds",
  ops: "per_second",
  reqps: "per_second",
  cps: "per_second",
  celsius: "celsius",
  fahrenheit: "fahrenheit",
  watt: "watt",
  watth: "watt_hour",
  volt: "volt",
  amp: "ampere",
  hertz: "hertz",
  pressurepa: "pascal",
  pressurehpa: "hectopascal",
  lengthm: "metre",
  velocityms: "metres_per_second",
  velocitykmh: "kilometres_per_hour",
  massg: "gram",
  litre: "litre",
  currencyUSD: "usd",
  currencyEUR: "eur",
};

/** Returns the unit of Grafana for a unit of this page. */
export function grafanaUnit(id: string | undefined): string | undefined {
  return Object.entries(UNIT_IDS).find(([, known]) => known === id)?.[0];
}
