// The mode for screens on a wall: a dashboard fills the screen, without the head of the page.

import { computed } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { route, setParams } from "../router";

/** Whether a dashboard fills the screen. */
export const isTv = computed(() => {
  const { view, path, params } = route.value;
  return view === "dashboards" && path.length > 0 && params.has("tv");
});

/** Shows the dashboard on the whole screen. The URL says so, for browsers that start with it. */
export async function startTv(): Promise<void> {
  setParams({ tv: 1 });
  try {
    await document.documentElement.requestFullscreen();
  } catch {
    // The window remains as it is: some browsers have no full screen.
  }
}

/** Shows the page as before. */
export function endTv(): void {
  setParams({ tv: undefined });
}

/** Ends the mode at Escape and at the end of the full screen. */
export function useTvEnd(): void {
  const isOn = isTv.value;
  useEffect(() => {
    if (!isOn) {
      return undefined;
    }
    const onKeyDown = (event: KeyboardEvent): void => {
      if (event.key === "Escape" && document.querySelector("dialog[open]") === null) {
        endTv();
      }
    };
    const onFullscreen = (): void => {
      if (document.fullscreenElement === null) {
        endTv();
      }
    };
    window.addEventListener("keydown", onKeyDown);
    document.addEventListener("fullscreenchange", onFullscreen);
    return () => {
      window.removeEventListener("keydown", onKeyDown);
      document.removeEventListener("fullscreenchange", onFullscreen);
      if (document.fullscreenElement !== null) {
        void document.exitFullscreen();
      }
    };
  }, [isOn]);
}
