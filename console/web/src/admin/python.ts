/** Highlighting of Python. */

import { StreamLanguage, type StreamParser } from "@codemirror/language";

const KEYWORDS = new Set(
  (
    "and as assert async await break class continue def del elif else except finally for from global if import in is " +
    "lambda match nonlocal not or pass raise return try while with yield"
  ).split(" "),
);
const ATOMS = new Set(["None", "True", "False", "self", "cls"]);
const BUILTINS = new Set(
  (
    "abs all any bool bytes dict enumerate Exception filter float int isinstance len list map max min print range " +
    "reversed round set sorted str sum tuple ValueError zip LineBuilder influxdb3_local"
  ).split(" "),
);

interface PythonState {
  /** The quotes that end the present string of several lines. */
  quotes: string | undefined;
  /** Whether the next name is defined. */
  isDefinition: boolean;
}

const parser: StreamParser<PythonState> = {
  name: "python",
  languageData: { commentTokens: { line: "#" } },
  startState: () => ({ quotes: undefined, isDefinition: false }),
  token(stream, state) {
    if (state.quotes !== undefined) {
      const end = state.quotes;
      while (!stream.eol()) {
        if (stream.match(end)) {
          state.quotes = undefined;
          return "string";
        }
        stream.next();
      }
      return "string";
    }
    if (stream.eatSpace()) {
      return null;
    }
    if (stream.match(/^#.*/)) {
      return "comment";
    }
    if (stream.match(/^@[\w.]+/)) {
      return "meta";
    }
    const start = stream.match(/^[rbfuRBFU]{0,2}("""|''')/) as RegExpMatchArray | null;
    if (start) {
      state.quotes = start[1];
      return "string";
    }
    if (stream.match(/^[rbfuRBFU]{0,2}("(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?)/)) {
      return "string";
    }
    if (stream.match(/^(0[xXoObB][\da-fA-F_]+|\d[\d_]*(\.[\d_]*)?([eE][+-]?\d+)?j?)/)) {
      return "number";
    }
    const word = stream.match(/^[A-Za-z_]\w*/) as RegExpMatchArray | null;
    if (word === null) {
      stream.next();
      return null;
    }
    return wordStyle(word[0], state);
  },
};

function wordStyle(word: string, state: PythonState): string | null {
  if (state.isDefinition) {
    state.isDefinition = false;
    return "variableName.definition";
  }
  if (KEYWORDS.has(word)) {
    state.isDefinition = word === "def" || word === "class";
    return "keyword";
  }
  if (ATOMS.has(word)) {
    return "bool";
  }
  return BUILTINS.has(word) ? "variableName.standard" : null;
}

/** Python, for an editor. */
export const python = StreamLanguage.define(parser);
