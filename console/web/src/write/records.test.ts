import { expect, test } from "vitest";
import { CsvCutter, csvCells, JsonLinesCutter, LineProtocolCutter, type RecordCutter } from "./records";

/** Feeds a text in pieces and returns the parts. */
function parts(cutter: RecordCutter, text: string, size: number): { body: string; records: number }[] {
  const found: { body: string; records: number }[] = [];
  let kept = "";
  for (let at = 0; at < text.length; at += size) {
    kept += text.slice(at, at + size);
    const part = cutter.cut(kept, at + size >= text.length);
    if (part !== undefined) {
      found.push({ body: part.body, records: part.records });
      kept = kept.slice(part.consumed.length);
    }
  }
  expect(kept).toBe("");
  return found;
}

test("parts of line protocol end where lines end, for any size of the pieces", () => {
  const text = '# c\na v="x\ny",n=1i 1\n\nb,t=\\"q v=2\r\nc v="open\nd v=3 4\n';
  const whole = parts(new LineProtocolCutter(), text, text.length);
  expect(whole[0]?.records).toBe(4);
  for (let size = 1; size < text.length; size += 1) {
    const cut = parts(new LineProtocolCutter(), text, size);
    expect(cut.map(({ body }) => body).join("")).toBe(text);
    expect(
      cut.reduce((sum, part) => sum + part.records, 0),
      `pieces of ${size}`,
    ).toBe(4);
  }
});

test("parts of CSV repeat the header, and quoted newlines end no row", () => {
  const text = 'time,room,text\n1,a,"x\ny"\n2,b,"say ""hi"""\n\n3,c,z';
  const cut = parts(new CsvCutter(), text, 24);
  expect(cut.reduce((sum, part) => sum + part.records, 0)).toBe(3);
  for (const part of cut) {
    expect(part.body.startsWith("time,room,text\n")).toBe(true);
  }
});

test("parts of annotated CSV repeat the annotations of their table", () => {
  const text = "#datatype,tag,double\n#group,true,false\nroom,temp\na,1\nb,2\n#datatype,tag,long\nroom,n\nc,3\nd,4\n";
  const cut = parts(new CsvCutter(), text, 8).filter((part) => part.records > 0);
  expect(cut.reduce((sum, part) => sum + part.records, 0)).toBe(4);
  expect(cut[0]?.body).toContain("#datatype,tag,double\n#group,true,false\nroom,temp\n");
  expect(cut.at(-1)?.body.startsWith("#datatype,tag,long\nroom,n\n")).toBe(true);
});

test("parts of JSON lines end at newlines", () => {
  const text = '{"a":1}\n\n{"a":2}\n{"a":3}';
  const cut = parts(new JsonLinesCutter(), text, 5);
  expect(cut.map(({ body }) => body).join("")).toBe(text);
  expect(cut.reduce((sum, part) => sum + part.records, 0)).toBe(3);
});

test("cells of CSV lose their quotes", () => {
  expect(csvCells('a,"b,""c""",,d\r\n')).toEqual(["a", 'b,"c"', "", "d"]);
  expect(csvCells("a,")).toEqual(["a", ""]);
  expect(csvCells("")).toEqual([""]);
});
