//! Messages of Prometheus and OpenTelemetry, lines of QuestDB, and frames of plugins.

use neap_prometheus::{
    LabelMatcher, MatcherType, Message, Query, ReadHints, ReadRequest, ResponseType,
};
use prost::encoding::encode_varint;

use crate::Seeds;

pub(crate) fn add_messages(seeds: &mut Seeds) {
    add_prometheus(seeds);
    add_otlp(seeds);
    add_questdb_lines(seeds);
    add_frames(seeds);
}

/// A message of protobuf under construction.
#[derive(Debug, Default)]
struct Proto(Vec<u8>);

impl Proto {
    fn key(mut self, number: u64, kind: u64) -> Self {
        encode_varint(number << 3 | kind, &mut self.0);
        self
    }

    fn number(self, number: u64, value: u64) -> Self {
        let mut message = self.key(number, 0);
        encode_varint(value, &mut message.0);
        message
    }

    fn fixed(self, number: u64, value: u64) -> Self {
        let mut message = self.key(number, 1);
        message.0.extend(value.to_le_bytes());
        message
    }

    fn bytes(self, number: u64, value: impl AsRef<[u8]>) -> Self {
        let mut message = self.key(number, 2);
        encode_varint(value.as_ref().len() as u64, &mut message.0);
        message.0.extend(value.as_ref());
        message
    }

    fn message(self, number: u64, value: Self) -> Self {
        self.bytes(number, value.0)
    }
}

fn proto() -> Proto {
    Proto::default()
}

