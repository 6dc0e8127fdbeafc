/** The cost of the requests of the process, by database and kind. */

import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { formatBytes, formatRounded } from "../api/format-value";
import { currentDatabase, databases, INTERNAL_DATABASE } from "../api/schema";
import { info, isAdmin } from "../api/session";
import { useLoaded } from "../api/use-loaded";
import { formatWall, zone } from "../time/zone";
import { Button, ErrorNote, Note, Select } from "../ui";
import { type BillItem, billBy, difference, HOURS_PER_MONTH, type RequestCount, total } from "./bill";
import { type DataColumn, DataTable } from "./data-table";
import { formatDollars, formatSeconds } from "./format";
import { PriceEditor } from "./price-editor";
import { DEFAULT_PRICES, loadPrices, type PriceList, savePrices } from "./prices";
import { Share } from "./share";
import { countRequests, type StoreRequests } from "./store-requests";
import { measureTables } from "./system-tables";

/** The time between two counts, in milliseconds. */
const COUNT_INTERVAL_MS = 5_000;

/** The first count of this visit, which later counts are compared with. */
const firstCount = signal<{ requests: StoreRequests; timeMs: number } | undefined>(undefined);

const prices = signal<PriceList>(typeof localStorage === "undefined" ? DEFAULT_PRICES : loadPrices(localStorage));

/** Which requests the bill is made of. */
type Basis = "process" | "visit";

/** Requests of some time. */
interface CountedTime {
  counts: RequestCount[];
  seconds: number;
}

/** What the requests of the process to the store cost. */
export function CostPanel(): JSX.Element {
  const [basis, setBasis] = useState<Basis>("process");
  const loaded = useLoaded(
    `requests-${isAdmin.value}`,
    async (abort) => {
      const requests = await countRequests(isAdmin.value, abort);
      const present = { requests, timeMs: Date.now() };
      // A process that started later has counters of its own.
      if (firstCount.value === undefined || firstCount.value.requests.sinceMs + 5_000 < requests.sinceMs) {
        firstCount.value = present;
      }
      return present;
    },
    COUNT_INTERVAL_MS,
  );
  if (loaded.value === undefined) {
    return loaded.error === undefined ? (
      <p class="operate-status" role="status">
        Counting the requests to the store…
      </p>
    ) : (
      <ErrorNote title="The requests to the store can't be counted." error={loaded.error} onRetry={loaded.reload} />
    );
  }
  const counted = countedTime(loaded.value, basis);
  return (
    <div class="operate-cost">
      <Scope sinceMs={loaded.value.requests.sinceMs} />
      {loaded.error !== undefined && <ErrorNote title="The figures below are old." error={loaded.error} />}
      <div class="cost-controls">
        <Select<Basis>
          label="Calculate from"
          value={basis}
          options={[
            { value: "process", label: "all requests since the process started" },
            { value: "visit", label: "requests since this page was opened" },
          ]}
          onChange={setBasis}
        />
      </div>
      <Bill counted={counted} hasDatabases={loaded.value.requests.hasDatabases} />
      <StorageCost />
      <PriceEditor
        prices={prices.value}
        onChange={(changed) => {
          prices.value = changed;
          savePrices(localStorage, changed);
        }}
      />
    </div>
  );
}

/** Says what the figures contain, because they are not the bill of the account. */
function Scope({ sinceMs }: { sinceMs: number }): JSX.Element {
  const node = info.value?.node_id;
  return (
    <Note>
      <p>
        These are the requests of one process{node ? `, ${node},` : ""} since {formatMoment(sinceMs)}. Other processes
        and functions on the same bucket send requests of their own, which are not in these figures. If the store is a
        directory or memory, the requests cost nothing: the figures show what they would cost in a bucket. Storage,
        servers and transfer to other regions or to the internet are not part of them.
      </p>
    </Note>
  );
}

function countedTime(present: { requests: StoreRequests; timeMs: number }, basis: Basis): CountedTime {
  const first = firstCount.value;
  if (basis === "visit" && first !== undefined) {
    const counts = difference(present.requests.counts, first.requests.counts).filter((count) => count.requests > 0);
    return { counts, seconds: (present.timeMs - first.timeMs) / 1_000 };
  }
  return { counts: present.requests.counts, seconds: (present.timeMs - present.requests.sinceMs) / 1_000 };
}

/** A shorter time says nothing about an hour. */
const MIN_SECONDS = 20;

/** A shorter time is dominated by the requests of a start. */
const SETTLED_SECONDS = 600;

function Bill({ counted, hasDatabases }: { counted: CountedTime; hasDatabases: boolean }): JSX.Element {
  const { counts, seconds } = counted;
  const list = prices.value;
  const byKind = billBy(counts, list, (count) => `${count.operation.toUpperCase()} ${count.objectClass}`);
  const sum = total(byKind);
  const perHour = seconds < MIN_SECONDS ? undefined : 3_600 / seconds;
  return (
    <>
      <dl class="cost-tiles">
        <Tile label="per hour" value={hourly(sum.cost, perHour)} />
        <Tile label={`per month of ${HOURS_PER_MONTH} hours`} value={monthly(sum.cost, perHour)} />
        <Tile label="requests per hour" value={perHour === undefined ? "–" : formatRounded(sum.requests * perHour)} />
        <Tile label={`in ${formatSeconds(seconds)}`} value={formatDollars(sum.cost)} />
      </dl>
      {seconds < SETTLED_SECONDS && (
        <p class="operate-status">
          The counted time is short{seconds < MIN_SECONDS ? `: rates appear after ${MIN_SECONDS} seconds` : ""}. A start
          costs requests that a running process does not repeat, so the rates fall.
        </p>
      )}
      {hasDatabases ? (
        <BillTable
          title="By database"
          nameLabel="Database"
          items={billBy(counts, list, (count) => count.database)}
          perHour={perHour}
        />
      ) : (
        <p class="operate-status">Requests by database are shown to administrators.</p>
      )}
      <BillTable title="By request" nameLabel="Request and object" items={byKind} perHour={perHour} />
    </>
  );
}

