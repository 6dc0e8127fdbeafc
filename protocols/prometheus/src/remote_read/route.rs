//! The routes.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Path, Request, State},
    response::{IntoResponse, Response},
    routing::{MethodRouter, get, post},
};
use http::{header::CONTENT_ENCODING, request::Parts};
use neap_http::{ApiError, BodyLimits, last_parameter, parse_query as parse_url_query, read_body};
use neap_query::{QueryEngine, promql::MAX_MATCHERS};
use serde_json::json;

use crate::{
    ReadRequest, decode_read, decompress,
    remote_read::{
        answer::{List, respond},
        context::ReadContext,
        exemplars::{self, ExemplarParams},
        expressions,
        failure::{ReadFailure, ReadResult},
        label_name::label_of_path,
        list_params::{ListParams, MetadataParams},
        lists,
        params::RequestParams,
        query_params::QueryParams,
        read,
        read_permits::{ReadPermit, ReadPermits},
        rule_config, rule_list,
    },
};

/// The version of Prometheus whose HTTP interface and functions the routes have.
const PROMETHEUS_VERSION: &str = "3.5.0";

/// Maximum size of a request of remote read, in bytes, compressed and decompressed.
const MAX_REQUEST_BYTES: usize = 256 << 10;

/// Maximum number of queries of a request.
const MAX_QUERIES: usize = 100;

/// Maximum size of a rule file in bytes, more than the rules of a database may have.
const MAX_RULES_BYTES: usize = 2 << 20;

/// The state of the routes.
#[derive(Debug)]
struct PrometheusReader {
    engine: Arc<QueryEngine>,
    /// The database of requests that name none.
    default_database: Option<String>,
    /// The answers of remote read that are in memory.
    reads: ReadPermits,
    /// The lists that are in memory.
    lists: ReadPermits,
}

/// The prefixes of the paths of Prometheus's HTTP interface.
const PREFIXES: [&str; 2] = ["/api/v1", "/prometheus/api/v1"];

/// Returns the routes. Those that read a database require the permission to read it. The parameter `db` names it, or else it is
/// `default_database`. In `neap serve` and in the query function, they are merged with the routes of [`neap_query::router`].
pub fn router(engine: Arc<QueryEngine>, default_database: Option<String>) -> Router {
    let reader = Arc::new(PrometheusReader {
        engine,
        default_database,
        reads: ReadPermits::new(),
        lists: ReadPermits::new(),
    });
    let mut router = Router::new()
        .route("/api/v1/read", post(remote_read))
        .route("/api/v1/prom/read", post(remote_read));
    for prefix in PREFIXES {
        for (path, methods) in http_interface() {
            router = router.route(&format!("{prefix}/{path}"), methods);
        }
    }
    for (path, methods) in rule_configuration() {
        router = router.route(&format!("{RULES_PATH}{path}"), methods);
    }
    router.with_state(reader)
}

/// The path of the configuration of rules.
const RULES_PATH: &str = "/prometheus/config/v1/rules";

