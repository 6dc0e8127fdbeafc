/** Asks what to do when another user has changed the dashboard. */

import type { JSX } from "preact";
import { Button, Dialog } from "../ui";
import { formatUpdate } from "./dashboard-list";
import type { OpenDashboard } from "./dashboard-store";

/** The properties of the dialog. */
export interface ConflictDialogProps {
  mine: OpenDashboard;
  /** What another user saved; `undefined` if the dashboard was deleted. */
  theirs: OpenDashboard | undefined;
  onReload(): Promise<void>;
  onOverwrite(version: number): void;
  onCopy(name: string): void;
  onClose(): void;
}

/** Asks what happens to changes of a dashboard that another user changed meanwhile. */
export function ConflictDialog(props: ConflictDialogProps): JSX.Element {
  const { mine, theirs, onReload, onOverwrite, onCopy, onClose } = props;
  const copy = (
    <Button kind={theirs ? "plain" : "primary"} onClick={() => onCopy(theirs ? `${mine.name} (copy)` : mine.name)}>
      {theirs ? "Save mine as a copy" : "Save mine anew"}
    </Button>
  );
  const actions = (
    <>
      <Button onClick={onClose}>Cancel</Button>
      {copy}
      {theirs && (
        <>
          <Button kind="danger" onClick={() => onOverwrite(theirs.version)}>
            Overwrite
          </Button>
          <Button kind="primary" onClick={() => void onReload()}>
            Load theirs
          </Button>
        </>
      )}
    </>
  );
  return (
    <Dialog
      title={theirs ? "Another user changed this dashboard" : "Another user deleted this dashboard"}
      onClose={onClose}
      actions={actions}
    >
      {theirs ? (
        <p>
          Your changes are based on version {mine.version}. Meanwhile version {theirs.version} was saved
          {theirs.updatedAt && <>, {formatUpdate(theirs.updatedAt)}</>}
          {theirs.updatedBy && (
            <>
              {" by "}
              <bdi>{theirs.updatedBy}</bdi>
            </>
          )}
          . Load that version and lose your changes, or overwrite it with yours.
        </p>
      ) : (
        <p>Your version is still here. Save it anew to keep it.</p>
      )}
    </Dialog>
  );
}