fn add_prometheus(seeds: &mut Seeds) {
    let label = |name: &str, value: &str| proto().bytes(1, name).bytes(2, value);
    let sample = proto().fixed(1, 1.5_f64.to_bits()).number(2, 1_700_000_000_000);
    let series = proto()
        .message(1, label("__name__", "up"))
        .message(1, label("job", "api"))
        .message(2, sample);
    let metadata = proto().number(1, 1).bytes(2, "up").bytes(4, "Up.").bytes(5, "s");
    let first = proto().message(1, series).message(3, metadata);
    seeds.add("prometheus-write", first.0);
    let histogram = proto()
        .number(1, 12)
        .fixed(3, 18.5_f64.to_bits())
        .number(4, 1)
        .fixed(5, 1.0_f64.to_bits())
        .number(6, 2)
        .message(11, proto().number(1, 0).number(2, 2))
        .bytes(12, [2, 1])
        .number(15, 1_700_000_000_000);
    let series = proto()
        .bytes(1, [1, 2])
        .message(2, proto().fixed(1, 2.5_f64.to_bits()).number(2, 5))
        .message(3, histogram)
        .message(5, proto().number(1, 1).number(3, 2));
    let second = proto().bytes(4, "").bytes(4, "__name__").bytes(4, "up").message(5, series);
    seeds.add("prometheus-write", second.0);
    let matcher = |kind: MatcherType, name: &str, value: &str| LabelMatcher {
        kind: kind.into(),
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let query = Query {
        start_timestamp_ms: 1,
        end_timestamp_ms: 9,
        matchers: vec![
            matcher(MatcherType::Equal, "__name__", "up"),
            matcher(MatcherType::NotRegex, "job", "a.*"),
        ],
        hints: Some(ReadHints { step_ms: 5, func: "rate".to_owned(), start_ms: 1, end_ms: 9 }),
    };
    let request = ReadRequest {
        queries: vec![query],
        accepted_response_types: vec![ResponseType::StreamedXorChunks.into()],
    };
    seeds.add("prometheus-read", request.encode_to_vec());
}

fn add_otlp(seeds: &mut Seeds) {
    let text = |value: &str| proto().bytes(1, value);
    let attribute = |name: &str, value: Proto| proto().bytes(1, name).message(2, value);
    let resource = || proto().message(1, attribute("service.name", text("api")));
    let scope = || proto().bytes(1, "scope").bytes(2, "1.0");
    let number = proto()
        .fixed(2, 1)
        .fixed(3, 2)
        .fixed(4, 1.5_f64.to_bits())
        .message(7, attribute("core", proto().number(3, 2)));
    let gauge = proto().bytes(1, "load").message(5, proto().message(1, number));
    let histogram = proto()
        .fixed(3, 2)
        .fixed(4, 3)
        .fixed(5, 1.5_f64.to_bits())
        .bytes(6, [1_u64.to_le_bytes(), 2_u64.to_le_bytes()].concat())
        .bytes(7, 0.5_f64.to_le_bytes());
    let histogram = proto().bytes(1, "wait").message(9, proto().message(1, histogram).number(2, 2));
    let metrics = proto().message(1, scope()).message(2, gauge).message(2, histogram);
    let metrics = proto().message(1, resource()).message(2, metrics);
    seeds.add("otlp-protobuf", proto().message(1, metrics).0);
    let record = proto()
        .fixed(1, 5)
        .number(2, 9)
        .bytes(3, "INFO")
        .message(5, text("started"))
        .message(6, attribute("list", proto().message(5, proto().message(1, text("x")))))
        .bytes(9, [1; 16])
        .bytes(10, [2; 8]);
    let logs = proto().message(1, scope()).message(2, record);
    let logs = proto().message(1, resource()).message(2, logs);
    seeds.add("otlp-protobuf", proto().message(1, logs).0);
    let event = proto().fixed(1, 6).bytes(2, "retry");
    let link = proto().bytes(1, [3; 16]).bytes(2, [4; 8]);
    let span = proto()
        .bytes(1, [1; 16])
        .bytes(2, [2; 8])
        .bytes(4, [5; 8])
        .bytes(5, "GET /")
        .number(6, 2)
        .fixed(7, 5)
        .fixed(8, 9)
        .message(9, attribute("http.method", text("GET")))
        .message(11, event)
        .message(13, link)
        .message(15, proto().bytes(2, "ok").number(3, 1));
    let traces = proto().message(1, scope()).message(2, span);
    let traces = proto().message(1, resource()).message(2, traces);
    seeds.add("otlp-protobuf", proto().message(1, traces).0);
}

fn add_questdb_lines(seeds: &mut Seeds) {
    let double = [&b"v==\x10"[..], &1.5_f64.to_le_bytes()].concat();
    let array = [
        &b"a==\x0e\x0a\x02\x01\0\0\0\x02\0\0\0"[..],
        &0.5_f64.to_le_bytes(),
        &2.5_f64.to_le_bytes(),
    ]
    .concat();
    let decimal = b"d==\x17\x02\x02\x01\x00".to_vec();
    let line = |fields: &[&[u8]]| [b"m,sym=a ", fields.join(&b',').as_slice(), b" 5n\n"].concat();
    seeds.add("questdb-lines", line(&[&double]));
    seeds.add("questdb-lines", line(&[&array, b"s=\"x\\\ny\""]));
    seeds.add("questdb-lines", line(&[&decimal, b"n=0x1fi", b"t=5t", b"nan=NaN"]));
}

/// Adds frames that a plugin sends. Each has a length, a kind, and a header with its own length.
fn add_frames(seeds: &mut Seeds) {
    let headers: [(u8, &str, &[u8]); 8] = [
        (b'L', r#"{"database":"db","lines":2}"#, b"\x05\0\0\0\x05\0\0\0m v=1m v=2"),
        (b'Q', r#"{"database":"db","sql":"SELECT 1","parameters":[["a","1"]]}"#, b""),
        (b'W', r#"{"database":"db","no_sync":false}"#, b"m v=1"),
        (b'P', r#"{"key":"k","global":true,"ttl":1.5}"#, b"\x80\x05K\x01."),
        (b'G', r#"{"key":"k","global":true}"#, b""),
        (b'D', r#"{"key":"k","global":false}"#, b""),
        (b'E', r#"{"last":true,"memory":false,"text":"x","traceback":null}"#, b""),
        (b'O', r#"{"last":false,"status":200,"headers":[["a","b"]]}"#, b"body"),
    ];
    let mut all = frame(b'l', b"ihello");
    for (kind, header, bytes) in headers {
        let length = u32::try_from(header.len()).expect("a short header");
        let payload = [&length.to_le_bytes(), header.as_bytes(), bytes].concat();
        seeds.add("plugin-frames", frame(kind, &payload));
        all.extend(frame(kind, &payload));
    }
    seeds.add("plugin-frames", all);
}

fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(1 + payload.len()).expect("a short frame");
    [&length.to_le_bytes(), &[kind][..], payload].concat()
}
