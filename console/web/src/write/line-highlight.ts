/** Colours line protocol in an editor: the visible lines, each parsed on its own. */

import { type Extension, RangeSetBuilder } from "@codemirror/state";
import { Decoration, type DecorationSet, type EditorView, ViewPlugin, type ViewUpdate } from "@codemirror/view";
import { type LineSpan, type LineToken, nextLine, parseLine, type TokenKind } from "./line-protocol";

const marks = new Map<TokenKind, Decoration>();

function markOf(kind: TokenKind): Decoration {
  let mark = marks.get(kind);
  if (mark === undefined) {
    mark = Decoration.mark({ class: `lp-${kind}` });
    marks.set(kind, mark);
  }
  return mark;
}

/** Maximum length of a line that is coloured, in UTF-16 code units. */
const MAX_LINE = 20_000;

class LineHighlighter {
  decorations: DecorationSet;
  #lines: LineSpan[];

  constructor(view: EditorView) {
    this.#lines = linesOf(view.state.doc.toString());
    this.decorations = this.#build(view);
  }

  update(update: ViewUpdate): void {
    if (update.docChanged) {
      this.#lines = linesOf(update.state.doc.toString());
    }
    if (update.docChanged || update.viewportChanged) {
      this.decorations = this.#build(update.view);
    }
  }

  #build(view: EditorView): DecorationSet {
    const builder = new RangeSetBuilder<Decoration>();
    let next = 0;
    for (const { from, to } of view.visibleRanges) {
      // A long line can be in two ranges.
      for (let at = Math.max(next, firstAfter(this.#lines, from)); at < this.#lines.length; at += 1) {
        const line = this.#lines[at];
        if (line === undefined || line.start > to) {
          break;
        }
        next = at + 1;
        for (const token of tokensOf(view, line)) {
          builder.add(line.start + token.from, line.start + token.to, markOf(token.kind));
        }
      }
    }
    return builder.finish();
  }
}

function tokensOf(view: EditorView, line: LineSpan): LineToken[] {
  return line.end - line.start > MAX_LINE ? [] : parseLine(view.state.sliceDoc(line.start, line.end)).tokens;
}

function linesOf(text: string): LineSpan[] {
  const lines: LineSpan[] = [];
  for (let line = nextLine(text, 0); line !== undefined; line = nextLine(text, line.next)) {
    lines.push(line);
  }
  return lines;
}

/** Returns the position of the first line that ends after a position of the text. */
function firstAfter(lines: LineSpan[], position: number): number {
  let low = 0;
  let high = lines.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((lines[middle]?.end ?? 0) < position) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

/** Colours line protocol. */
export function lineProtocolHighlight(): Extension {
  return ViewPlugin.fromClass(LineHighlighter, { decorations: (plugin) => plugin.decorations });
}
