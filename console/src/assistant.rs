//! `POST /api/v3/console/assistant?db=NAME`: a model explains, corrects and writes statements.
//!
//! ```text
//!   page ── task, language, statement, error ──► permission ── limits ── ChatPrompt: + names and types of columns
//!                                                                           │
//!   page ◄── text, statement ── AssistantAnswer ◄── chat completions ◄──────┘  the key stays in the server
//! ```
//!
//! The model gets names and types that the caller may see, and no values of rows: nothing here reads rows, and `error_text`
//! removes values from errors.
//!
//! | module | subject |
//! |---|---|
//! | `question` | the body of a request |
//! | `prompt` | the texts that a model gets |
//! | `schema_text` | names and types of tables and columns |
//! | `error_text`, `word_set` | errors without values of rows |
//! | `model` | requests to a model |
//! | `answer` | the text and the statement of an answer |
//! | `question_limit` | limits of callers |

mod answer;
mod error_text;
mod model;
mod prompt;
mod question;
mod question_limit;
mod schema_text;
mod word_set;

use std::{sync::Arc, time::Duration};

use axum::{Json, Router, extract::State, routing::post};
use neap_catalog::{Catalog, DatabaseAction};
use neap_http::{ApiError, BodyLimits, Call, Kind, read_json};

pub use self::model::{AssistantError, ChatModelSettings};
use self::{
    answer::AssistantAnswer,
    model::{ChatModel, ChatModelError},
    prompt::ChatPrompt,
    question::AssistantQuestion,
    question_limit::QuestionLimit,
};
use crate::database_param::permitted_database;

/// Maximum bytes of the body of a request.
const MAX_BODY_BYTES: usize = 64 << 10;

/// A model that answers questions about statements, with its limits.
#[derive(Debug)]
pub struct Assistant {
    model: ChatModel,
    limit: QuestionLimit,
}

impl Assistant {
    /// Creates an assistant. Sends nothing.
    ///
    /// # Errors
    /// The URL or the key can't be used, or the certificates of the system can't be read.
    pub fn new(settings: ChatModelSettings) -> Result<Self, AssistantError> {
        Ok(Self {
            model: ChatModel::new(settings)?,
            limit: QuestionLimit::default(),
        })
    }
}

/// The assistant of a server, and its databases.
#[derive(Debug)]
struct AssistantState {
    catalog: Arc<Catalog>,
    assistant: Option<Assistant>,
}

/// Returns the route of the assistant, which refuses questions if there is none.
pub fn assistant_routes(catalog: Arc<Catalog>, assistant: Option<Assistant>) -> Router {
    Router::new()
        .route("/api/v3/console/assistant", post(answer))
        .with_state(Arc::new(AssistantState { catalog, assistant }))
}

async fn answer(
    (State(state), caller, request): Call<Arc<AssistantState>>,
) -> Result<Json<AssistantAnswer>, ApiError> {
    let AssistantState { catalog, assistant } = &*state;
    let read = DatabaseAction::Read;
    let database = permitted_database(catalog, &caller, request.uri(), read).await?;
    let off = || ApiError::json(Kind::NotAllowed, "the server has no --assistant-url");
    let Assistant { model, limit } = assistant.as_ref().ok_or_else(off)?;
    let world = catalog.bucket().world();
    let limits = BodyLimits::with_max_bytes(MAX_BODY_BYTES);
    let (head, body) = request.into_parts();
    let question: AssistantQuestion = read_json(&head.headers, body, &limits, world).await?;
    if let Some(field) = question.missing_field() {
        return Err(ApiError::json(Kind::Invalid, format!("{field} is empty")));
    }
    let now = world.clock.monotonic();
    let _permit = limit.begin(caller.actor(), now).map_err(too_many_questions)?;
    let schema = catalog.database(database, catalog.max_age()).await?.value;
    let prompt = ChatPrompt::new(&question, &schema);
    let unavailable = |error: ChatModelError| ApiError::json(Kind::Unavailable, error.to_string());
    let content = model.ask(&prompt).await.map_err(unavailable)?;
    Ok(Json(AssistantAnswer::new(&content, question.task)))
}

fn too_many_questions(wait: Duration) -> ApiError {
    let error = ApiError::json(Kind::TooManyRequests, "too many questions to the assistant");
    error.retry_after(Some(wait))
}

#[cfg(test)]
mod tests;
