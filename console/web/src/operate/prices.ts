/** The list prices of a kind of store, in US dollars without discounts, free amounts and tax. */
export interface PriceList {
  /** 1,000 requests that write or list: PUT, COPY, POST, LIST. */
  writePerThousand: number;
  /** 1,000 requests that read: GET, HEAD. */
  readPerThousand: number;
  /** A gibibyte that is sent to the store. */
  uploadPerGib: number;
  /** A gibibyte that is read from the store. */
  downloadPerGib: number;
  /** A gibibyte that is stored for a month. */
  storagePerGibMonth: number;
}

/** A published price list. */
export interface PublishedPrices {
  id: string;
  name: string;
  region: string;
  prices: PriceList;
  /** The page of the list. */
  address: string;
  /** The day on which the prices were compared with the list. */
  checkedOn: string;
}

/** The prices that the console knows. `bench/prices.py` has the same ones; a test compares them. */
export const PUBLISHED_PRICES: readonly PublishedPrices[] = [
  {
    id: "s3-standard",
    name: "S3 Standard",
    region: "us-east-1",
    prices: {
      writePerThousand: 0.005,
      readPerThousand: 0.0004,
      uploadPerGib: 0,
      downloadPerGib: 0,
      storagePerGibMonth: 0.023,
    },
    address: "https://aws.amazon.com/s3/pricing/",
    checkedOn: "2026-09-24",
  },
  {
    id: "s3-express",
    name: "S3 Express One Zone",
    region: "us-east-1",
    prices: {
      writePerThousand: 0.00113,
      readPerThousand: 0.00003,
      uploadPerGib: 0.0032,
      downloadPerGib: 0.0006,
      storagePerGibMonth: 0.11,
    },
    address: "https://aws.amazon.com/s3/pricing/",
    checkedOn: "2026-09-24",
  },
];

/** The prices that a new page uses. */
export const DEFAULT_PRICES: PriceList = {
  writePerThousand: 0.005,
  readPerThousand: 0.0004,
  uploadPerGib: 0,
  downloadPerGib: 0,
  storagePerGibMonth: 0.023,
};

/** The names of the prices, for people. */
export const PRICE_LABELS: Readonly<Record<keyof PriceList, string>> = {
  writePerThousand: "1,000 PUT or LIST",
  readPerThousand: "1,000 GET or HEAD",
  uploadPerGib: "1 GiB sent to the store",
  downloadPerGib: "1 GiB read from the store",
  storagePerGibMonth: "1 GiB stored for a month",
};

/** Returns the published list with exactly these prices. */
export function publishedPrices(prices: PriceList): PublishedPrices | undefined {
  const keys = Object.keys(PRICE_LABELS) as (keyof PriceList)[];
  return PUBLISHED_PRICES.find((list) => keys.every((key) => list.prices[key] === prices[key]));
}

/** The key of edited prices in the browser. They are no secret. */
const STORAGE_KEY = "neap-prices";

/** Returns the prices that the user entered last, or else the default. */
export function loadPrices(storage: Pick<Storage, "getItem">): PriceList {
  try {
    const stored: unknown = JSON.parse(storage.getItem(STORAGE_KEY) ?? "null");
    return isPriceList(stored) ? stored : DEFAULT_PRICES;
  } catch {
    return DEFAULT_PRICES;
  }
}

/** Keeps the prices for the next visit. A browser that refuses to store them forgets them. */
export function savePrices(storage: Pick<Storage, "setItem">, prices: PriceList): void {
  try {
    storage.setItem(STORAGE_KEY, JSON.stringify(prices));
  } catch {
    // The page works without it.
  }
}

function isPriceList(value: unknown): value is PriceList {
  const isObject = typeof value === "object" && value !== null;
  return isObject && Object.keys(PRICE_LABELS).every((key) => isPrice((value as Record<string, unknown>)[key]));
}

/** Returns whether a value is a price: a number that is not negative. */
export function isPrice(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value) && value >= 0;
}
