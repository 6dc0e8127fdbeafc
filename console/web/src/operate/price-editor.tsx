/** Shows and changes the prices of the bill. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { Select, TextField } from "../ui";
import { isPrice, PRICE_LABELS, type PriceList, PUBLISHED_PRICES, publishedPrices } from "./prices";

/** The properties of the editor of prices. */
export interface PriceEditorProps {
  prices: PriceList;
  onChange(prices: PriceList): void;
}

/** Shows the prices of the bill, where they come from, and lets the user change them. */
export function PriceEditor({ prices, onChange }: PriceEditorProps): JSX.Element {
  const published = publishedPrices(prices);
  const keys = Object.keys(PRICE_LABELS) as (keyof PriceList)[];
  const options = [
    ...PUBLISHED_PRICES.map((list) => ({ value: list.id, label: `${list.name}, ${list.region}` })),
    { value: "own", label: "prices of your own", disabled: true },
  ];
  return (
    <section class="bill">
      <h2>Prices</h2>
      <div class="price-fields">
        <Select
          label="Price list"
          value={published?.id ?? "own"}
          options={options}
          onChange={(id) => {
            const list = PUBLISHED_PRICES.find((candidate) => candidate.id === id);
            if (list !== undefined) {
              onChange({ ...list.prices });
            }
          }}
        />
        {keys.map((key) => (
          <PriceField
            key={key}
            label={`$ for ${PRICE_LABELS[key]}`}
            price={prices[key]}
            onChange={(price) => onChange({ ...prices, [key]: price })}
          />
        ))}
      </div>
      {published ? (
        <p class="operate-status">
          List prices of {published.name} in {published.region}, without discounts, free amounts and tax, as of{" "}
          {published.checkedOn}:{" "}
          <a href={published.address} target="_blank" rel="noopener noreferrer">
            {published.address}
          </a>
          . Compare them with the list before you rely on the sums.
        </p>
      ) : (
        <p class="operate-status">These prices are your own. This browser keeps them.</p>
      )}
    </section>
  );
}

function PriceField(props: { label: string; price: number; onChange(price: number): void }): JSX.Element {
  const { label, price, onChange } = props;
  // A number that is being typed may be incomplete, so the text is kept, together with the price that it belongs to.
  const [typed, setTyped] = useState({ text: String(price), price });
  const text = typed.price === price ? typed.text : String(price);
  return (
    <TextField
      label={label}
      value={text}
      error={isValid(text) ? undefined : "Enter a number that is not negative."}
      onInput={(input) => {
        if (isValid(input)) {
          setTyped({ text: input, price: Number(input) });
          onChange(Number(input));
        } else {
          setTyped({ text: input, price });
        }
      }}
    />
  );
}

function isValid(text: string): boolean {
  return text.trim() !== "" && isPrice(Number(text));
}
