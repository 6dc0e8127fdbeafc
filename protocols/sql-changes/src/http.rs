//! `POST /api/v3/execute_sql`: a statement that changes something, over HTTP.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::post,
};
use http::{HeaderValue, Uri};
use neap_catalog::origin;
use neap_http::{ApiError, BodyLimits, Caller, Kind, STAMP_HEADER, parse_query, read_body};
use neap_query::{ClientQuery, Language, Parameters, QueryRequest, query_request};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    change::Change,
    data_definition::DataDefinition,
    executor::{ChangeExecutor, ChangeOutcome},
    sql_error::SqlError,
    statement::StatementText,
};

/// Maximum size of a statement with the values of its placeholders, in bytes.
const MAX_STATEMENT_BYTES: usize = 4 << 20;

/// Returns the route of changes. Merge it with the routes of the functions, inside
/// [`with_common_layers`](neap_http::with_common_layers). The handler checks the permissions for the database.
pub fn router(executor: ChangeExecutor) -> Router {
    Router::new()
        .route("/api/v3/execute_sql", post(execute))
        .with_state(Arc::new(executor))
}

/// A statement, as the body or as the parameters of the URL.
#[derive(Debug, Deserialize)]
struct StatementRequest<P> {
    /// Absent: the statement has no table, because it creates or drops a database.
    db: Option<String>,
    q: String,
    params: Option<P>,
}

#[derive(Debug, Serialize)]
struct StatementAnswer {
    statement: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<usize>,
}

async fn execute(
    State(executor): State<Arc<ChangeExecutor>>,
    request: Request,
) -> Result<Response, ApiError> {
    let (head, body) = request.into_parts();
    let statement = if head.uri.query().is_some() {
        of_url(&head.uri)?
    } else {
        let limits = BodyLimits::with_max_bytes(MAX_STATEMENT_BYTES);
        let world = executor.queries().world();
        // The content type is ignored because curl sends a form by default.
        of_json(&read_body(&head.headers, body, &limits, world).await?)?
    };
    let change = only_change(&statement.q)?;
    let is_of_database = matches!(
        change,
        Change::Define(DataDefinition::CreateDatabase(_) | DataDefinition::DropDatabase(_))
    );
    if statement.db.is_none() && !is_of_database {
        let text = format!("{} needs a database: 'db' is missing", change.name());
        return Err(ApiError::json(Kind::Invalid, text));
    }
    let query = ClientQuery {
        caller: Caller::from_head(&head)?,
        origin: origin::current(),
        database: statement.db,
        language: Language::Sql,
        request: QueryRequest {
            text: statement.q,
            parameters: statement.params.unwrap_or_default(),
            ..query_request(&head.headers, &head.extensions)?
        },
    };
    let changed = executor.execute(&change, query).await?;
    Ok(answer(&change, changed))
}

fn of_url(uri: &Uri) -> Result<StatementRequest<Parameters>, ApiError> {
    let url: StatementRequest<String> = parse_query(uri)?;
    let params = url.params.map(|json| of_json(json.as_bytes())).transpose()?;
    Ok(StatementRequest { db: url.db, q: url.q, params })
}

fn of_json<T: DeserializeOwned>(json: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(json)
        .map_err(|error| ApiError::text(Kind::Invalid, format!("serde json error: {error}")))
}

/// Returns the change that a text consists of.
fn only_change(text: &str) -> Result<Change, SqlError> {
    let mut statements = StatementText::split(text)?;
    let count = statements.len();
    let Some(statement) = statements.pop().filter(|_| count == 1) else {
        let message = format!("a request has one statement, not {count}");
        return Err(SqlError::syntax(message));
    };
    Change::parse(&statement.with_text_before(text))?.ok_or_else(|| {
        let message = "only INSERT, DELETE, CREATE, DROP and ALTER are executed here";
        SqlError::unsupported(message).with_hint("POST /api/v3/query_sql answers queries.")
    })
}

fn answer(change: &Change, outcome: ChangeOutcome) -> Response {
    let answer = StatementAnswer { statement: change.name(), rows: outcome.rows };
    let mut response = Json(answer).into_response();
    let stamp = outcome.stamp.map(|stamp| (STAMP_HEADER, HeaderValue::from(stamp.as_u64())));
    response.headers_mut().extend(stamp);
    response
}
