import { expect, test } from "vitest";
import { DEFAULT_MAX_BYTES } from "../api/query";
import { truncationNote } from "./truncation-note";

test("the_note_names_the_bound_at_which_the_result_was_cut", () => {
  expect(truncationNote({ rows: 1_500, truncatedAt: DEFAULT_MAX_BYTES })).toBe(
    "The page shows the first 1,500 rows, because the result is larger than 256 MiB. Download it, or narrow the query.",
  );
  expect(truncationNote({ rows: 1_500, truncatedAt: DEFAULT_MAX_BYTES / 4 })).toBe(
    "The page shows the first 1,500 rows, because the result is larger than 64 MiB, its part of the 256 MiB of all " +
      "statements that ran together. Run it alone, download it, or narrow the query.",
  );
  expect(truncationNote({ rows: 1_500 })).toBeUndefined();
});
