/** The head of the page: navigation, database, theme and help. */

import type { JSX } from "preact";
import { currentDatabase, databases } from "../api/schema";
import { info, isRequired, signOut } from "../api/session";
import { link, navigate, route, type ViewName } from "../router";
import { Icon, IconButton, type IconName, Select } from "../ui";
import { Logo } from "./logo";
import { theme, toggleTheme } from "./theme";
import { ZoneMenu } from "./zone-menu";

/** The views, in the order of the navigation. */
export const VIEWS: readonly { name: ViewName; label: string; icon: IconName; key: string }[] = [
  { name: "explore", label: "Explore", icon: "explore", key: "e" },
  { name: "dashboards", label: "Dashboards", icon: "dashboard", key: "d" },
  { name: "telemetry", label: "Telemetry", icon: "tree", key: "t" },
  { name: "write", label: "Write", icon: "write", key: "w" },
  { name: "administer", label: "Administer", icon: "settings", key: "a" },
  { name: "operate", label: "Operate", icon: "operate", key: "o" },
];

/** The properties of the head of the page. */
export interface HeaderProps {
  onHelp(): void;
  onPalette(): void;
}

/** The head of the page: navigation, database, and what concerns the session. */
export function Header({ onHelp, onPalette }: HeaderProps): JSX.Element {
  const isDark = theme.value === "dark";
  return (
    <header class="shell-head">
      <button type="button" class="button skip-link" onClick={skipToMain}>
        Skip to the content
      </button>
      <Logo />
      <nav class="shell-nav" aria-label="Views">
        {VIEWS.map(({ name, label, icon }) => (
          <a key={name} href={link(name)} aria-current={route.value.view === name ? "page" : undefined} title={label}>
            <Icon name={icon} />
            <span>{label}</span>
          </a>
        ))}
      </nav>
      <div class="shell-tools">
        <DatabaseSelect />
        <ZoneMenu />
        <IconButton icon="explore" label="Find a command (Ctrl+K)" onClick={onPalette} class="wide-only" />
        <IconButton
          icon={isDark ? "sun" : "moon"}
          label={isDark ? "Use light colours" : "Use dark colours"}
          onClick={toggleTheme}
        />
        <IconButton icon="help" label="Keyboard (?)" onClick={onHelp} class="wide-only" />
        {isRequired.value && <IconButton icon="signOut" label={signOutLabel()} onClick={() => void signOut()} />}
        {info.value && <span class="shell-version muted">{info.value.version}</span>}
      </div>
    </header>
  );
}

function signOutLabel(): string {
  const name = info.value?.token_name;
  const kind = info.value?.is_user ? "user" : "token";
  return name === undefined ? "Sign out" : `Sign out of the ${kind} ${name.slice(0, 40)}`;
}

function DatabaseSelect(): JSX.Element | null {
  const names = databases.value.map(({ name }) => name);
  const current = currentDatabase.value;
  if (names.length === 0) {
    return null;
  }
  const options = names.includes(current) || current === "" ? names : [current, ...names];
  return (
    <Select
      label="Database"
      isLabelHidden
      class="database-select"
      value={current}
      options={options.map((name) => ({ value: name, label: name.length > 60 ? `${name.slice(0, 60)}…` : name }))}
      onChange={(name) => navigate(link(route.value.view, { db: name }))}
    />
  );
}

function skipToMain(): void {
  document.getElementById("main")?.focus();
}
