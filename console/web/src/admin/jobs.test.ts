import { expect, test } from "vitest";
import { type Backup, descendants } from "./backups";
import { type ImportJob, parseColumnTypes, progressOf } from "./imports";
import { permissionLines, stateOf, type User } from "./users";

test("types_of_columns_are_read_line_by_line", () => {
  expect(parseColumnTypes(" bed:tag\n\na:b:time \n__proto__:f64")).toEqual(
    Object.fromEntries([
      ["bed", "tag"],
      ["a:b", "time"],
      ["__proto__", "f64"],
    ]),
  );
  expect(parseColumnTypes("")).toEqual({});
  for (const wrong of ["bed", ":tag", "bed:", "bed:number"]) {
    expect(() => parseColumnTypes(wrong), wrong).toThrow("NAME:TYPE");
  }
});

test("the_progress_of_an_import_is_a_part_of_its_rows", () => {
  const job = (imported_rows: number, row_count: number) => ({ imported_rows, row_count }) as ImportJob;
  expect([progressOf(job(0, 4)), progressOf(job(1, 4)), progressOf(job(4, 4)), progressOf(job(0, 0))]).toEqual([
    0, 0.25, 1, 1,
  ]);
});

test("the_backups_that_continue_a_backup_are_found_through_others", () => {
  const backup = (name: string, parent?: string) => ({ name, parent }) as Backup;
  const all = [backup("c", "b"), backup("b", "a"), backup("a"), backup("d", "a"), backup("x")];
  expect(descendants(all, "a")).toEqual(["b", "c", "d"]);
  expect(descendants(all, "x")).toEqual([]);
});

test("the_state_of_a_user_names_the_first_reason_against_a_sign_in", () => {
  const user = { disabled: false, expiresAt: 10, requiresPasswordReset: true } as User;
  expect(stateOf(user, 9_999)).toBe("must set a password");
  expect(stateOf(user, 10_000)).toBe("expired");
  expect(stateOf({ ...user, disabled: true }, 10_000)).toBe("disabled");
  expect(stateOf({ ...user, requiresPasswordReset: undefined }, 0)).toBe("active");
});

test("permissions_are_one_in_each_line", () => {
  expect(permissionLines(" db:home:read,write \n\nuser:*:read")).toEqual(["db:home:read,write", "user:*:read"]);
});
