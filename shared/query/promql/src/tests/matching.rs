//! Operators between vectors, whose series are matched by labels.

use super::{at, between, error, gauge, query, source::TestSource};

#[tokio::test]
async fn vectors_are_matched_by_labels() {
    let source = TestSource::new(&[
        gauge("errors", &[("job", "a"), ("code", "500")], &[(10, 2.0)]),
        gauge("errors", &[("job", "a"), ("code", "404")], &[(10, 3.0)]),
        gauge("errors", &[("job", "b"), ("code", "500")], &[(10, 1.0)]),
        gauge("requests", &[("job", "a"), ("zone", "z")], &[(10, 10.0)]),
        gauge("requests", &[("job", "c"), ("zone", "z")], &[(10, 10.0)]),
    ]);
    for (text, expected) in [
        (r#"errors{code="500"} / on (job) requests"#, vec![r#"{job="a"} 0.2"#]),
        (
            "errors / on (job) group_left (zone) requests",
            vec![
                r#"{code="404", job="a", zone="z"} 0.3"#,
                r#"{code="500", job="a", zone="z"} 0.2"#,
            ],
        ),
        (
            "requests * on (job) group_right () errors",
            vec![r#"{code="404", job="a"} 30"#, r#"{code="500", job="a"} 20"#],
        ),
        (r#"errors{code="500"} > ignoring (code, zone) requests"#, vec![]),
        (
            r#"requests > ignoring (code, zone) errors{code="500"}"#,
            vec![r#"{__name__="requests", job="a"} 10"#],
        ),
        (
            r#"requests > bool ignoring (code, zone) errors{code="500"}"#,
            vec![r#"{job="a"} 1"#],
        ),
        ("errors > 2", vec![r#"{__name__="errors", code="404", job="a"} 3"#]),
        (
            "4 < bool errors",
            vec![
                r#"{code="404", job="a"} 0"#,
                r#"{code="500", job="a"} 0"#,
                r#"{code="500", job="b"} 0"#,
            ],
        ),
        ("1 < (errors < 3)", vec![r#"{__name__="errors", code="500", job="a"} 2"#]),
        (
            "errors and on (job) requests",
            vec![
                r#"{__name__="errors", code="404", job="a"} 3"#,
                r#"{__name__="errors", code="500", job="a"} 2"#,
            ],
        ),
        (
            "errors unless on (job) requests",
            vec![r#"{__name__="errors", code="500", job="b"} 1"#],
        ),
        (
            "requests or on (job) errors",
            vec![
                r#"{__name__="errors", code="500", job="b"} 1"#,
                r#"{__name__="requests", job="a", zone="z"} 10"#,
                r#"{__name__="requests", job="c", zone="z"} 10"#,
            ],
        ),
        ("sum(errors) or vector(0)", vec!["{} 6"]),
        ("sum(nothing) or vector(0)", vec!["{} 0"]),
    ] {
        let mut found = query(&source, text, at(10)).await;
        found.sort();
        assert_eq!(found, expected, "{text}");
    }
}

#[tokio::test]
async fn ambiguous_matches_are_errors() {
    let source = TestSource::new(&[
        gauge("errors", &[("job", "a"), ("code", "500")], &[(10, 2.0)]),
        gauge("errors", &[("job", "a"), ("code", "404")], &[(10, 3.0)]),
        gauge("requests", &[("job", "a")], &[(0, 5.0), (10, 10.0)]),
        gauge("other", &[("job", "a")], &[(0, 5.0), (10, 10.0)]),
    ]);
    let text = error(&source, "errors / on (job) requests", at(10)).await;
    assert_eq!(
        text,
        "multiple matches for labels: many-to-one matching must be explicit \
         (group_left/group_right)"
    );
    let text = error(&source, "requests / on (job) errors", at(10)).await;
    assert!(text.starts_with(
        r#"found duplicate series for the match group {job="a"} on the right hand-side"#
    ));
    let text = error(&source, "errors * on (job) group_left (code) requests", at(10)).await;
    assert_eq!(text, "multiple matches for labels: grouping labels must ensure unique matches");
    for text in [
        r#"abs({__name__=~"requests|other"})"#,
        r#"rate({__name__=~"requests|other"}[1m])"#,
        r#"label_replace(errors, "code", "", "", "")"#,
        r#"-{__name__=~"requests|other"}"#,
    ] {
        assert_eq!(
            error(&source, text, at(10)).await,
            "vector cannot contain metrics with the same labelset",
            "{text}"
        );
    }
}

#[tokio::test]
async fn comparisons_that_do_not_hold_are_no_matches() {
    let source = TestSource::new(&[
        gauge("errors", &[("job", "a"), ("code", "500")], &[(10, 2.0)]),
        gauge("errors", &[("job", "a"), ("code", "404")], &[(10, 30.0)]),
        gauge("requests", &[("job", "a")], &[(10, 10.0)]),
    ]);
    assert_eq!(query(&source, "errors > on (job) requests", at(10)).await, [r#"{job="a"} 30"#]);
    let text = error(&source, "errors > bool on (job) requests", at(10)).await;
    assert!(text.starts_with("multiple matches for labels: many-to-one"), "{text}");
    assert_eq!(
        query(
            &source,
            r#"errors{code="404"} == bool on (job) group_left (__name__) requests"#,
            at(10)
        )
        .await,
        [r#"{code="404", job="a"} 0"#]
    );
}

#[tokio::test]
async fn series_of_one_side_may_follow_each_other() {
    let pod = |name: &str, second: i32| {
        gauge("pod", &[("job", "a"), ("pod", name)], &[(second, 1.0)]).stale_at(second + 10)
    };
    let source = TestSource::new(&[
        gauge("load", &[("job", "a")], &[(10, 1.0), (20, 2.0), (30, 3.0)]),
        pod("p", 10),
        pod("q", 20),
        pod("r", 20),
    ]);
    let matched = |one: &str| format!("load * on (job) group_left (pod) pod{one}");
    assert_eq!(
        query(&source, &matched(r#"{pod=~"p|q"}"#), between(10, 30, 10)).await,
        [r#"{job="a", pod="p"} 1@10"#, r#"{job="a", pod="q"} 2@20"#]
    );
    assert_eq!(
        query(&source, r#"load * on (job) pod{pod=~"p|q"}"#, between(10, 30, 10)).await,
        [r#"{job="a"} 1@10 2@20"#]
    );
    assert_eq!(query(&source, &matched(""), at(10)).await, [r#"{job="a", pod="p"} 1"#]);
    let text = error(&source, &matched(""), between(10, 30, 10)).await;
    assert!(text.starts_with("found duplicate series for the match group"), "{text}");
}
