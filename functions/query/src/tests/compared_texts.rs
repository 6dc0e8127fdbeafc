//! Texts that are compared with values of other types.

use super::QueryTestInstance;

#[tokio::test]
async fn texts_are_converted_to_what_they_are_compared_with() {
    let one = QueryTestInstance::alone().await;
    let lines = "cpu,host=a up=true,n=1i 1700000000000000000\n\
                 cpu,host=b up=false,n=2i 1700000000000000000";
    one.write(lines).await;
    for (condition, row) in [
        ("host LIKE 'a%'::VARCHAR", 1),
        ("host NOT LIKE 'a%'::VARCHAR", 2),
        ("host ILIKE substr('xA%', 2)", 1),
        ("up = 't'", 1),
        ("'false' = up", 2),
        ("up <> 'true'", 2),
        ("up IS DISTINCT FROM 'true'", 2),
        ("up IN ('f', 'no')", 2),
    ] {
        let sql = format!("SELECT n FROM cpu WHERE {condition}");
        assert_eq!(one.sql(&sql).await, format!("n\n{row}\n"), "{sql}");
    }
}
