/** The parts of the editor that are not needed to show and type a text. They are loaded once it is shown. */

import { autocompletion, closeBrackets, closeBracketsKeymap } from "@codemirror/autocomplete";
import { highlightSelectionMatches, search, searchKeymap } from "@codemirror/search";
import type { Extension } from "@codemirror/state";
import { keymap } from "@codemirror/view";

export { closeCompletion } from "@codemirror/autocomplete";

/** Completion, closing brackets and search, with their keys. */
export const EXTRAS: Extension = [
  closeBrackets(),
  autocompletion({ maxRenderedOptions: 60 }),
  search({ top: true }),
  highlightSelectionMatches(),
  keymap.of([...closeBracketsKeymap, ...searchKeymap]),
];
