/** The editor of plugins: templates, the code of the server, uploads, and new code for triggers. */

import type { JSX } from "preact";
import { useRef, useState } from "preact/hooks";
import { messageOf } from "../api/client";
import { type Loaded, useLoaded } from "../api/use-loaded";
import { Button, ErrorNote, Menu, Note, notify, Select, Spinner, TextField } from "../ui";
import { MarkedEditor } from "../write/marked-editor";
import { optionsOf } from "../write/names";
import { DryRunForm } from "./dry-run-form";
import {
  type DraftFolder,
  editCode,
  editedPlugin,
  editPlugin,
  filesOf,
  markSaved,
  type PluginDraft,
  pluginOf,
  replaceDraft,
  showFile,
  singleFile,
  TEMPLATES,
} from "./plugin-draft";
import { PluginList } from "./plugin-list";
import { dismissOpening, openingCode, openTrigger } from "./plugin-open";
import {
  INIT,
  isCodeElsewhere,
  listPluginFiles,
  pluginNameError,
  updateTriggerCode,
  updateTriggerFolder,
  uploadFolder,
  uploadPlugin,
} from "./plugins";
import { python } from "./python";
import { CreateTriggerDialog } from "./trigger-dialog";
import { listTriggers, type Trigger } from "./triggers";

/** The panel. */
export function PluginsPanel({ database }: { database: string }): JSX.Element {
  const files = useLoaded("plugin files", () => listPluginFiles());
  const triggers = useLoaded(database, () => listTriggers(database));
  return (
    <div class="admin-plugins">
      <PluginEditor database={database} triggers={triggers} onChanged={files.reload} />
      <aside class="plugin-side">
        <DryRunForm database={database} />
        <PluginList
          database={database}
          triggers={triggers.value ?? []}
          files={files.value}
          error={files.error}
          onReload={files.reload}
        />
      </aside>
    </div>
  );
}

interface PluginEditorProps {
  database: string;
  triggers: Loaded<Trigger[]>;
  onChanged(): void;
}

function PluginEditor({ database, triggers, onChanged }: PluginEditorProps): JSX.Element {
  const draft = editedPlugin.value;
  const [isCreating, setCreating] = useState(false);
  return (
    <section class="admin-section plugin-editor" aria-labelledby="plugin-title">
      <header class="admin-head">
        <h2 id="plugin-title">Plugin</h2>
        <EditorMenus />
      </header>
      <OpeningNote />
      <NameFields draft={draft} />
      <MarkedEditor
        key={`${draft.version} ${draft.folder?.path ?? ""}`}
        label="Code of the plugin"
        value={draft.code}
        onChange={editCode}
        language={python}
        placeholder="Choose a template, open a file or a plugin of the server, or write Python here."
      />
      <SaveButtons
        database={database}
        triggers={triggers.value ?? []}
        onChanged={onChanged}
        onCreate={() => setCreating(true)}
      />
      {isCreating && (
        <CreateTriggerDialog
          database={database}
          plugin={pluginOf(draft)}
          onCreated={() => {
            triggers.reload();
            onChanged();
          }}
          onClose={() => setCreating(false)}
        />
      )}
    </section>
  );
}

/** Says which code is being read, or why it cannot be read. */
function OpeningNote(): JSX.Element | null {
  const opening = openingCode.value;
  if (opening === undefined) {
    return null;
  }
  const { plugin, trigger, problem } = opening;
  if (problem === undefined) {
    return <Spinner label={`Reading the code of ${trigger ?? plugin}`} />;
  }
  if (trigger === undefined || !isCodeElsewhere(problem)) {
    return <ErrorNote title={`The code of ${trigger ?? plugin} is not read`} error={problem} onRetry={opening.retry} />;
  }
  return (
    <Note kind="warning">
      <p>
        This server cannot read the code of {trigger}: its plugin {plugin} lies in the plugin folder of a server. Open
        the file from your disk, or write the new code here. Nothing changes before you give it to the trigger.
      </p>
      <p class="muted">{messageOf(problem)}</p>
    </Note>
  );
}

/** The name of the plugin, and for a folder the file that the editor shows. */
function NameFields({ draft }: { draft: PluginDraft }): JSX.Element {
  const { folder } = draft;
  const name = pluginOf(draft);
  const error = name === "" ? undefined : pluginNameError(name, folder !== undefined);
  if (folder === undefined) {
    return (
      <TextField
        label="File name"
        value={name}
        onInput={(text) => editPlugin({ name: text })}
        placeholder="alarm.py"
        error={error}
        isMonospace
      />
    );
  }
  return (
    <div class="plugin-files">
      <TextField
        label="Folder name"
        value={name}
        onInput={(text) => editPlugin({ folder: { ...folder, name: text } })}
        placeholder="alarm"
        error={error}
        isMonospace
      />
      <Select
        label={`File (${folder.files.length} in the folder)`}
        value={folder.path}
        options={fileOptions(folder)}
        onChange={showFile}
      />
    </div>
  );
}

