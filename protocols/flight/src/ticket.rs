//! Tickets of `DoGet`.
//!
//! | form | sent by |
//! |---|---|
//! | JSON: `{"database":…,"sql_query":…,"query_type":"sql","params":{…}}` | InfluxDB's clients |
//! | the message `influxdata.iox.querier.v1.ReadInfo`, alone or within `Any` | older clients of InfluxDB |
//! | a command or ticket of Flight SQL within `Any` | clients of Flight SQL |

use arrow_flight::sql::{Any, Command};
use neap_query::{Language, Parameters};
use prost::Message;
use serde::Deserialize;
use serde_json::Value;

/// The prefix of the types of messages within `Any`.
const TYPE_PREFIX: &str = "type.googleapis.com/";

/// The type of InfluxDB's ticket within `Any`.
const READ_INFO_TYPE: &str = "influxdata.iox.querier.v1.ReadInfo";

/// The query type of a `ReadInfo` with a command of Flight SQL.
const FLIGHT_SQL_COMMAND: i32 = 3;

#[derive(Debug)]
pub(crate) enum DecodedTicket {
    /// A query of a client of InfluxDB.
    Native(NativeQuery),
    /// A message of Flight SQL, with the database if the ticket names it.
    Sql(Command, Option<String>),
}

/// A query of a client of InfluxDB.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NativeQuery {
    pub(crate) database: String,
    pub(crate) text: String,
    pub(crate) language: Language,
    pub(crate) parameters: Parameters,
}

/// The reason why a ticket can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TicketError {
    #[error("Invalid ticket. Error: {0}")]
    Json(#[from] serde_json::Error),
    /// The ticket is not a message of a known type.
    #[error("Invalid ticket. Error: {0}")]
    Message(#[from] prost::DecodeError),
    #[error("Invalid ticket. Error: the ticket names no database")]
    NoDatabase,
    #[error("Invalid ticket. Error: unknown query type: {0}")]
    QueryType(String),
    #[error("Invalid ticket. Error: parameter {0} is not a finite number")]
    InfiniteParameter(String),
    #[error("Invalid ticket. Error: {0}")]
    Command(String),
}

impl DecodedTicket {
    /// Decodes the bytes of a ticket.
    ///
    /// # Errors
    /// The bytes have none of the forms.
    pub(crate) fn decode(ticket: &[u8]) -> Result<Self, TicketError> {
        if ticket.trim_ascii_start().first() == Some(&b'{') {
            let json: JsonTicket = serde_json::from_slice(ticket)?;
            return json.query().map(Self::Native);
        }
        // `Any` and `ReadInfo` both begin with two texts.
        let any = Any::decode(ticket).ok();
        let typed = any.filter(|any| any.type_url.starts_with(TYPE_PREFIX));
        match typed {
            Some(any) if any.type_url.ends_with(READ_INFO_TYPE) => {
                ReadInfo::decode(any.value)?.ticket()
            }
            Some(any) => {
                let command = Command::try_from(any)
                    .map_err(|error| TicketError::Command(error.to_string()))?;
                Ok(Self::Sql(command, None))
            }
            None => ReadInfo::decode(ticket)?.ticket(),
        }
    }
}

/// The JSON form of a ticket.
#[derive(Debug, Deserialize)]
struct JsonTicket {
    #[serde(
        alias = "namespace_name",
        alias = "bucket",
        alias = "bucket-name",
        default
    )]
    database: String,
    sql_query: String,
    #[serde(default)]
    query_type: Option<String>,
    #[serde(default)]
    params: Parameters,
}

impl JsonTicket {
    fn query(self) -> Result<NativeQuery, TicketError> {
        let language = match self.query_type.as_deref() {
            None | Some("sql") => Language::Sql,
            Some("influxql") => Language::InfluxQl,
            Some(other) => return Err(TicketError::QueryType(other.to_owned())),
        };
        NativeQuery {
            database: self.database,
            text: self.sql_query,
            language,
            parameters: self.params,
        }
        .checked()
    }
}

