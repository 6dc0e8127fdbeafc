//! Messages of answers.

use serde_json::{Value, json};

/// The answer to an export. Its form is the same for all signals, except for a name in JSON.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ExportResponse {
    /// `None`: everything is stored.
    #[prost(message, optional, tag = "1")]
    pub(crate) partial_success: Option<PartialSuccess>,
}

/// What is not stored.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct PartialSuccess {
    /// The number of refused spans, data points or log records. 0: `error_message` is a warning.
    #[prost(int64, tag = "1")]
    pub(crate) rejected: i64,
    #[prost(string, tag = "2")]
    pub(crate) error_message: String,
}

impl ExportResponse {
    /// Returns the JSON form. `rejected_name` is the name of the number of refused items.
    pub(crate) fn json(&self, rejected_name: &str) -> Value {
        match &self.partial_success {
            None => json!({}),
            Some(partial) => json!({
                "partialSuccess": {
                    // 64-bit integers are strings.
                    rejected_name: partial.rejected.to_string(),
                    "errorMessage": partial.error_message,
                },
            }),
        }
    }
}

/// `google.rpc.Status`: an error.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct RpcStatus {
    /// The code of gRPC.
    #[prost(int32, tag = "1")]
    pub(crate) code: i32,
    #[prost(string, tag = "2")]
    pub(crate) message: String,
    #[prost(message, repeated, tag = "3")]
    pub(crate) details: Vec<AnyMessage>,
}

/// `google.protobuf.Any`: a message with its type.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct AnyMessage {
    #[prost(string, tag = "1")]
    pub(crate) type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) value: Vec<u8>,
}

/// `google.rpc.BadRequest`: the field that is malformed.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct BadRequest {
    #[prost(message, repeated, tag = "1")]
    pub(crate) field_violations: Vec<FieldViolation>,
}

/// A malformed field.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct FieldViolation {
    /// The path to the field.
    #[prost(string, tag = "1")]
    pub(crate) field: String,
    #[prost(string, tag = "2")]
    pub(crate) description: String,
}

const BAD_REQUEST: &str = "type.googleapis.com/google.rpc.BadRequest";

impl BadRequest {
    /// Creates the detail for one field.
    pub(crate) fn of_field(field: &str, description: &str) -> Self {
        let violation =
            FieldViolation { field: field.to_owned(), description: description.to_owned() };
        Self { field_violations: vec![violation] }
    }
}

impl RpcStatus {
    /// Creates an error with a malformed field, if there is one.
    pub(crate) fn new(code: u8, message: &str, detail: Option<&BadRequest>) -> Self {
        let details = detail.map(|detail| AnyMessage {
            type_url: BAD_REQUEST.to_owned(),
            value: prost::Message::encode_to_vec(detail),
        });
        Self {
            code: code.into(),
            message: message.to_owned(),
            details: details.into_iter().collect(),
        }
    }

    /// Returns the JSON form, with the detail that the error was created with.
    pub(crate) fn json(&self, detail: Option<&BadRequest>) -> Value {
        let violations = detail.map(|detail| {
            let violations = detail.field_violations.iter().map(|violation| {
                json!({ "field": violation.field, "description": violation.description })
            });
            violations.collect::<Vec<_>>()
        });
        match violations {
            None => json!({ "code": self.code, "message": self.message }),
            Some(violations) => json!({
                "code": self.code,
                "message": self.message,
                "details": [{ "@type": BAD_REQUEST, "fieldViolations": violations }],
            }),
        }
    }
}
