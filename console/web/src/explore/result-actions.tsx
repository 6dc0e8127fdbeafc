/** Downloads a result, and copies its query for other tools. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { messageOf } from "../api/client";
import { isRequired } from "../api/session";
import { stampOf } from "../time/refresh";
import { zone } from "../time/zone";
import { copyText, Menu, notify, Spinner } from "../ui";
import { type CopiedQuery, toCurl, toNeap, toPython } from "./copy-as";
import { type CsvForm, CsvRewriter, isServerForm, toCsv } from "./csv-form";
import { downloadResult, type FileFormat, saveText } from "./download";
import { buildQuery, type Execution } from "./execution";
import type { QueryTab } from "./query-tabs";
import { statementKind } from "./statements";

const FILES: readonly { label: string; format: FileFormat; separator?: CsvForm["separator"] }[] = [
  { label: "CSV", format: "csv" },
  { label: "CSV with ; and decimal comma", format: "csv", separator: ";" },
  { label: "Parquet", format: "parquet" },
  { label: "Arrow", format: "arrow" },
];

/** What a user does with a result: download it, or run the query elsewhere. */
export function ResultActions({ tab, execution }: { tab: QueryTab; execution?: Execution }): JSX.Element {
  const [isBusy, setBusy] = useState(false);
  // The language of the tab may have changed since the run.
  const { text, language } = execution?.query ?? tab;
  const isChange = statementKind(text, language) === "change";
  const download = async (format: FileFormat, separator: CsvForm["separator"] = ",") => {
    if (!execution) {
      return;
    }
    const form = { separator, zone: zone.peek() };
    const isRewritten = format === "csv" && !isServerForm(form);
    const rewriter = isRewritten ? new CsvRewriter(form, execution.result?.columns ?? []) : undefined;
    setBusy(true);
    try {
      // The same moment as that of the shown rows, so that the file has the same rows.
      const stamp = stampOf(execution.result?.headers);
      if (language === "promql" && execution.result) {
        const csv = toCsv(execution.result);
        saveText(rewriter ? rewriter.push(csv) + rewriter.end() : csv, execution.query.database);
        return;
      }
      await downloadResult({ ...execution.query, asOf: execution.query.asOf ?? stamp }, format, rewriter);
    } catch (error) {
      notify("error", `The download failed: ${messageOf(error)}`);
    } finally {
      setBusy(false);
    }
  };
  const copy = async (form: (query: CopiedQuery) => string, name: string) => {
    const query = execution?.query ?? buildQuery(tab, tab.text);
    const copied = form({
      origin: location.origin,
      database: query.database,
      text: query.text,
      language: query.language,
      parameters: query.parameters ?? {},
      asOf: query.asOf,
      needsToken: isRequired.value,
    });
    if (await copyText(copied)) {
      notify("success", `Copied ${name}.`);
    }
  };
  return (
    <div class="result-actions">
      {isBusy && <Spinner />}
      <Menu
        label="Copy as"
        icon="copy"
        kind="quiet"
        items={[
          { label: "curl", icon: "copy", onSelect: () => void copy(toCurl, "a curl command") },
          {
            label: "Python",
            icon: "copy",
            disabled: language === "promql",
            onSelect: () => void copy(toPython, "a Python program"),
          },
          { label: "neap query", icon: "copy", onSelect: () => void copy(toNeap, "a neap command") },
        ]}
      />
      <Menu
        label="Download"
        icon="download"
        kind="quiet"
        items={FILES.map(({ label, format, separator }) => ({
          label,
          icon: "download" as const,
          detail: `.${format}`,
          disabled: isBusy || execution?.status !== "done" || isChange || (format !== "csv" && language === "promql"),
          onSelect: () => void download(format, separator),
        }))}
      />
    </div>
  );
}
