//! Tests of backpressure by a published tail and by the writer's own PUTs.

use proptest::prelude::*;

use super::*;
use crate::test_world::DATABASE;

fn at(seconds: i64) -> StoreTime {
    StoreTime::from_micros(1_700_000_000_000_000 + seconds * 1_000_000)
}

fn stamp(seconds: i64) -> Stamp {
    Stamp::new(at(seconds), 7)
}

fn state(segments: u64, listed: i64) -> Option<TailState> {
    Some(TailState { segments, oldest: None, listed: at(listed) })
}

fn tails() -> KnownTails {
    KnownTails::new(BackpressureLimits { slow: 3, stop: 6 })
}

#[test]
fn a_tail_slows_writers_above_3_000_segments_and_stops_them_above_10_000() {
    let limits = BackpressureLimits::default();
    assert_eq!(limits.pressure_of(3_000), Backpressure::None);
    assert_eq!(limits.pressure_of(3_001), Backpressure::Slow);
    assert_eq!(limits.pressure_of(10_000), Backpressure::Slow);
    assert_eq!(limits.pressure_of(10_001), Backpressure::Stop);
}

#[test]
fn puts_above_a_mark_that_does_not_move_stop_the_writer_even_if_nothing_was_ever_flushed() {
    let tails = tails();
    let mut seen = Vec::new();
    for second in 0..7 {
        tails.record_put(DATABASE, stamp(second), 0);
        seen.push(tails.observe(DATABASE, Stamp::ZERO, None));
    }
    let (none, slow) = ([Backpressure::None; 3], [Backpressure::Slow; 3]);
    assert_eq!(seen, [&none[..], &slow, &[Backpressure::Stop]].concat());
    let flushed = tails.observe(DATABASE, stamp(3), None);
    assert_eq!(flushed, Backpressure::None);
}

#[test]
fn a_published_tail_counts_with_the_puts_that_came_after_it_was_listed() {
    let tails = tails();
    for second in 0..4 {
        tails.record_put(DATABASE, stamp(second), 0);
    }
    let mark = Stamp::ZERO;
    assert_eq!(tails.observe(DATABASE, mark, state(4, 10)), Backpressure::Slow);
    for second in 11..14 {
        tails.record_put(DATABASE, stamp(second), 0);
    }
    assert_eq!(tails.pressure(DATABASE), Backpressure::Stop);
    // A flush has caught up.
    let caught_up = tails.observe(DATABASE, stamp(13), state(0, 20));
    assert_eq!(caught_up, Backpressure::None);
    // A manifest that was read before that flush is ignored.
    assert_eq!(tails.observe(DATABASE, mark, state(4, 10)), Backpressure::None);
    // A flusher that could not flush publishes the next count.
    let blocked = tails.observe(DATABASE, stamp(13), state(9, 30));
    assert_eq!(blocked, Backpressure::Stop);
}

#[test]
fn the_record_of_unflushed_puts_is_bounded() {
    let mut own = UnflushedPuts::default();
    for second in 0..100_000 {
        own.add(at(second), 1);
        assert!(own.spans.len() <= MAX_SPANS);
    }
    assert_eq!((own.segments_since(at(0)), own.delete_bytes()), (100_000, 100_000));
    own.remove_up_to(at(99_999));
    assert_eq!((own.segments_since(at(0)), own.length), (0, SPAN));
}

#[test]
fn deletes_count_from_the_request_until_they_are_flushed() {
    let tails = tails();
    let (mut recorded, limits) =
        (DeleteBytes::default(), DeleteLimits { pending_bytes: 4, applied_bytes: 6 });
    recorded.add(2, false);
    recorded.add(6, true);
    let reserve = |bytes| tails.reserve_deletes(DATABASE, bytes, recorded, limits);
    let first = reserve(2).unwrap();
    let second = reserve(1).unwrap();
    let Err(WriteError::TooManyDeletes { bytes, limit }) = reserve(1) else {
        panic!("too many deletes are admitted");
    };
    assert_eq!((bytes, limit), (5, 4));
    drop(second);
    tails.record_put(DATABASE, stamp(1), 2);
    drop(first);
    drop(reserve(1).unwrap());
    tails.record_put(DATABASE, stamp(2), 1);
    assert!(reserve(1).is_err());
    tails.observe(DATABASE, stamp(2), None);
    assert!(reserve(1).is_ok());
    recorded.add(1, true);
    let Err(WriteError::TooManyAppliedDeletes { bytes, limit }) =
        tails.reserve_deletes(DATABASE, 1, recorded, limits)
    else {
        panic!("too many applied deletes are admitted");
    };
    assert_eq!((bytes, limit), (7, 6));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
    #[test]
    fn no_put_above_the_mark_is_forgotten(
        steps in proptest::collection::vec(0_i64..4, 1..200),
        mark in 0_i64..400,
    ) {
        let mut own = UnflushedPuts::default();
        let mut second = 0;
        let mut times = Vec::new();
        for step in steps {
            second += step;
            times.push(second);
            own.add(at(second), 1);
        }
        let above = times.iter().filter(|time| **time > mark).count() as u64;
        own.remove_up_to(at(mark));
        prop_assert_eq!(own.segments_since(at(0)), above);
    }
}
