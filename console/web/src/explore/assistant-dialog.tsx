/** Asks the model of the server about a statement, and shows its answer as text. */

import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { type AssistantAnswer, type AssistantQuestion, type AssistantTask, askAssistant } from "../api/assistant";
import { messageOf } from "../api/client";
import { currentDatabase } from "../api/schema";
import { info } from "../api/session";
import { Button, CopyButton, Dialog, ErrorNote, Spinner, TextField } from "../ui";
import { insertStatement, isAtItsPlace } from "./insert-statement";
import { type QueryTab, tabs, updateTab } from "./query-tabs";
import type { Statement } from "./statements";

/** The properties of the dialog. */
export interface AssistantDialogProps {
  task: AssistantTask;
  tab: QueryTab;
  /** The statement that the question is about. */
  statement?: Statement;
  /** The error of the statement. */
  error?: string;
  onClose(): void;
}

const TITLES: Record<AssistantTask, string> = {
  explain: "Explain the statement",
  fix: "Fix this error",
  write: "Write a query",
};

/** Asks the model and shows its answer. A statement goes into the editor if the user wants that, and never runs by itself. */
export function AssistantDialog({ task, tab, statement, error, onClose }: AssistantDialogProps): JSX.Element {
  const [request, setRequest] = useState("");
  const { answer, failure, isBusy, ask } = useAnswer();
  const submit = () => {
    const needed = task === "write" ? request : statement?.text;
    if (!isBusy && needed?.trim()) {
      void ask({ task, language: tab.language, statement: statement?.text, error, request });
    }
  };
  useEffect(() => {
    if (task !== "write") {
      submit();
    }
  }, []);
  const text = tabs.value.find(({ id }) => id === tab.id)?.text ?? tab.text;
  const proposed = answer?.statement;
  const insert = () => {
    if (proposed !== undefined) {
      updateTab(tab.id, { text: insertStatement(text, statement, proposed, tab.language), isPreview: false });
      onClose();
    }
  };
  const isReplacing = statement !== undefined && isAtItsPlace(text, statement);
  const actions = (
    <>
      <Button onClick={onClose}>Close</Button>
      {(task === "write" || answer || failure !== undefined) && (
        <Button type="submit" kind={proposed === undefined ? "primary" : "plain"} isBusy={isBusy}>
          {answer || failure !== undefined ? "Ask again" : "Ask"}
        </Button>
      )}
      {proposed !== undefined && (
        <Button kind="primary" icon="edit" onClick={insert} disabled={isBusy}>
          {isReplacing ? "Replace the statement" : "Insert into the editor"}
        </Button>
      )}
    </>
  );
  return (
    <Dialog title={TITLES[task]} size="medium" onClose={onClose} onSubmit={submit} actions={actions}>
      {task === "write" && (
        <TextField
          label="What must the query return?"
          value={request}
          onInput={setRequest}
          lines={3}
          placeholder="The mean moisture of each bed by hour, of the last week"
          autoFocus
        />
      )}
      <div aria-live="polite">
        {isBusy && <Spinner label="Waiting for the model" />}
        {!isBusy && answer && <Answer answer={answer} />}
      </div>
      {!isBusy && failure !== undefined && <ErrorNote error={failure} title="The model has not answered" />}
      <p class="field-hint">
        The model “<bdi>{(info.value?.assistant_model ?? "").slice(0, 100)}</bdi>” gets the statement, the error, what
        you type here, and names and types of columns. It gets no rows. Its answers may be wrong: read a statement
        before you run it.
      </p>
    </Dialog>
  );
}

function Answer({ answer }: { answer: AssistantAnswer }): JSX.Element {
  return (
    <>
      {answer.text !== "" && <p class="preserve-lines assistant-text">{answer.text}</p>}
      {answer.statement !== undefined && (
        <div class="assistant-statement">
          {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a long text scrolls by keyboard. */}
          <pre class="value-text" tabIndex={0}>
            {answer.statement}
          </pre>
          <CopyButton text={answer.statement} label="Copy the statement" />
        </div>
      )}
    </>
  );
}

/** Asks the model, one question at a time, until the dialog is closed. */
function useAnswer() {
  const [state, setState] = useState<{ answer?: AssistantAnswer; failure?: string; isBusy: boolean }>({
    isBusy: false,
  });
  const controller = useRef<AbortController | undefined>(undefined);
  useEffect(() => () => controller.current?.abort(), []);
  const ask = async (question: AssistantQuestion) => {
    const own = new AbortController();
    controller.current = own;
    setState({ isBusy: true });
    try {
      const answer = await askAssistant(currentDatabase.peek(), question, own.signal);
      setState({ answer, isBusy: false });
    } catch (error) {
      if (!own.signal.aborted) {
        setState({ failure: messageOf(error), isBusy: false });
      }
    }
  };
  return { ...state, ask };
}