/// The protobuf form of a ticket, as in the interface definition of InfluxDB 3.
#[derive(Clone, PartialEq, Message)]
struct ReadInfo {
    #[prost(string, tag = "1")]
    namespace_name: String,
    #[prost(string, tag = "2")]
    sql_query: String,
    /// 0 and 1: SQL, 2: InfluxQL.
    #[prost(int32, tag = "3")]
    query_type: i32,
    /// A command of Flight SQL, for the query type 3.
    #[prost(bytes = "vec", tag = "4")]
    flightsql_command: Vec<u8>,
    #[prost(bool, tag = "5")]
    is_debug: bool,
    #[prost(message, repeated, tag = "6")]
    params: Vec<QueryParam>,
}

/// The value of a placeholder.
#[derive(Clone, PartialEq, Message)]
struct QueryParam {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(oneof = "ParamValue", tags = "2, 3, 4, 5, 6, 7")]
    value: Option<ParamValue>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum ParamValue {
    #[prost(int32, tag = "2")]
    Null(i32),
    #[prost(bool, tag = "3")]
    Boolean(bool),
    #[prost(uint64, tag = "4")]
    UInt64(u64),
    #[prost(int64, tag = "5")]
    Int64(i64),
    #[prost(double, tag = "6")]
    Float64(f64),
    #[prost(string, tag = "7")]
    String(String),
}

impl QueryParam {
    /// Returns the name, and the value as JSON, which has the same types.
    fn json(self) -> (String, Value) {
        let value = match self.value {
            None | Some(ParamValue::Null(_)) => Value::Null,
            Some(ParamValue::Boolean(value)) => value.into(),
            Some(ParamValue::UInt64(value)) => value.into(),
            Some(ParamValue::Int64(value)) => value.into(),
            Some(ParamValue::Float64(value)) => value.into(),
            Some(ParamValue::String(value)) => value.into(),
        };
        (self.name, value)
    }
}

impl ReadInfo {
    fn ticket(self) -> Result<DecodedTicket, TicketError> {
        if self.query_type == FLIGHT_SQL_COMMAND {
            let any = Any::decode(&*self.flightsql_command)?;
            let command =
                Command::try_from(any).map_err(|error| TicketError::Command(error.to_string()))?;
            return Ok(DecodedTicket::Sql(command, Some(self.namespace_name)));
        }
        self.query().map(DecodedTicket::Native)
    }

    fn query(self) -> Result<NativeQuery, TicketError> {
        let language = match self.query_type {
            0 | 1 => Language::Sql,
            2 => Language::InfluxQl,
            other => return Err(TicketError::QueryType(other.to_string())),
        };
        let is_infinite = |param: &QueryParam| matches!(param.value, Some(ParamValue::Float64(value)) if !value.is_finite());
        if let Some(param) = self.params.iter().find(|param| is_infinite(param)) {
            return Err(TicketError::InfiniteParameter(param.name.clone()));
        }
        let params: Value = self.params.into_iter().map(QueryParam::json).collect();
        NativeQuery {
            database: self.namespace_name,
            text: self.sql_query,
            language,
            parameters: serde_json::from_value(params)?,
        }
        .checked()
    }
}

