//! Parses line protocol into Arrow columns.
//!
//! [`parse`] reads a body and returns, for each table, one Arrow record batch of the accepted lines and the columns to
//! create, and the refused lines with InfluxDB 3's error texts. There are no intermediate point objects: values go
//! directly from the text into the columns.
//!
//! # Lines
//!
//! ```text
//! line  = measurement *("," tagkey "=" tagvalue) 1*SP field *("," field) [1*SP timestamp] *SP
//! field = fieldkey "=" (integer "i" / unsigned "u" / float / string / boolean)
//! ```
//!
//! Lines are independent of each other, except that they share the schema: the first accepted line that names a column
//! determines its type. A refused line changes no schema and adds no row. Each line is checked in this order: syntax,
//! tags, fields from left to right, range of the timestamp, memory.
//!
//! Clients of InfluxDB 1 and 2 and of QuestDB write a [`Dialect`] of their own. That of QuestDB has additional kinds of
//! values, some of them binary.
//!
//! # Performance
//!
//! Lines repeat themselves. A known series (measurement and tags) is recognised by its whole text, mostly by a
//! comparison with the series that followed last time. Therefore tags are parsed and looked up once per series instead
//! of once per line, and a row stores only the number of its tag set. Field keys are compared with the keys at the same
//! positions of the table's previous line before they are looked up.
//!
//! # Deliberate differences
//!
//! From InfluxDB 3 Core 3.10:
//!
//! | text | Core | here | because |
//! |---|---|---|---|
//! | a tag key repeated in a line | stored, both values | refused | such rows cannot be queried |
//! | `v=1e400` | infinity | refused | neither line protocol nor JSON has infinity |
//! | unescaped comma in a tag or field key, `m,a,b=1 v=1` | part of the key | refused | a forgotten value would create a column |
//! | `m v=1, 5`, a comma and no second field | accepted | refused | as above |
//! | spaces at the end of a line without timestamp | refused | accepted | harmless |
//! | a string that is never closed | takes the following lines with it | ends with its line | keeps good lines |
//! | `v=1"` or `v=1 "` and following lines | taken for a string | not a string | keeps good lines |
//! | quotes and backslashes in a comment | may join lines | mean nothing | keeps good lines |
//! | original line in errors | rendered anew, 20 characters | as written, whole | shows the error |
//! | `1.`, `.5` | refused | floats | InfluxDB 1 and 2 accept them |
//! | a carriage return before a newline | refused | ignored | other libraries of InfluxData accept it |
//! | NUL in the name of a tag or field | part of the name | refused | many programs end a text there |
//! | a byte order mark before a line | part of the name of the table | ignored | editors of Windows write it |
//!
//! From the corpus of the `influxdata/line-protocol` library, because InfluxDB 3 decodes these cases in the same way:
//!
//! | text | corpus | here |
//! |---|---|---|
//! | control characters in names and tag values | refused | ordinary characters |
//! | `\\` in names and tag values | two backslashes | one backslash |
//! | a column `time` | ordinary | reserved, as is `__chunk_order` |

mod column;
mod error;
mod line;
mod number;
mod options;
mod parse;
mod precision;
mod questdb_dialect;
mod row_source;
mod scan;
mod schema;
mod series;
mod table;
#[cfg(test)]
mod tests;

pub use error::{FieldConflict, LineError, LineErrorKind, ParseError};
pub use options::{Dialect, Options};
pub use parse::{BodyEnd, MAX_BODY_BYTES, ParsedBody, parse, parse_part};
pub use precision::Precision;
pub use questdb_dialect::questdb_line_length;
pub use row_source::RowSource;
pub use scan::MAX_STRING_BYTES;
pub use schema::{SchemaView, TableView};
pub use table::{ROWS_PER_COLUMN, TableRows};
