/** A dialog whose button sends a change. */

import type { ComponentChildren, JSX } from "preact";
import { Button, Dialog, ErrorNote } from "../ui";
import { useChange } from "./create-dialogs";

export interface ChangeDialogProps {
  title: string;
  action: string;
  isReady: boolean;
  /** The change. The dialog closes if it succeeds, and shows the error if not. */
  change(): Promise<void>;
  onChanged(): void;
  onClose(): void;
  children: ComponentChildren;
}

/** A dialog whose button sends a change. */
export function ChangeDialog(props: ChangeDialogProps): JSX.Element {
  const { title, action, isReady, change, onChanged, onClose, children } = props;
  const { isBusy, error, run } = useChange(onClose);
  const submit = async () => {
    await change();
    onChanged();
  };
  const actions = (
    <>
      <Button onClick={onClose}>Cancel</Button>
      <Button kind="primary" type="submit" disabled={!isReady} isBusy={isBusy}>
        {action}
      </Button>
    </>
  );
  return (
    <Dialog
      title={title}
      size="medium"
      onClose={onClose}
      onSubmit={() => isReady && void run(submit)}
      actions={actions}
    >
      {children}
      {error !== undefined && <ErrorNote error={error} />}
    </Dialog>
  );
}
