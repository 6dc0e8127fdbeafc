/** Chooses the time zone of the page. */

import type { JSX } from "preact";
import { useMemo, useState } from "preact/hooks";
import { browserZone, chooseZone, isZone, UTC, zone, zoneChoice, zoneNames } from "../time/zone";
import { Button, Popover, TextField } from "../ui";

/** A button that shows the time zone of the page, and changes it. */
export function ZoneMenu(): JSX.Element {
  return (
    <Popover label={`Time zone: ${zone.value}`} text={shortName(zone.value)} icon="clock" kind="quiet" align="end">
      {(close) => <ZoneForm onDone={close} />}
    </Popover>
  );
}

function ZoneForm({ onDone }: { onDone(): void }): JSX.Element {
  const [name, setName] = useState("");
  const names = useMemo(zoneNames, []);
  const isKnown = isZone(name.trim());
  const choose = (choice: string) => {
    chooseZone(choice);
    onDone();
  };
  return (
    <div class="zone-form">
      <p class="muted">The zone of all times that the page shows, and of times that you type without an offset.</p>
      <ul aria-label="Time zones">
        {[
          { choice: "utc", label: UTC },
          { choice: "browser", label: `This browser: ${browserZone()}` },
        ].map(({ choice, label }) => (
          <li key={choice}>
            <button
              type="button"
              class="menu-item"
              aria-pressed={zoneChoice.value === choice}
              onClick={() => choose(choice)}
            >
              {label}
            </button>
          </li>
        ))}
      </ul>
      <TextField
        label="Another zone"
        value={name}
        onInput={setName}
        onEnter={() => isKnown && choose(name.trim())}
        suggestions={names}
        placeholder="Europe/Berlin"
        error={name !== "" && !isKnown ? "This is no zone such as Europe/Berlin." : undefined}
      />
      <Button kind="primary" onClick={() => choose(name.trim())} disabled={!isKnown}>
        Use this zone
      </Button>
    </div>
  );
}

function shortName(name: string): string {
  return (name.split("/").pop() ?? name).replaceAll("_", " ");
}
