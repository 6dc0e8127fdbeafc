//! Files that InfluxDB 1.6 has written: a TSM file, deletes from it, and a log with writes and deletes.

use std::path::Path;

use super::shards::read_rows;
use crate::TimeRange;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/influxdb-1.6");

#[test]
fn files_of_influxdb_1_6_have_the_rows_that_it_answers() {
    let (rows, damage) = read_rows(Path::new(FOLDER), TimeRange::ALL);
    assert_eq!(damage, [""; 0]);
    assert_eq!(
        rows,
        [
            r#"cpu,host=a 1700000000000000000 count=0i ok=false state="s 0" usage=-1.0"#,
            r#"cpu,host=a 1700000010000000000 count=1i ok=true state="s 1" usage=1.25"#,
            r#"cpu,host=a 1700000040000000000 count=16i ok=false state="s 4" usage=5.0"#,
            r#"cpu,host=a 1700000050000000000 count=25i ok=true state="s 5" usage=6.25"#,
            "cpu,host=b c 1700000000000000000 count=7i usage=100.0",
            "cpu,host=b c 1700000001234567890 count=7i usage=99.0",
            "cpu,host=b c 1700000002469135780 count=7i usage=98.0",
            "cpu,host=b c 1700000003703703670 count=7i usage=97.0",
            "cpu,host=b c 1700000004938271560 count=7i usage=96.0",
            "cpu,host=b c 1700000006172839450 count=7i usage=95.0",
            "log 1700000000000000000 v=1i",
            "log 1700000000000000002 v=3i",
            r#"my table,tag,key=x=y 1700000000000000000 big=1e300 max=9223372036854775807i min=-9223372036854775808i straße="🌊 \"q\"""#,
            "my table,tag,key=x=y 1700000000000000001 big=-5e-324",
        ]
    );
}
