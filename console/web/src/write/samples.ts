/** Sample data sets, and the values of the live generator. All values are made up, and the same in each run. */

/** A source of random numbers that repeats itself: mulberry32. */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A set of series that are measured at the same times. */
export interface SampleSet {
  id: string;
  title: string;
  description: string;
  /** The tables that the set fills. */
  tables: string[];
  /** The time that the sample covers and the distance of its times, in seconds. */
  spanS: number;
  stepS: number;
  /** The number of rows at each time. */
  rowsPerStep: number;
  /** Makes a function that returns the lines of a time. The times must grow. */
  start(): (timeS: number) => string[];
  /** A statement for the first look. */
  query: string;
}

const DAY_S = 86_400;

/** A value that wanders around a middle. */
function walk(next: () => number, size: number): () => number {
  let value = 0;
  return () => {
    value = value * 0.98 + (next() - 0.5) * size;
    return value;
  };
}

function wave(timeS: number, periodS: number, shift = 0): number {
  return Math.sin(((timeS + shift) / periodS) * 2 * Math.PI);
}

const ROOMS = ["Kitchen", "Living\\ room", "Bedroom", "Bath"];

function startHome(): (timeS: number) => string[] {
  const next = random(1);
  const rooms = ROOMS.map((name, index) => ({ name, index, warmth: walk(next, 0.12), damp: walk(next, 0.8) }));
  return (timeS) =>
    rooms.map(({ name, index, warmth, damp }) => {
      const temp = 20.5 + index * 0.4 + 1.8 * wave(timeS, DAY_S, -8 * 3600) + warmth();
      const hum = 46 + (index === 3 ? 9 : 0) - 5 * wave(timeS, DAY_S, -8 * 3600) + damp();
      const co = Math.max(0, Math.round((index === 0 ? 5 : 1) + 4 * wave(timeS, DAY_S / 3) + next() * 3));
      return `home,room=${name} temp=${temp.toFixed(2)},hum=${hum.toFixed(1)},co=${co}i ${timeS}`;
    });
}

function startServers(): (timeS: number) => string[] {
  const next = random(2);
  const hosts = Array.from({ length: 12 }, (_, index) => ({
    name: `web${String(index + 1).padStart(2, "0")}`,
    region: ["eu", "us", "ap"][index % 3],
    load: walk(next, 9),
    memory: 3.1e9 + next() * 3e9,
    sent: 0,
  }));
  return (timeS) =>
    hosts.flatMap((host, index) => {
      const busy = Math.min(100, Math.max(1, 35 + 22 * wave(timeS, DAY_S, index * 1800) + host.load()));
      host.sent += Math.round(busy * 21_000 * (0.8 + next() * 0.4));
      const used = Math.round(host.memory + busy * 8e6);
      const tags = `host=${host.name},region=${host.region}`;
      const user = (busy * 0.72).toFixed(2);
      return [
        `cpu,${tags} usage_user=${user},usage_system=${(busy * 0.28).toFixed(2)},usage_idle=${(100 - busy).toFixed(2)} ${timeS}`,
        `net,${tags} bytes_sent=${host.sent}u,errors=${next() > 0.995 ? 1 : 0}i ${timeS}`,
        `mem,${tags} used=${used}i,total=8589934592i,is_swapping=${busy > 92 ? "true" : "false"} ${timeS}`,
      ];
    });
}

const STATIONS = [
  ["Reykjavik", 5, 6],
  ["Bergen", 8, 7],
  ["Hamburg", 10, 9],
  ["Lyon", 13, 10],
  ["Lisboa", 17, 6],
  ["Αθήνα", 19, 9],
  ["القاهرة", 22, 8],
  ["東京", 16, 11],
] as const;

function startWeather(): (timeS: number) => string[] {
  const next = random(3);
  const stations = STATIONS.map(([name, mean, swing]) => ({ name, mean, swing, front: walk(next, 1.6) }));
  return (timeS) =>
    stations.map(({ name, mean, swing, front }) => {
      const change = front();
      const year = -wave(timeS, 365.25 * DAY_S, 10 * DAY_S + 91 * DAY_S);
      const celsius = mean + swing * year + 3 * wave(timeS, DAY_S, -9 * 3600) + change;
      const pressure = 1013 - change * 1.7 + (next() - 0.5);
      const rain = change < -1.5 ? Math.max(0, next() * -change).toFixed(1) : "0.0";
      return `weather,station=${name} celsius=${celsius.toFixed(1)},pressure=${pressure.toFixed(1)},rain=${rain} ${timeS}`;
    });
}

/** The data sets, smallest first. */
export const SAMPLE_SETS: readonly SampleSet[] = [
  {
    id: "home",
    title: "Rooms of a home",
    description: "Temperature, humidity and carbon monoxide of four rooms: the last 7 days, each minute.",
    tables: ["home"],
    spanS: 7 * DAY_S,
    stepS: 60,
    rowsPerStep: ROOMS.length,
    start: startHome,
    query:
      "SELECT date_bin(INTERVAL '1 hour', time) AS hour, room, avg(temp) AS temp\nFROM home GROUP BY hour, room ORDER BY hour",
  },
  {
    id: "servers",
    title: "Web servers",
    description: "Processor, memory and network of twelve hosts in three regions: the last 24 hours, each 30 seconds.",
    tables: ["cpu", "net", "mem"],
    spanS: DAY_S,
    stepS: 30,
    rowsPerStep: 36,
    start: startServers,
    query:
      "SELECT date_bin(INTERVAL '10 minutes', time) AS at, region, avg(usage_user) AS usage_user\nFROM cpu GROUP BY at, region ORDER BY at",
  },
  {
    id: "weather",
    title: "Weather stations",
    description: "Temperature, pressure and rain of eight cities: the last two years, each hour.",
    tables: ["weather"],
    spanS: 730 * DAY_S,
    stepS: 3600,
    rowsPerStep: STATIONS.length,
    start: startWeather,
    query:
      "SELECT date_bin(INTERVAL '1 day', time) AS day, station, avg(celsius) AS celsius\nFROM weather GROUP BY day, station ORDER BY day",
  },
];

/** Returns the number of rows of a data set. */
export function rowCount(set: SampleSet): number {
  return Math.floor(set.spanS / set.stepS) * set.rowsPerStep;
}

/** Maximum characters of a piece of a sample before it becomes bytes. */
const PIECE_CHARS = 1 << 20;

/** Returns a data set that ends at a time, as line protocol with times in seconds. */
export function sampleBlob(set: SampleSet, endS: number): Blob {
  const lines = set.start();
  const pieces: Blob[] = [];
  let piece = "";
  const last = Math.floor(endS / set.stepS) * set.stepS;
  for (let step = Math.floor(set.spanS / set.stepS) - 1; step >= 0; step -= 1) {
    piece += `${lines(last - step * set.stepS).join("\n")}\n`;
    if (piece.length > PIECE_CHARS) {
      pieces.push(new Blob([piece]));
      piece = "";
    }
  }
  return new Blob([...pieces, piece]);
}
