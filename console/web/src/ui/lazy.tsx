/** A part of the page that is loaded when it is shown. */

import type { ComponentType, JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { messageOf } from "../api/client";
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
  const [loaded, setLoaded] = useState<{ component?: ComponentType<P>; error?: string }>({});
  useEffect(() => {
    load().then(
      (component) => setLoaded({ component }),
      (error: unknown) => setLoaded({ error: messageOf(error) }),
    );
  }, []);
  if (loaded.error !== undefined) {
    return <ErrorNote error={loaded.error} title="This part of the page can't be loaded. Reload the page." />;
  }
  return loaded.component ? <loaded.component {...props} /> : <Spinner label="Loading" />;
}
