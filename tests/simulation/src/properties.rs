//! Without faults, answers are those of a plain map: whatever is written, flushed, restarted and queried.

use std::sync::Arc;

use neap_bucket::Stamp;
use neap_schema::DatabaseId;
use proptest::prelude::*;

use crate::{
    instance::{DATABASE, Instance},
    rows::{Rows, take_in},
    simulate::run,
    theatre::Theatre,
    write::Content,
};

const POINTS: usize = 4;

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    Write {
        instance: usize,
        cells: Vec<(usize, &'static str)>,
        new_column: bool,
        passes_back: bool,
    },
    Flush(usize),
    Query(usize),
    Restart(usize),
    Wait(u16),
}

const INSTANCES: usize = 3;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let field = prop_oneof![Just("a"), Just("b")];
    let cells = proptest::collection::vec((0..POINTS, field), 1..4);
    let write = (0..INSTANCES, cells, any::<bool>(), any::<bool>()).prop_map(
        |(instance, cells, new_column, passes_back)| Step::Write {
            instance,
            cells,
            new_column,
            passes_back,
        },
    );
    let step = prop_oneof![
        4 => write,
        2 => (0..INSTANCES).prop_map(Step::Flush),
        2 => (0..INSTANCES).prop_map(Step::Query),
        1 => (0..INSTANCES).prop_map(Step::Restart),
        3 => (1..40_u16).prop_map(Step::Wait),
    ];
    proptest::collection::vec(step, 1..40)
}

async fn play(steps: Vec<Step>) {
    let theatre = Theatre::open().await;
    let start = |at: usize| theatre.instance(&format!("instance {at}"));
    let mut instances: Vec<Arc<Instance>> = (0..INSTANCES).map(start).collect();
    let mut expected = Rows::new();
    let mut last: Option<Stamp> = None;
    for step in steps {
        match step {
            Step::Write {
                instance,
                cells,
                new_column,
                passes_back,
            } => {
                let content = Content {
                    cells,
                    new_column,
                    ..theatre.content()
                };
                let token = last.filter(|_| passes_back);
                // Whole seconds of a `Date` may order writes of two instances otherwise that follow at once.
                theatre.sleep(1.0).await;
                let stamp = theatre
                    .write(&instances[instance], &content, token)
                    .await
                    .unwrap();
                assert!(Some(stamp) > last);
                last = Some(stamp);
                take_in(&mut expected, &content.rows());
            }
            Step::Flush(at) => {
                instances[at].flusher.flush(DATABASE).await.unwrap();
            }
            Step::Query(at) => {
                assert_eq!(instances[at].query().await.unwrap(), expected);
            }
            Step::Restart(at) => instances[at] = start(at),
            Step::Wait(seconds) => theatre.sleep(f64::from(seconds)).await,
        }
    }
    assert_eq!(start(INSTANCES).query().await.unwrap(), expected);
    assert!(
        theatre.violations().is_empty(),
        "{:?}",
        theatre.violations()
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn answers_are_those_of_a_plain_map(steps in steps()) {
        run(play(steps));
    }
}

#[test]
fn a_database_that_was_never_written_to_is_empty() {
    run(async {
        let theatre = Theatre::open().await;
        let reader = theatre.instance("reader");
        assert!(reader.query().await.unwrap().is_empty());
        let options = neap_manifest::SnapshotOptions::default();
        let never = reader
            .snapshots
            .read(DatabaseId::new(77), options)
            .await
            .unwrap();
        assert!(never.tail.is_empty() && never.manifest.value.sections.is_empty());
    });
}