function fileOptions({ files, changed }: DraftFolder): { value: string; label: string }[] {
  return optionsOf(files.map(({ path }) => path)).map(({ value, label }) => ({
    value,
    label: changed.includes(value) ? `${label} (changed)` : label,
  }));
}

interface SaveButtonsProps {
  database: string;
  triggers: readonly Trigger[];
  onChanged(): void;
  onCreate(): void;
}

/** Uploads the code, or gives it to a trigger. */
function SaveButtons({ database, triggers, onChanged, onCreate }: SaveButtonsProps): JSX.Element {
  const draft = editedPlugin.value;
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const { folder } = draft;
  const name = pluginOf(draft);
  const files = filesOf(draft);
  const hasCode = files.some(({ content }) => content.trim() !== "");
  const isNamed = name !== "" && pluginNameError(name, folder !== undefined) === undefined;
  const target = triggers.find((trigger) => trigger.name === draft.trigger);
  const problem = target && targetProblem(draft, target);
  const run = async (change: () => Promise<void>, done: string) => {
    setBusy(true);
    setError(undefined);
    try {
      await change();
      markSaved();
      dismissOpening();
      notify("success", done);
      onChanged();
    } catch (failure) {
      setError(failure);
    }
    setBusy(false);
  };
  const upload = () =>
    run(
      () => (folder === undefined ? uploadPlugin(name, draft.code) : uploadFolder(name, folder.files)),
      `${name} is uploaded. Triggers keep their code.`,
    );
  const update = (trigger: string) =>
    run(
      () =>
        folder === undefined
          ? updateTriggerCode(database, trigger, draft.code)
          : updateTriggerFolder(database, trigger, folder.files),
      `${trigger} runs the new code from its next run on.`,
    );
  return (
    <>
      {error !== undefined && <ErrorNote error={error} />}
      <div class="write-buttons admin-buttons">
        <Button
          kind="primary"
          icon="upload"
          onClick={() => void upload()}
          disabled={!hasCode || !isNamed}
          isBusy={isBusy}
        >
          Upload
        </Button>
        <Button icon="add" onClick={onCreate} disabled={name === ""}>
          Create trigger
        </Button>
        <span class="plugin-update">
          <Select
            label="Trigger"
            isLabelHidden
            value={target === undefined ? "" : draft.trigger}
            options={[{ value: "", label: "Trigger …" }, ...optionsOf(triggers.map((trigger) => trigger.name))]}
            onChange={(trigger) => editPlugin({ trigger })}
          />
          <Button
            onClick={() => target && void openTrigger(database, target.name, target.plugin)}
            disabled={target === undefined || isBusy}
          >
            Open its code
          </Button>
          <Button
            onClick={() => target && void update(target.name)}
            disabled={!hasCode || target === undefined || problem !== undefined || isBusy}
          >
            Give it this code
          </Button>
        </span>
      </div>
      {problem !== undefined && <p class="field-error">{problem}</p>}
      {target !== undefined && folder === undefined && !isSingleFile(target) && (
        <p class="muted">
          {target.name} runs the folder {target.plugin}: this code becomes its {INIT}.
        </p>
      )}
    </>
  );
}

/** Returns why a trigger cannot run the draft; `undefined` if it can, as far as the page knows. */
function targetProblem({ folder }: PluginDraft, trigger: Trigger): string | undefined {
  return folder !== undefined && isSingleFile(trigger)
    ? `${trigger.name} runs the single file ${trigger.plugin}: it cannot run a folder. Create another trigger.`
    : undefined;
}

function isSingleFile({ plugin }: Trigger): boolean {
  return plugin.endsWith(".py");
}

/** Templates and files replace the code; what is changed can be brought back. */
function EditorMenus(): JSX.Element {
  const input = useRef<HTMLInputElement>(null);
  const replace = (name: string, code: string, trigger?: string) => {
    dismissOpening();
    replaceDraft(name, singleFile(name, code), trigger);
  };
  const open = async (file: File) => {
    try {
      // A file from the disk may be the new code of the chosen trigger.
      replace(file.name, await file.text(), editedPlugin.value.trigger);
    } catch (error) {
      notify("error", messageOf(error));
    }
  };
  return (
    <>
      <Menu
        label="Templates"
        icon="add"
        items={TEMPLATES.map(({ name, label, code }) => ({
          label,
          onSelect: () => replace(`${name}.py`, code),
        }))}
      />
      <input
        ref={input}
        type="file"
        class="visually-hidden"
        aria-label="File of a plugin"
        tabIndex={-1}
        accept=".py"
        onChange={(event) => {
          const [file] = event.currentTarget.files ?? [];
          event.currentTarget.value = "";
          if (file !== undefined) {
            void open(file);
          }
        }}
      />
      <Button icon="import" onClick={() => input.current?.click()}>
        Open file
      </Button>
    </>
  );
}