function hourly(cost: number, perHour: number | undefined): string {
  return perHour === undefined ? "–" : formatDollars(cost * perHour);
}

function monthly(cost: number, perHour: number | undefined): string {
  return hourly(cost * HOURS_PER_MONTH, perHour);
}

function Tile({ label, value }: { label: string; value: string }): JSX.Element {
  return (
    <div class="cost-tile">
      <dt>{label}</dt>
      <dd>{value}</dd>
    </div>
  );
}

const BILL_COLUMNS: readonly DataColumn[] = [
  { name: "Requests", isNumber: true },
  { name: "Bytes", isNumber: true },
  { name: "per hour", isNumber: true },
  { name: "per month", isNumber: true },
  { name: "Share of the cost" },
];

const STORAGE_COLUMNS: readonly DataColumn[] = [
  { name: "Database" },
  { name: "Bytes", isNumber: true },
  { name: "per month", isNumber: true },
];

interface BillTableProps {
  title: string;
  nameLabel: string;
  items: readonly BillItem[];
  /** Factor from the counted time to an hour, if the time says something about an hour. */
  perHour: number | undefined;
}

function BillTable({ title, nameLabel, items, perHour }: BillTableProps): JSX.Element {
  const sum = total(items);
  return (
    <section class="bill">
      <h2>{title}</h2>
      <DataTable
        label={title}
        columns={[{ name: nameLabel }, ...BILL_COLUMNS]}
        foot={
          <tr>
            <th scope="row">All</th>
            <td class="number">{sum.requests.toLocaleString("en")}</td>
            <td class="number">{formatBytes(sum.bytes)}</td>
            <td class="number">{hourly(sum.cost, perHour)}</td>
            <td class="number">{monthly(sum.cost, perHour)}</td>
            <td />
          </tr>
        }
      >
        {items.map((item) => (
          <BillRow key={item.name ?? ""} item={item} perHour={perHour} whole={sum.cost} />
        ))}
      </DataTable>
    </section>
  );
}

function BillRow({
  item,
  perHour,
  whole,
}: {
  item: BillItem;
  perHour: number | undefined;
  whole: number;
}): JSX.Element {
  const name = item.name ?? "of no database";
  return (
    <tr>
      <th scope="row" class="cut">
        {name}
      </th>
      <td class="number">{item.requests.toLocaleString("en")}</td>
      <td class="number">{formatBytes(item.bytes)}</td>
      <td class="number">{hourly(item.cost, perHour)}</td>
      <td class="number">{monthly(item.cost, perHour)}</td>
      <td>
        <Share value={whole === 0 ? 0 : item.cost / whole} label={name.slice(0, 80)} />
      </td>
    </tr>
  );
}

/** Storage is measured on demand, because this may read pages of manifests, which costs requests. */
function StorageCost(): JSX.Element {
  const [sizes, setSizes] = useState<{ database: string; bytes: number }[]>();
  const [error, setError] = useState<unknown>();
  const [isBusy, setBusy] = useState(false);
  const names = databases.value.map((database) => database.name).filter((name) => name !== INTERNAL_DATABASE);
  const measure = async (): Promise<void> => {
    setBusy(true);
    setError(undefined);
    try {
      const found: { database: string; bytes: number }[] = [];
      for (const database of names.length > 0 ? names : [currentDatabase.value]) {
        const tables = await measureTables(database);
        found.push({ database, bytes: tables.reduce((sum, table) => sum + table.size_bytes, 0) });
      }
      setSizes(found.sort((left, right) => right.bytes - left.bytes));
    } catch (failure) {
      setError(failure);
    }
    setBusy(false);
  };
  const price = prices.value.storagePerGibMonth;
  return (
    <section class="bill">
      <h2>Storage</h2>
      <p class="operate-status">
        Sections that the databases use now. Objects that wait for their deletion, the tail and caches are not counted.
      </p>
      <Button icon="refresh" onClick={() => void measure()} isBusy={isBusy}>
        Measure the storage
      </Button>
      {error !== undefined && <ErrorNote error={error} />}
      {sizes && (
        <DataTable label="Storage" columns={STORAGE_COLUMNS}>
          {sizes.map(({ database, bytes }) => (
            <tr key={database}>
              <th scope="row" class="cut">
                {database}
              </th>
              <td class="number">{formatBytes(bytes)}</td>
              <td class="number">{formatDollars((bytes / 1024 ** 3) * price)}</td>
            </tr>
          ))}
        </DataTable>
      )}
    </section>
  );
}

function formatMoment(timeMs: number): string {
  return `${formatWall(timeMs, zone.value, "minutes")} ${zone.value}`;
}
