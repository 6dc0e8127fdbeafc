/** The plugins of a repository, by default InfluxData's collection: lists and installs them. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { useLoaded } from "../api/use-loaded";
import { Button, Dialog, ErrorNote, notify, Spinner, TextField } from "../ui";
import { AdminTable } from "./admin-table";
import { useChange } from "./create-dialogs";
import { type AvailablePlugin, installPlugin, listAvailablePlugins } from "./plugins";

export interface PluginLibraryProps {
  onInstalled(): void;
  onClose(): void;
}

/** The library. */
export function PluginLibrary({ onInstalled, onClose }: PluginLibraryProps): JSX.Element {
  const available = useLoaded("available plugins", listAvailablePlugins);
  const [filter, setFilter] = useState("");
  const [installed, setInstalled] = useState<string>();
  const { isBusy, error, run } = useChange(onClose);
  const wanted = filter.toLowerCase();
  const shown = (available.value ?? []).filter(({ plugin, description }) =>
    `${plugin} ${description}`.toLowerCase().includes(wanted),
  );
  const install = (plugin: AvailablePlugin): void => {
    setInstalled(plugin.plugin);
    void run(async () => {
      const names = await installPlugin(plugin.plugin);
      notify("success", `${names.join(", ")}: installed. Create a trigger to run it.`);
      onInstalled();
    });
  };
  return (
    <Dialog title="Plugin library" size="large" onClose={onClose} actions={<Button onClick={onClose}>Close</Button>}>
      <p>An installation includes the plugins and the Python packages that a plugin needs.</p>
      {available.error !== undefined && <ErrorNote error={available.error} onRetry={available.reload} />}
      {error !== undefined && <ErrorNote title="The plugin is not installed" error={error} />}
      {available.value === undefined && available.error === undefined && <Spinner label="Loading" />}
      {available.value !== undefined && (
        <>
          <TextField label="Filter plugins" isLabelHidden type="search" value={filter} onInput={setFilter} autoFocus />
          <AdminTable label="All plugins of the library" heads={["Plugin", "Version", "Triggers", "Needs"]}>
            {shown.map((plugin) => (
              <tr key={plugin.plugin}>
                <th scope="row" class="admin-wrap">
                  {plugin.plugin}
                  <br />
                  <span class="muted">{plugin.description.slice(0, 500)}</span>
                </th>
                <td>{plugin.version}</td>
                <td class="admin-wrap">{plugin.triggers.join(", ")}</td>
                <td class="admin-wrap">{[...plugin.plugins, ...plugin.python].join(", ")}</td>
                <td class="admin-actions">
                  <Button
                    kind="quiet"
                    icon="download"
                    title={`Install ${plugin.plugin}`}
                    disabled={isBusy}
                    isBusy={isBusy && installed === plugin.plugin}
                    onClick={() => install(plugin)}
                  >
                    Install
                  </Button>
                </td>
              </tr>
            ))}
          </AdminTable>
        </>
      )}
    </Dialog>
  );
}
