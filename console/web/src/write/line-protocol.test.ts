import { expect, test } from "vitest";
import {
  escapeMeasurement,
  escapeName,
  type LineResult,
  lineLength,
  nextLine,
  parseLine,
  quoteString,
} from "./line-protocol";

function parsed(text: string): NonNullable<LineResult["line"]> {
  const { line, issue } = parseLine(text);
  if (line === undefined) {
    throw new Error(`${text}: ${issue?.message}`);
  }
  return line;
}

function refusal(text: string): string | undefined {
  return parseLine(text).issue?.message;
}

function lines(text: string): string[] {
  const found: string[] = [];
  for (let line = nextLine(text, 0); line !== undefined; line = nextLine(text, line.next)) {
    found.push(text.slice(line.start, line.end));
  }
  return found;
}

test("a line has a measurement, tags, fields and a timestamp", () => {
  const line = parsed('home,room=Living\\ room,floor=2 temp=22.5,on=t,n=-3i,big=7u,text="a,b \\"c\\"" -1700000000  ');
  expect(line.measurement).toBe("home");
  expect(line.tags.map(({ name, value }) => [name, value])).toEqual([
    ["room", "Living room"],
    ["floor", "2"],
  ]);
  expect(line.fields.map(({ name, type, text }) => [name, type, text])).toEqual([
    ["temp", "float", "22.5"],
    ["on", "boolean", "t"],
    ["n", "integer", "-3i"],
    ["big", "uinteger", "7u"],
    ["text", "string", '"a,b \\"c\\""'],
  ]);
  expect(line.timestamp?.value).toBe(-1700000000n);
});

test("names lose only the backslashes before characters that need one", () => {
  expect(parsed("a\\,b\\ c\\=d\\x v=1").measurement).toBe("a,b c\\=d\\x");
  const [tag] = parsed("m,a\\=b\\,c=d\\ e=f\\y v=1").tags;
  expect(tag).toMatchObject({ name: "a=b,c", value: "d e=f\\y" });
});

test.each([
  ["v=1", "float"],
  ["v=-0", "float"],
  ["v=5.", "float"],
  ["v=-.5e-3", "float"],
  ["v=007i", "integer"],
  ["v=18446744073709551615u", "uinteger"],
  ["v=TRUE", "boolean"],
  ["v=F", "boolean"],
  ['v=""', "string"],
  ['v="line\nbreak"', "string"],
])("%s is a %s", (field, type) => {
  expect(parsed(`m ${field}`).fields[0]?.type).toBe(type);
});

test.each([
  ["", "Invalid measurement was provided"],
  [",t=1 v=1", "Invalid measurement was provided"],
  ["m", "Expected at least one space character, got end of input"],
  ["m,t v=1", "Tag set malformed: could not find equals sign in `t v=1`"],
  ["m,=x v=1", "Expected tag key, got `=x v=1`"],
  ["m,t= v=1", "Expected tag value, got ` v=1`"],
  ["m,t=a\\", "Measurements, tag keys and values, and field keys may not end with a backslash"],
  ["m ", "No fields were provided"],
  ["m v=", "No fields were provided"],
  ["m v=+1", "No fields were provided"],
  ["m v=NaN", "No fields were provided"],
  ["m v=1,", "Could not parse entire line. Found trailing content: ``"],
  ["m v=1 1x", "Could not parse entire line. Found trailing content: `x`"],
  ["m v=1x", "Could not parse entire line. Found trailing content: `x`"],
  ["m v=-5u", "Could not parse entire line. Found trailing content: `u`"],
  ["m v=1e400", "Unable to parse floating-point value `1e400`"],
  ["m v=9223372036854775808i", "Unable to parse integer value `9223372036854775808`"],
  ["m v=18446744073709551616u", "Unable to parse unsigned integer value `18446744073709551616`"],
  ["m v=1 9223372036854775808", "Unable to parse timestamp value `9223372036854775808`"],
  ["m v=1 12 then a long text", "Could not parse entire line. Found trailing content: `then a lon...`"],
])("%j is refused with the server's words", (text, message) => {
  expect(refusal(text)).toBe(message);
});

test("an error is marked where it is", () => {
  const text = "home,room=Kitchen temp=22.4,hum=x36 1700000000";
  const { issue } = parseLine(text);
  expect(text.slice(issue?.from, issue?.to)).toBe("hum=x36");
  const late = "home temp=1 17x";
  expect(late.slice(parseLine(late).issue?.from)).toBe("x");
});

test("lines end at newlines outside strings", () => {
  expect(lines('a v="x\ny" 1\nb v=1\n')).toEqual(['a v="x\ny" 1', "b v=1"]);
  expect(lines('a v="x\\"\ny" 1\nb v=1')).toEqual(['a v="x\\"\ny" 1', "b v=1"]);
  expect(lines("a,t=x\\\ny v=1\nb v=1")).toEqual(["a,t=x\\\ny v=1", "b v=1"]);
  expect(lines("a v=1\r\nb v=1\r\n")).toEqual(["a v=1", "b v=1"]);
});

test("a quote outside a field value opens no string", () => {
  for (const first of ['m"a f=1', 'm,k"x=1 f=1', 'm,k="x f=1', 'm f"x=1', 'm f=1"', 'm f\\="=1']) {
    expect(lines(`${first}\nb v=1`)).toEqual([first, "b v=1"]);
  }
});

test("a string that is not closed ends with its line", () => {
  expect(lines('a v="x\nb v=1\nc v=1')).toEqual(['a v="x', "b v=1", "c v=1"]);
});

test("blank lines and comments are no lines", () => {
  expect(lines('\n  # a="1\n\t \n  a v=1\n#x\n \n')).toEqual(["a v=1"]);
});

test("what is escaped is read as it was", () => {
  const name = 'a b,c=d\\e"f';
  const text = 'quote " and \\ and\nnewline';
  const line = parsed(`${escapeMeasurement(name)},${escapeName(name)}=${escapeName(name)} v=${quoteString(text)}`);
  expect(line.measurement).toBe(name);
  expect(line.tags[0]).toMatchObject({ name, value: name });
  expect(line.fields[0]?.text).toBe('"quote \\" and \\\\ and\nnewline"');
});

test("the length of a line of a megabyte is found at once", () => {
  const text = `m v="${"x".repeat(1_000_000)}"\nb v=1`;
  expect(lineLength(text)).toBe(1_000_006);
});
