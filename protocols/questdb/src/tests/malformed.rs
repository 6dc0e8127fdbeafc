//! Malformed streams: each ends its connection, and none harms another one.

use super::test_bed::ListenerTestBed;
use crate::KeyPolicy;

/// Returns streams that begin with a good line, followed by a malformed one.
fn streams() -> Vec<Vec<u8>> {
    let mut streams = Vec::new();
    let tails: [&[u8]; 20] = [
        b"m",
        b"m ",
        b"m v",
        b"m v=",
        b"m v=x",
        b"m v=1 x",
        b"m v=1 1 1",
        b"m v=1,",
        b"m,=1 v=1",
        b"m,t= v=1",
        b",t=a v=1",
        b"m v=\"a",
        b"m v=1 99999999999999999999",
        b"m v=0x",
        b"m v==",
        b"m v==\x01",
        b"m v==\xff\xff\xff\xff",
        b"m v==\x0e\x0a\xff",
        b"m v==\x0e\x0b\x01\x01\0\0\0",
        b"m v==\x17\xff\x01\x01",
    ];
    for tail in tails {
        for end in [
            &b"\n"[..],
            b"\n\n",
            b"\nm v=1 9\n",
            b"",
            b"\0\n",
            b"\xff\n",
            b"=\n",
            b"\"\n",
            b",\n",
            b"\\\n",
        ] {
            streams.push([b"good v=1 1\n", tail, end].concat());
        }
    }
    streams
}

#[tokio::test]
async fn two_hundred_malformed_streams_end_their_connections() {
    let fixture = ListenerTestBed::new(KeyPolicy::Open).await;
    let streams = streams();
    assert_eq!(streams.len(), 200);
    let mut well_formed = fixture.connect().await;
    for stream in &streams {
        let mut client = fixture.connect().await;
        client.send(stream).await;
        client.finish().await;
    }
    well_formed.send("fine v=1 1\n").await;
    well_formed.finish().await;
    fixture.wait_for_metric("neap_questdb_connections 0").await;
    let rendered = fixture.metrics.render();
    let ends = rendered
        .lines()
        .filter(|line| line.starts_with("neap_questdb_connections_closed_total{"));
    let mut unexpected = Vec::new();
    let mut clients = 0;
    for end in ends {
        let (labels, count) = end.split_once("} ").unwrap();
        let count: usize = count.parse().unwrap();
        match labels.split('"').nth(1).unwrap() {
            "client" => clients = count,
            "refused_line" | "incomplete_line" => {}
            other => unexpected.push((other.to_owned(), count)),
        }
    }
    assert_eq!(unexpected, []);
    // The well-formed one, and an unclosed string that the next bytes close.
    assert!((1..=3).contains(&clients), "{rendered}");
    assert!(fixture.rows().await >= 201);
}
