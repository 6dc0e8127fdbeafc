/** The plugins of the server: uploads, and what triggers run. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { formatBytes } from "../api/format-value";
import { Button, ConfirmDialog, ErrorNote, Icon, Spinner } from "../ui";
import { counted } from "../write/names";
import { ScrollArea } from "../write/scroll-area";
import { PluginLibrary } from "./plugin-library";
import { openTrigger, openUpload } from "./plugin-open";
import { deletePlugin, groupPlugins, type PluginFile, type ServerPlugin } from "./plugins";
import type { Trigger } from "./triggers";

export interface PluginListProps {
  database: string;
  /** The triggers of the database: their code can be opened here. */
  triggers: readonly Trigger[];
  files: readonly PluginFile[] | undefined;
  error: unknown;
  onReload(): void;
}

/** The list. */
export function PluginList({ database, triggers, files, error, onReload }: PluginListProps): JSX.Element {
  const [toDelete, setToDelete] = useState<string>();
  const [isLibraryOpen, setLibraryOpen] = useState(false);
  const plugins = groupPlugins(files ?? []);
  return (
    <section class="admin-section" aria-labelledby="plugins-title">
      <header class="admin-head">
        <h2 id="plugins-title">Plugins of the server</h2>
        <Button icon="download" onClick={() => setLibraryOpen(true)}>
          Library
        </Button>
      </header>
      {error !== undefined && <ErrorNote error={error} onRetry={onReload} />}
      {files === undefined && error === undefined && <Spinner label="Loading" />}
      {files?.length === 0 && <p class="muted">None is uploaded, and no trigger runs one.</p>}
      {plugins.length > 0 && (
        <ScrollArea class="preview-scroll" label="All plugins">
          <ul class="plugin-list">
            {plugins.map((plugin) => (
              <li key={`${plugin.trigger ?? ""} ${plugin.name}`}>
                <Icon name="format" />
                <span class="plugin-name">
                  <span class="preview-cell monospace">{plugin.name}</span>
                  <span class="muted preview-cell">{describe(plugin)}</span>
                </span>
                <OpenButton database={database} plugin={plugin} triggers={triggers} />
                {plugin.trigger === undefined && (
                  <Button kind="quiet" icon="trash" onClick={() => setToDelete(plugin.name)}>
                    Delete
                  </Button>
                )}
              </li>
            ))}
          </ul>
        </ScrollArea>
      )}
      {isLibraryOpen && <PluginLibrary onInstalled={onReload} onClose={() => setLibraryOpen(false)} />}
      {toDelete !== undefined && (
        <ConfirmDialog
          title={`Delete the upload ${toDelete}`}
          action="Delete upload"
          typeToConfirm={toDelete}
          onConfirm={async () => {
            await deletePlugin(toDelete);
            onReload();
          }}
          onClose={() => setToDelete(undefined)}
        >
          <p>Triggers keep the code that they were created with. New triggers cannot name the upload any more.</p>
        </ConfirmDialog>
      )}
    </section>
  );
}

function describe({ trigger, files, bytes }: ServerPlugin): string {
  const owner = trigger === undefined ? "uploaded" : `run by ${trigger}`;
  return `${owner}, ${files === 1 ? "" : `${counted(files, "file")}, `}${formatBytes(bytes)}`;
}

interface OpenButtonProps {
  database: string;
  plugin: ServerPlugin;
  triggers: readonly Trigger[];
}

/** Opens an upload, or the code of a trigger of the chosen database. */
function OpenButton({ database, plugin, triggers }: OpenButtonProps): JSX.Element | null {
  const { name } = plugin;
  if (plugin.trigger === undefined) {
    return (
      <Button kind="quiet" icon="edit" title={`Open ${name}`} onClick={() => void openUpload(name)}>
        Open
      </Button>
    );
  }
  const trigger = triggers.find((other) => other.name === plugin.trigger);
  return trigger === undefined ? null : (
    <Button
      kind="quiet"
      icon="edit"
      title={`Open the code of ${trigger.name}`}
      onClick={() => void openTrigger(database, trigger.name, trigger.plugin)}
    >
      Open
    </Button>
  );
}
