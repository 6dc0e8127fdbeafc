//! The rows of a fleet of hosts as line protocol: one of each host every ten seconds, of which two of a hundred are sent
//! up to 20 days later.

use bytes::Bytes;
use neap_test_inputs::{XorShift, tsbs::CPU_FIELDS};

const LINES_PER_BODY: usize = 10_000;
/// A line takes up to 240 bytes.
const BODY_CAPACITY: usize = LINES_PER_BODY * 240;

const TICK_SECONDS: u64 = 10;
/// 2024-01-01T00:00:00Z.
const START_SECONDS: u64 = 1_704_067_200;
/// One of so many rows of a host is late.
const LATE_EVERY: u64 = 50;
const MAX_DELAY_TICKS: u64 = 20 * 86_400 / TICK_SECONDS;

const MAX_VALUE: u8 = 100;
const REGIONS: [&str; 9] = [
    "ap-northeast-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "eu-central-1",
    "eu-west-1",
    "sa-east-1",
    "us-east-1",
    "us-west-1",
    "us-west-2",
];

/// The bodies of requests with the rows of a fleet. Every row is in one of them.
#[derive(Debug)]
pub(crate) struct FleetLines {
    ticks: u64,
    hosts: Vec<Host>,
    /// The text of each field for each value.
    fields: Vec<Vec<String>>,
    random: XorShift,
    next_tick: u64,
    next_host: usize,
}

impl FleetLines {
    /// The rows of `hosts`, rounded down to the same number for each host, which is at least one.
    pub(crate) fn new(hosts: u32, rows: u64) -> Self {
        let ticks = (rows / u64::from(hosts.max(1))).max(1);
        Self {
            ticks,
            hosts: (0..u64::from(hosts))
                .zip(REGIONS.iter().cycle())
                .map(|(number, region)| Host::new(number, region, ticks))
                .collect(),
            fields: field_texts(),
            random: XorShift::new(42),
            next_tick: 0,
            next_host: 0,
        }
    }

    /// Appends the rows that the next host sends at the next tick. Returns their number.
    fn push_next(&mut self, body: &mut Vec<u8>) -> usize {
        let (tick, ticks) = (self.next_tick, self.ticks);
        let Some(host) = self.hosts.get_mut(self.next_host) else {
            return 0;
        };
        host.walk(&mut self.random);
        let in_time = (!host.is_late(tick, ticks)).then_some(tick);
        let late = tick.checked_sub(host.delay).filter(|&earlier| host.is_late(earlier, ticks));
        let mut lines = 0;
        for row in in_time.into_iter().chain(late) {
            host.push_line(body, row, &self.fields);
            lines += 1;
        }
        lines
    }
}

impl Iterator for FleetLines {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let mut body = Vec::with_capacity(BODY_CAPACITY);
        let mut lines = 0;
        while lines < LINES_PER_BODY && self.next_tick < self.ticks {
            lines += self.push_next(&mut body);
            self.next_host += 1;
            if self.next_host >= self.hosts.len() {
                self.next_host = 0;
                self.next_tick += 1;
            }
        }
        (lines > 0).then(|| body.into())
    }
}

/// Returns the text of each field for each value, with the comma before it.
fn field_texts() -> Vec<Vec<String>> {
    let mut fields = Vec::with_capacity(CPU_FIELDS.len());
    for (index, name) in CPU_FIELDS.iter().enumerate() {
        let separator = if index == 0 { "" } else { "," };
        let texts = (0..=MAX_VALUE).map(|value| format!("{separator}{name}={value}i"));
        fields.push(texts.collect());
    }
    fields
}

/// A host and its present values.
#[derive(Debug)]
struct Host {
    number: u64,
    /// The table and the tags of its lines, and the space after them.
    series: String,
    /// The ticks by which its late rows are late.
    delay: u64,
    values: [u8; CPU_FIELDS.len()],
}

impl Host {
    fn new(number: u64, region: &str, ticks: u64) -> Self {
        Self {
            number,
            series: format!("cpu,hostname=host_{number:07},region={region} "),
            delay: 1 + number * 48_271 % MAX_DELAY_TICKS.min((ticks / 2).max(1)),
            values: [MAX_VALUE / 2; CPU_FIELDS.len()],
        }
    }

    /// Rows that would be sent after the last tick are in time.
    fn is_late(&self, tick: u64, ticks: u64) -> bool {
        (tick + self.number).is_multiple_of(LATE_EVERY) && tick + self.delay < ticks
    }

    /// Changes each value by at most 1.
    fn walk(&mut self, random: &mut XorShift) {
        let mut bits = random.draw();
        for value in &mut self.values {
            *value = match bits & 3 {
                0 => value.saturating_sub(1),
                1 => (*value + 1).min(MAX_VALUE),
                _ => *value,
            };
            bits >>= 2;
        }
    }

    fn push_line(&self, body: &mut Vec<u8>, tick: u64, fields: &[Vec<String>]) {
        body.extend_from_slice(self.series.as_bytes());
        for (texts, value) in fields.iter().zip(self.values) {
            let text = texts.get(usize::from(value)).map_or("", String::as_str);
            body.extend_from_slice(text.as_bytes());
        }
        let seconds = START_SECONDS + tick * TICK_SECONDS;
        body.extend_from_slice(format!(" {seconds}000000000\n").as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn lines(hosts: u32, rows: u64) -> Vec<String> {
        let bodies =
            FleetLines::new(hosts, rows).map(|body| String::from_utf8(body.to_vec()).unwrap());
        bodies
            .flat_map(|body| body.lines().map(str::to_owned).collect::<Vec<_>>())
            .collect()
    }

    #[test]
    fn each_row_is_sent_once() {
        let lines = lines(7, 35_000);
        let points = lines.iter().map(|line| {
            let (head, time) = line.rsplit_once(' ').unwrap();
            (head.split_once(' ').unwrap().0, time)
        });
        assert_eq!(points.collect::<BTreeSet<_>>().len(), 35_000);
        assert_eq!(lines.len(), 35_000);
    }

    #[test]
    fn two_of_a_hundred_rows_come_after_later_ones() {
        let mut newest = 0;
        let mut late = 0;
        for line in lines(1, 100_000) {
            let time: u64 = line.rsplit_once(' ').unwrap().1.parse().unwrap();
            late += u64::from(time < newest);
            newest = newest.max(time);
        }
        // The delay of the only host is one tick.
        assert_eq!(late, 100_000 / LATE_EVERY);
    }

    #[test]
    fn a_line_has_all_tags_and_fields() {
        let line = lines(2, 2).remove(1);
        assert!(line.starts_with("cpu,hostname=host_0000001,region=ap-southeast-1 usage_user="));
        assert_eq!(line.matches("i,usage_").count(), CPU_FIELDS.len() - 1);
        assert!(line.ends_with("i 1704067200000000000"));
    }
}
