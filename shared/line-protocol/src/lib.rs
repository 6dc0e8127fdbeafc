//! Line protocol to columns.
//!
//! [`parse`] reads a body and gives, for each table, one Arrow record batch of the accepted lines, the
//! columns that have to be created, and the refused lines with InfluxDB 3's error texts. There are no
//! point objects in between: values go from the text into the columns.
//!
//! # Lines
//!
//! ```text
//! line  = measurement *("," tagkey "=" tagvalue) 1*SP field *("," field) [1*SP timestamp] *SP
//! field = fieldkey "=" (integer "i" / unsigned "u" / float / string / boolean)
//! ```
//!
//! Lines are independent of each other, except that they share the schema: the first accepted line that
//! names a column decides on its type. A refused line changes no schema and leaves no row. For each line
//! these are checked in order: its syntax, its tags, its fields from left to right, the range of its
//! timestamp, and the memory it would take.
//!
//! Clients of QuestDB write a [`Dialect`] with a few values more.
//!
//! # What makes it fast
//!
//! Lines repeat themselves. A series (measurement and tags) that was seen before is recognised by its
//! text as a whole, mostly by comparing with the one that followed the last time, so tags are parsed and
//! looked up once per series, not once per line; a row keeps the number of its tag set only. Field keys
//! are compared with those at the same places of the table's previous line before any is looked up.
//!
//! # Deliberate differences
//!
//! From InfluxDB 3 Core 3.10:
//!
//! | text | Core | here | because |
//! |---|---|---|---|
//! | a tag key repeated in a line | stored, both values | refused | such rows cannot be queried |
//! | `v=1e400` | infinity | refused | line protocol has no infinity, nor has JSON |
//! | unescaped comma in a tag or field key, `m,a,b=1 v=1` | part of the key | refused | a forgotten value would create a column |
//! | `m v=1, 5`, a comma and no second field | accepted | refused | as above |
//! | spaces at the end of a line without timestamp | refused | accepted | harmless |
//! | a string that is never closed | takes the following lines with it | ends with its line | keeps good lines |
//! | `v=1"` or `v=1 "` and following lines | taken for a string | not a string | keeps good lines |
//! | quotes and backslashes in a comment | may join lines | mean nothing | keeps good lines |
//! | original line in errors | rendered anew, 20 characters | as written, whole | shows what is wrong |
//!
//! From the corpus of the `influxdata/line-protocol` library, in all of which InfluxDB 3 decides:
//!
//! | text | corpus | here |
//! |---|---|---|
//! | control characters in names and tag values | refused | ordinary characters |
//! | `\\` in names and tag values | two backslashes | one backslash |
//! | `1.`, `.5` | floats | refused |
//! | carriage return at the end of a line | ignored | refused |
//! | a column `time` | ordinary | reserved, as is `__chunk_order` |

mod column;
mod error;
mod line;
mod number;
mod options;
mod parse;
mod precision;
mod questdb;
mod scan;
mod schema;
mod series;
mod table;
#[cfg(test)]
mod tests;

pub use error::{LineError, LineErrorKind, ParseError};
pub use options::{Dialect, Options, SchemaLimits, TableLimit};
pub use parse::{Parsed, parse};
pub use precision::Precision;
pub use schema::{SchemaView, TableView};
pub use table::TableRows;
