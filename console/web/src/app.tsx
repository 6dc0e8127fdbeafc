/** The page: its shell, the view of the present address, and what is shown while the server is away. */

import { effect } from "@preact/signals";
import type { ComponentType, JSX } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import { messageOf } from "./api/client";
import { listDatabases } from "./api/schema";
import { info, isReachable, refresh, state } from "./api/session";
import { link, navigate, route, type ViewName } from "./router";
import { type Command, useCommands } from "./shell/commands";
import { Header, VIEWS } from "./shell/header";
import { KeyboardHelp } from "./shell/help";
import { CommandPalette } from "./shell/palette";
import { SignIn } from "./shell/sign-in";
import { toggleTheme } from "./shell/theme";
import { isTv } from "./shell/tv-mode";
import { Button, EmptyState, ErrorNote, notify, Spinner, useModule } from "./ui";
import { Toasts } from "./ui/toast";

type LazyView = () => Promise<{ default: ComponentType }>;

const LAZY_VIEWS: Record<ViewName, LazyView> = {
  explore: () => {
    // The editor is the largest part, so it is read beside the view that shows it.
    import("./explore/query-editor").catch(() => undefined);
    return import("./explore/explore-view");
  },
  dashboards: () => import("./dashboards/dashboards-view"),
  telemetry: () => import("./telemetry/telemetry-view"),
  write: () => import("./write/write-view"),
  administer: () => import("./admin/admin-view"),
  operate: () => import("./operate/operate-view"),
};

/** The time between two attempts to reach a server that does not answer, in milliseconds. */
const RECONNECT_MS = 2_000;

/** The time after which the files of views that are not shown are read, in milliseconds. */
const READ_AHEAD_MS = 5_000;

/** The page. */
export function App(): JSX.Element {
  // The view is read while the session begins. If this fails, it is read again when it is shown.
  useEffect(() => void LAZY_VIEWS[route.peek().view]().catch(() => undefined), []);
  return (
    <>
      <Content />
      <Toasts />
    </>
  );
}

function Content(): JSX.Element {
  switch (state.value) {
    case "loading":
      return (
        <main class="shell-wait">
          <Spinner label="Connecting" />
        </main>
      );
    case "unreachable":
      return <Unreachable />;
    case "signed-out":
      return <SignIn />;
    case "ready":
      return <Shell />;
  }
}

function Unreachable(): JSX.Element {
  useReconnect();
  return (
    <main class="shell-wait">
      <EmptyState icon="warning" title="The server does not answer">
        <p>The page tries again until it does.</p>
        <Button icon="refresh" onClick={() => void refresh()}>
          Try now
        </Button>
      </EmptyState>
    </main>
  );
}

function Shell(): JSX.Element {
  const [isHelpOpen, setHelpOpen] = useState(false);
  const [isPaletteOpen, setPaletteOpen] = useState(false);
  const shellCommands = useMemo(() => listShellCommands(() => setHelpOpen(true)), []);
  useCommands(shellCommands);
  useShellKeys(
    () => setHelpOpen(true),
    () => setPaletteOpen(true),
  );
  useDatabases();
  useOtherViews();
  useTitle();
  return (
    <div class="shell">
      {!isTv.value && <Header onHelp={() => setHelpOpen(true)} onPalette={() => setPaletteOpen(true)} />}
      {!isReachable.value && <Offline />}
      <main class="shell-main" id="main" tabIndex={-1}>
        <View name={route.value.view} key={route.value.view} />
      </main>
      {isHelpOpen && <KeyboardHelp onClose={() => setHelpOpen(false)} />}
      {isPaletteOpen && <CommandPalette onClose={() => setPaletteOpen(false)} />}
    </div>
  );
}

function Offline(): JSX.Element {
  useReconnect();
  return (
    <div class="shell-offline" role="status">
      <Spinner /> The server does not answer. The page connects again as soon as it does.
    </div>
  );
}

function View({ name }: { name: ViewName }): JSX.Element {
  const { value: Shown, error } = useModule(name, async () => (await LAZY_VIEWS[name]()).default);
  if (error !== undefined) {
    const title = "This part of the page can't be loaded. If the server was updated, reload the page.";
    return <ErrorNote title={title} error={error} onRetry={() => location.reload()} />;
  }
  return Shown ? <Shown /> : <Spinner label="Loading" />;
}

/** Lists the databases when the session starts and when the server answers again. */
function useDatabases(): void {
  useEffect(
    () =>
      effect(() => {
        if (info.value !== undefined && isReachable.value) {
          listDatabases().catch((error: unknown) => {
            // The sign-in says it if the token is not accepted any more.
            if (info.peek() !== undefined) {
              notify("error", `The databases can't be listed: ${messageOf(error)}`);
            }
          });
        }
      }),
    [],
  );
}

/**
 * Reads the files of the other views into the cache of the browser, so that they open while the server is away. Browsers
 * do not repeat the load of a module that has failed.
 */
function useOtherViews(): void {
  const isAway = !isReachable.value;
  useEffect(() => {
    const timer = isAway ? undefined : setTimeout(() => void readAhead(), READ_AHEAD_MS);
    return () => clearTimeout(timer);
  }, [isAway]);
}

async function readAhead(): Promise<void> {
  const list = document.querySelector<HTMLMetaElement>('meta[name="neap-files"]')?.content ?? "";
  for (const file of list.split(" ").filter((name) => name !== "")) {
    try {
      await (await fetch(file, { priority: "low" })).arrayBuffer();
    } catch {
      return; // Reads them when the server is back.
    }
  }
}

function useTitle(): void {
  const label = VIEWS.find(({ name }) => name === route.value.view)?.label;
  useEffect(() => {
    document.title = `${label} – Neap`;
  }, [label]);
}

function useReconnect(): void {
  useEffect(() => {
    const timer = setInterval(() => void refresh(), RECONNECT_MS);
    return () => clearInterval(timer);
  }, []);
}

/** Handles the keys of the whole page: `?`, Ctrl+K, and `g` followed by the key of a view. */
function useShellKeys(onHelp: () => void, onPalette: () => void): void {
  useEffect(() => {
    let isGoing = false;
    const onKeyDown = (event: KeyboardEvent) => {
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
        event.preventDefault();
        onPalette();
        return;
      }
      if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event) || document.querySelector("dialog[open]")) {
        return;
      }
      const view = VIEWS.find(({ key }) => key === event.key);
      if (isGoing && view) {
        event.preventDefault();
        navigate(link(view.name));
      } else if (event.key === "?") {
        event.preventDefault();
        onHelp();
      }
      isGoing = event.key === "g";
    };
    document.addEventListener("keydown", onKeyDown);
    return () => document.removeEventListener("keydown", onKeyDown);
  }, []);
}

function isTyping(event: KeyboardEvent): boolean {
  const target = event.composedPath()[0];
  if (!(target instanceof HTMLElement)) {
    return false;
  }
  return target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName);
}

function listShellCommands(onHelp: () => void): Command[] {
  const views = VIEWS.map(
    ({ name, label, icon, key }): Command => ({
      id: `view ${name}`,
      label: `Go to ${label}`,
      group: "Views",
      icon,
      keys: `g ${key}`,
      run: () => navigate(link(name)),
    }),
  );
  return [
    ...views,
    { id: "theme", label: "Switch between light and dark", group: "Page", icon: "moon", run: toggleTheme },
    { id: "help", label: "Show the keys", group: "Page", icon: "help", keys: "?", run: onHelp },
  ];
}