impl NativeQuery {
    fn checked(self) -> Result<Self, TicketError> {
        if self.database.is_empty() {
            Err(TicketError::NoDatabase)
        } else {
            Ok(self)
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow_flight::sql::{CommandStatementQuery, ProstMessageExt};
    use proptest::prelude::*;

    use super::*;

    fn native(ticket: &[u8]) -> NativeQuery {
        match DecodedTicket::decode(ticket) {
            Ok(DecodedTicket::Native(query)) => query,
            other => panic!("{other:?}"),
        }
    }

    fn query(language: Language) -> NativeQuery {
        NativeQuery {
            database: "d".to_owned(),
            text: "SELECT 1".to_owned(),
            language,
            parameters: Parameters::default(),
        }
    }

    #[test]
    fn json_names_the_database_in_four_ways() {
        for name in ["database", "namespace_name", "bucket", "bucket-name"] {
            let json = format!(r#" {{"{name}":"d","sql_query":"SELECT 1","is_debug":true}}"#);
            assert_eq!(native(json.as_bytes()), query(Language::Sql), "{name}");
        }
    }

    #[test]
    fn json_has_a_language_and_parameters() {
        let json =
            br#"{"database":"d","sql_query":"SELECT 1","query_type":"influxql","params":null}"#;
        assert_eq!(native(json), query(Language::InfluxQl));
        let json = br#"{"database":"d","sql_query":"SELECT $a","params":{"a":1}}"#;
        assert_eq!(native(json).parameters.0.len(), 1);
    }

    #[test]
    fn a_read_info_may_be_alone_or_within_any() {
        let info = ReadInfo {
            namespace_name: "d".to_owned(),
            sql_query: "SELECT 1".to_owned(),
            query_type: 2,
            ..ReadInfo::default()
        };
        let bytes = info.encode_to_vec();
        assert_eq!(native(&bytes), query(Language::InfluxQl));
        let any = Any {
            type_url: format!("{TYPE_PREFIX}{READ_INFO_TYPE}"),
            value: bytes.into(),
        };
        assert_eq!(native(&any.encode_to_vec()), query(Language::InfluxQl));
    }

    #[test]
    fn a_read_info_has_parameters_of_each_type() {
        let values = [
            ("a", ParamValue::Null(0)),
            ("b", ParamValue::Boolean(true)),
            ("c", ParamValue::UInt64(u64::MAX)),
            ("d", ParamValue::Int64(-1)),
            ("e", ParamValue::Float64(1.5)),
            ("f", ParamValue::String("x".to_owned())),
        ];
        let params =
            values.map(|(name, value)| QueryParam { name: name.to_owned(), value: Some(value) });
        let info = ReadInfo {
            namespace_name: "d".to_owned(),
            params: params.into(),
            ..ReadInfo::default()
        };
        let expected = r#"{"a":null,"b":true,"c":18446744073709551615,"d":-1,"e":1.5,"f":"x"}"#;
        let parameters = native(&info.encode_to_vec()).parameters;
        assert_eq!(parameters, serde_json::from_str(expected).unwrap());
    }

    #[test]
    fn commands_of_flight_sql_are_tickets_too() {
        let command = CommandStatementQuery { query: "SELECT 1".to_owned(), transaction_id: None };
        let ticket = DecodedTicket::decode(&command.as_any().encode_to_vec());
        assert!(matches!(
            ticket,
            Ok(DecodedTicket::Sql(Command::CommandStatementQuery(_), None))
        ));
    }

    #[test]
    fn other_tickets_are_refused_with_the_reason() {
        for (ticket, reason) in [
            (&b"{"[..], "EOF while parsing"),
            (br#"{"sql_query":"SELECT 1"}"#, "names no database"),
            (br#"{"database":"d"}"#, "missing field `sql_query`"),
            (br#"{"database":"d","bucket":"e","sql_query":""}"#, "duplicate field `database`"),
            (
                br#"{"database":"d","sql_query":"","query_type":"flux"}"#,
                "unknown query type: flux",
            ),
            (b"", "names no database"),
            (b"\xff", "failed to decode"),
        ] {
            let error = DecodedTicket::decode(ticket).unwrap_err().to_string();
            assert!(error.starts_with("Invalid ticket. Error: "), "{error}");
            assert!(error.contains(reason), "{error}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
        #[test]
        fn no_bytes_end_the_process(ticket in proptest::collection::vec(any::<u8>(), 0..200)) {
            // A panic fails the test.
            let _ = DecodedTicket::decode(&ticket).is_ok();
        }
    }
}
