/** A part of the page that is loaded when it is shown. */

import type { ComponentType, JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { messageOf } from "../api/client";
import { isReachable, refresh } from "../api/session";
import { Spinner } from "./button";
import { ErrorNote } from "./notes";

/** The properties of a part that is loaded later. */
export interface LazyProps<P extends object> {
  /** Loads the component. Called once. */
  load(): Promise<ComponentType<P>>;
  /** The properties of the component. */
  props: P;
}

/** Renders a component that is loaded when it is first shown. */
export function Lazy<P extends object>({ load, props }: LazyProps<P>): JSX.Element {
  const { value: Component, error } = useModule("part", load);
  if (error !== undefined) {
    return <ErrorNote error={error} title="This part of the page can't be loaded. Reload the page." />;
  }
  return Component ? <Component {...props} /> : <Spinner label="Loading" />;
}

/**
 * Loads a part of the page, and again when the key changes. If it fails because the server is away, the bar of the page
 * says so, and the part is loaded when the server is back.
 */
export function useModule<T>(key: string, load: () => Promise<T>): { value?: T; error?: string } {
  const [loaded, setLoaded] = useState<{ key: string; value?: T; error?: string }>({ key });
  const present = loaded.key === key ? loaded : { key };
  const isAway = !isReachable.value;
  const isWanted = present.value === undefined && !isAway;
  useEffect(() => {
    if (!isWanted) {
      return undefined;
    }
    let isShown = true;
    load().then(
      (value) => isShown && setLoaded({ key, value }),
      async (error: unknown) => {
        // Asks whether the server is away, or only this file is missing.
        await refresh();
        if (isShown && isReachable.peek()) {
          setLoaded({ key, error: messageOf(error) });
        }
      },
    );
    return () => {
      isShown = false;
    };
  }, [key, isWanted]);
  return isAway ? { value: present.value } : present;
}