/// Returns the routes of the configuration of rules, each below its path.
fn rule_configuration() -> [(&'static str, MethodRouter<Arc<PrometheusReader>>); 3] {
    let of_namespace = get(namespace).post(store_rules).put(store_rules).delete(delete_namespace);
    [
        ("", get(namespaces)),
        ("/{namespace}", of_namespace),
        ("/{namespace}/{group}", get(rule_group).delete(delete_group)),
    ]
}

/// Returns the routes of Prometheus's HTTP interface, each below a prefix.
fn http_interface() -> [(&'static str, MethodRouter<Arc<PrometheusReader>>); 12] {
    [
        ("query", get(query).post(query)),
        ("query_range", get(query_range).post(query_range)),
        ("query_exemplars", get(query_exemplars).post(query_exemplars)),
        ("format_query", get(format_query).post(format_query)),
        ("parse_query", get(parse_query).post(parse_query)),
        ("labels", get(label_names).post(label_names)),
        ("label/{name}/values", get(label_values)),
        ("series", get(series).post(series)),
        ("metadata", get(metadata)),
        ("rules", get(rules)),
        ("alerts", get(alerts)),
        ("status/buildinfo", get(build_info)),
    ]
}

impl PrometheusReader {
    fn context(&self, head: &Parts, database: Option<&str>) -> Result<ReadContext, ApiError> {
        let default = self.default_database.as_deref();
        ReadContext::new(&self.engine, head, database, default)
    }

    /// Returns the context of a request whose URL names the database.
    fn url_context(&self, head: &Parts) -> Result<ReadContext, ApiError> {
        let pairs: Vec<(String, String)> = parse_url_query(&head.uri)?;
        self.context(head, last_parameter(&pairs, "db"))
    }

    /// Waits for the permit of a list. Its parameters are parsed first.
    async fn list_context<P: Send>(
        &self,
        request: Request,
        parse: impl FnOnce(RequestParams) -> ReadResult<P> + Send,
    ) -> ReadResult<(ReadContext, P, ReadPermit)> {
        let (head, params) = self.params(request).await?;
        let context = self.context(&head, params.get("db"))?;
        let list = parse(params)?;
        let permit = context.permit(&self.lists).await?;
        Ok((context, list, permit))
    }

    async fn params(&self, request: Request) -> ReadResult<(Parts, RequestParams)> {
        let (head, body) = request.into_parts();
        let params = RequestParams::read(&self.engine, &head, body).await?;
        Ok((head, params))
    }

    /// Returns the present, in milliseconds since the Unix epoch.
    fn now_ms(&self) -> i64 {
        self.engine.world().clock.wall_micros().div_euclid(1_000)
    }

    async fn read_request(&self, request: Request) -> ReadResult<(ReadContext, ReadRequest)> {
        let (mut head, body) = request.into_parts();
        let context = self.url_context(&head)?;
        context.authorize().await?;
        // The body is read as it is: a block of snappy.
        head.headers.remove(CONTENT_ENCODING);
        let request = self.decode(&head, body).await?;
        Ok((context, request))
    }

    async fn decode(&self, head: &Parts, body: Body) -> ReadResult<ReadRequest> {
        let limits = BodyLimits::with_max_bytes(MAX_REQUEST_BYTES);
        let block = read_body(&head.headers, body, &limits, self.engine.world())
            .await
            .map_err(ApiError::from)?;
        let message = decompress(&block, MAX_REQUEST_BYTES)?;
        Ok(decode_read(&message, MAX_QUERIES, MAX_MATCHERS)?)
    }
}

/// `POST /api/v1/read`, `POST /api/v1/prom/read`
async fn remote_read(State(reader): State<Arc<PrometheusReader>>, request: Request) -> Response {
    let answer = async {
        let (context, request) = reader.read_request(request).await?;
        read::answer(context, &request, &reader.reads).await
    };
    match answer.await {
        Ok(response) => response,
        Err(failure) => ApiError::from(failure).into_response(),
    }
}

/// `GET`, `POST` `query`
async fn query(State(reader): State<Arc<PrometheusReader>>, request: Request) -> Response {
    let answer = async {
        let (head, params) = reader.params(request).await?;
        let context = reader.context(&head, params.get("db"))?;
        let query = QueryParams::instant(&params, reader.now_ms())?;
        expressions::evaluate(&context, &query).await
    };
    respond(answer.await)
}

/// `GET`, `POST` `query_range`
async fn query_range(State(reader): State<Arc<PrometheusReader>>, request: Request) -> Response {
    let answer = async {
        let (head, params) = reader.params(request).await?;
        let context = reader.context(&head, params.get("db"))?;
        expressions::evaluate(&context, &QueryParams::range(&params)?).await
    };
    respond(answer.await)
}

/// `GET`, `POST` `format_query`
async fn format_query(State(reader): State<Arc<PrometheusReader>>, request: Request) -> Response {
    let params = reader.params(request).await;
    respond(params.and_then(|(_, params)| expressions::format(&params)))
}

/// `GET`, `POST` `parse_query`
async fn parse_query(State(reader): State<Arc<PrometheusReader>>, request: Request) -> Response {
    let params = reader.params(request).await;
    respond(params.and_then(|(_, params)| expressions::syntax_tree(&params)))
}

/// `GET`, `POST` `query_exemplars`
async fn query_exemplars(
    State(reader): State<Arc<PrometheusReader>>,
    request: Request,
) -> Response {
    let list = async {
        let parse = |params: RequestParams| ExemplarParams::parse(&params);
        let (context, params, _permit) = reader.list_context(request, parse).await?;
        exemplars::list(&context, &params).await
    };
    respond(list.await)
}

/// `GET rules`
async fn rules(State(reader): State<Arc<PrometheusReader>>, request: Request) -> Response {
    let list = async {
        let (head, params) = reader.params(request).await?;
        let context = reader.context(&head, params.get("db"))?;
        let rules = context.rules().await?;
        Ok::<_, ReadFailure>(rule_list::groups(&rules, &params))
    };
    respond(list.await)
}

/// `GET alerts`
async fn alerts(State(reader): State<Arc<PrometheusReader>>, request: Request) -> Response {
    let list = async {
        let (head, params) = reader.params(request).await?;
        let context = reader.context(&head, params.get("db"))?;
        let rules = context.rules().await?;
        Ok::<_, ReadFailure>(rule_list::alerts(&rules))
    };
    respond(list.await)
}

/// `GET config/v1/rules`
async fn namespaces(State(reader): State<Arc<PrometheusReader>>, request: Request) -> Response {
    let shown = async {
        let context = reader.url_context(&request.into_parts().0)?;
        rule_config::show_namespaces(&context.rules().await?, None)
    };
    respond(shown.await)
}

/// `GET config/v1/rules/{namespace}`
async fn namespace(
    State(reader): State<Arc<PrometheusReader>>,
    Path(namespace): Path<String>,
    request: Request,
) -> Response {
    let shown = async {
        let context = reader.url_context(&request.into_parts().0)?;
        rule_config::show_namespaces(&context.rules().await?, Some(&namespace))
    };
    respond(shown.await)
}

/// `GET config/v1/rules/{namespace}/{group}`
async fn rule_group(
    State(reader): State<Arc<PrometheusReader>>,
    Path((namespace, group)): Path<(String, String)>,
    request: Request,
) -> Response {
    let shown = async {
        let context = reader.url_context(&request.into_parts().0)?;
        rule_config::show_group(&context.rules().await?, &namespace, &group)
    };
    respond(shown.await)
}

/// `POST`, `PUT config/v1/rules/{namespace}`
async fn store_rules(
    State(reader): State<Arc<PrometheusReader>>,
    Path(namespace): Path<String>,
    request: Request,
) -> Response {
    let stored = async {
        let (head, body) = request.into_parts();
        let context = reader.url_context(&head)?;
        context.authorize().await?;
        let limits = BodyLimits::with_max_bytes(MAX_RULES_BYTES);
        let text = read_body(&head.headers, body, &limits, reader.engine.world())
            .await
            .map_err(ApiError::from)?;
        rule_config::store(&context, &head.method, &namespace, &text).await
    };
    respond(stored.await)
}

/// `DELETE config/v1/rules/{namespace}`
async fn delete_namespace(
    State(reader): State<Arc<PrometheusReader>>,
    Path(namespace): Path<String>,
    request: Request,
) -> Response {
    let deleted = async {
        let context = reader.url_context(&request.into_parts().0)?;
        rule_config::delete(&context, &namespace, None).await
    };
    respond(deleted.await)
}

/// `DELETE config/v1/rules/{namespace}/{group}`
async fn delete_group(
    State(reader): State<Arc<PrometheusReader>>,
    Path((namespace, group)): Path<(String, String)>,
    request: Request,
) -> Response {
    let deleted = async {
        let context = reader.url_context(&request.into_parts().0)?;
        rule_config::delete(&context, &namespace, Some(group)).await
    };
    respond(deleted.await)
}

/// `GET status/buildinfo`. Clients conclude from the version which routes and functions exist.
async fn build_info() -> List {
    let data = json!({
        "version": PROMETHEUS_VERSION,
        "revision": concat!("neap-", env!("CARGO_PKG_VERSION")),
        "branch": "",
        "buildUser": "",
        "buildDate": "",
        "goVersion": "",
    });
    List::of_data(data, false)
}

/// `GET`, `POST` `labels`
async fn label_names(State(reader): State<Arc<PrometheusReader>>, request: Request) -> Response {
    let list = async {
        let (context, params, _permit) = reader.list_context(request, ListParams::parse).await?;
        lists::label_names(&context, &params).await
    };
    respond(list.await)
}

/// `GET label/{name}/values`
async fn label_values(
    State(reader): State<Arc<PrometheusReader>>,
    Path(label): Path<String>,
    request: Request,
) -> Response {
    let list = async {
        let (context, params, _permit) = reader.list_context(request, ListParams::parse).await?;
        lists::label_values(&context, &label_of_path(&label), &params).await
    };
    respond(list.await)
}

/// `GET`, `POST` `series`
async fn series(State(reader): State<Arc<PrometheusReader>>, request: Request) -> Response {
    let list = async {
        let (context, params, _permit) = reader.list_context(request, ListParams::parse).await?;
        lists::series(&context, &params).await
    };
    respond(list.await)
}

/// `GET metadata`
async fn metadata(State(reader): State<Arc<PrometheusReader>>, request: Request) -> Response {
    let list = async {
        let parse = |params: RequestParams| MetadataParams::parse(&params);
        let (context, params, _permit) = reader.list_context(request, parse).await?;
        lists::metadata(&context, &params).await
    };
    respond(list.await)
}
