//! Tests of uploads with a write function on a store in memory.

use neap_write::WriteSettings;

use crate::tests::http::{HttpTestBed, form};

const CSV: &str = "host,usage,up,note,timestamp\n\
    a,1.5,true,x,2024-01-01T00:00:00Z\n\
    b,2.5,false,,2024-01-01T00:00:01.5Z\n";

const SCHEMA: &str = r#"[{"name":"host","type":"SYMBOL"}]"#;

#[tokio::test]
async fn a_file_is_stored_with_symbols_as_tags() {
    let fixture = HttpTestBed::new().await;
    let body = form(&[("schema", SCHEMA), ("data", CSV)]);
    let (status, answer) = fixture.post("/imp?name=cpu&fmt=json", &body).await;
    assert_eq!(status, 200);
    insta::assert_snapshot!(answer.replace("},", "},\n"), @r#"
    {"columns":[{"errors":0,"name":"host","size":0,"type":"SYMBOL"},
    {"errors":0,"name":"usage","size":0,"type":"DOUBLE"},
    {"errors":0,"name":"up","size":0,"type":"BOOLEAN"},
    {"errors":0,"name":"note","size":0,"type":"VARCHAR"},
    {"errors":0,"name":"timestamp","size":0,"type":"TIMESTAMP_NS"}],"errors":[],"header":true,"location":"cpu","partitionBy":"DAY","rowsImported":2,"rowsRejected":0,"status":"OK","timestamp":"timestamp"}
    "#);
    let (status, answer) =
        fixture.get("/exec?query=select%20*%20from%20cpu%20order%20by%20host").await;
    assert_eq!(status, 200);
    insta::assert_snapshot!(answer.replace("},", "},\n").replace("],", "],\n"), @r#"
    {"query":"select * from cpu order by host","columns":[{"name":"host","type":"SYMBOL"},
    {"name":"note","type":"VARCHAR"},
    {"name":"time","type":"TIMESTAMP_NS"},
    {"name":"up","type":"BOOLEAN"},
    {"name":"usage","type":"DOUBLE"}],
    "timestamp":2,"dataset":[["a","x","2024-01-01T00:00:00.000000000Z",true,1.5],
    ["b",null,"2024-01-01T00:00:01.500000000Z",false,2.5]],
    "count":2}
    "#);
}

#[tokio::test]
async fn the_answer_is_text_unless_json_is_asked_for() {
    let fixture = HttpTestBed::new().await;
    let (status, answer) = fixture.post("/imp?name=cpu", &form(&[("data", CSV)])).await;
    assert_eq!(status, 200);
    insta::assert_snapshot!(answer, @r#"
    +------------------------------------------------------------------+
    |                       Location |                             cpu |
    |                   Partition by |                             DAY |
    |                      Timestamp |                       timestamp |
    |                   Rows handled |                               2 |
    |                  Rows imported |                               2 |
    |                  Rows rejected |                               0 |
    |                           host |                         VARCHAR |
    |                          usage |                          DOUBLE |
    |                             up |                         BOOLEAN |
    |                           note |                         VARCHAR |
    |                      timestamp |                    TIMESTAMP_NS |
    +------------------------------------------------------------------+
    "#);
}

#[tokio::test]
async fn refused_rows_are_counted_and_the_others_are_stored() {
    let fixture = HttpTestBed::new().await;
    let csv = "v,time\n1,2024-01-01\n2,never\n3,2024-01-03\n";
    let (status, answer) = fixture.post("/imp?name=t&fmt=json", &form(&[("data", csv)])).await;
    assert_eq!(status, 200);
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    assert_eq!((&answer["rowsImported"], &answer["rowsRejected"]), (&2.into(), &1.into()));
    assert_eq!(answer["errors"][0]["row"], 2);
}

#[tokio::test]
async fn files_without_a_time_or_a_name_are_refused() {
    let fixture = HttpTestBed::new().await;
    for (path, csv, reason) in [
        ("/imp?name=t", "a,b\n1,2\n", "missing query parameter 'timestamp'"),
        ("/imp?name=t&timestamp=x", "a,b\n1,2\n", "no column 'x'"),
        ("/imp", "a,time\n1,2\n", "missing query parameter 'name'"),
        ("/imp?name=t&overwrite=true", "a,time\n1,2\n", "'overwrite'"),
        (
            "/imp?name=t&db=a%2Fb%2Fc",
            "a,time\n1,2\n",
            "db name with invalid retention policy",
        ),
    ] {
        let (status, answer) = fixture.post(path, &form(&[("data", csv)])).await;
        assert_eq!(status, 400, "{path}");
        assert!(answer.contains(reason), "{path}: {answer}");
    }
}

#[tokio::test]
async fn nothing_is_stored_if_a_row_is_refused_and_the_request_is_to_be_aborted() {
    let fixture = HttpTestBed::new().await;
    let csv = "v,time\n1,2024-01-01\n2,never\n";
    let (status, answer) = fixture
        .post("/imp?name=t&fmt=json&atomicity=abort", &form(&[("data", csv)]))
        .await;
    assert_eq!(status, 400, "{answer}");
    assert!(answer.contains("because row 2 is refused"), "{answer}");
    let (_, tables) = fixture.get("/exec?query=SHOW%20TABLES").await;
    assert!(tables.contains(r#""dataset":[["trades"]]"#), "{tables}");
}

/// Returns a file whose decoded rows take more than twice its bytes.
fn narrow_rows(rows: usize) -> String {
    let lines = (0..rows).map(|second| format!("1,1,1,1,1,1,1,1,{second}\n"));
    "a,b,c,d,e,f,g,h,time\n".to_owned() + &lines.collect::<String>()
}

#[tokio::test]
async fn a_file_waits_for_no_memory_that_it_holds_itself() {
    // The memory of an upload of unknown size is all of it.
    let fixture = HttpTestBed::with(WriteSettings {
        max_bytes_in_flight: 1 << 20,
        ..WriteSettings::default()
    })
    .await;
    let body = form(&[("data", narrow_rows(4_000).as_str())]);
    let (status, answer) = fixture.post("/imp?name=t", &body).await;
    assert_eq!(status, 200, "{answer}");
    let body = form(&[("data", narrow_rows(20_000).as_str())]);
    let (status, answer) = fixture.post("/imp?name=t", &body).await;
    assert_eq!(status, 413, "{answer}");
    assert!(answer.contains("more than the 1048576 bytes"), "{answer}");
}

#[tokio::test]
async fn rows_that_replace_each_other_create_no_table_and_get_a_warning_in_an_existing_one() {
    let fixture = HttpTestBed::new().await;
    let csv = "host,v,time\n".to_owned() + &"h,1,2024-01-01\n".repeat(10);
    let twice = form(&[("data", csv.as_str())]);
    let (status, answer) = fixture.post("/imp?name=t", &twice).await;
    assert_eq!(status, 400, "{answer}");
    assert!(answer.contains("9 of 10 rows") && answer.contains("'host'"), "{answer}");
    let once = form(&[("data", "host,v,time\nh,1,2024-01-01\n")]);
    assert_eq!(fixture.post("/imp?name=t", &once).await.0, 200);
    let (status, answer) = fixture.post("/imp?name=t", &twice).await;
    assert_eq!(status, 200, "{answer}");
    assert!(answer.contains("warning: 9 of 10 rows"), "{answer}");
    let (_, answer) = fixture.post("/imp?name=t&fmt=json", &twice).await;
    assert!(answer.contains(r#""warning":"9 of 10 rows"#), "{answer}");
    let tagged = form(&[("schema", SCHEMA), ("data", csv.as_str())]);
    assert_eq!(fixture.post("/imp?name=tagged", &tagged).await.0, 200);
}
