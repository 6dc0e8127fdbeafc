//! InfluxQL statements over a few rows, with the expected answers.

/// Compares the rows of a statement that must succeed with an inline snapshot.
macro_rules! assert_rows {
    ($instance:expr, $statement:expr, @$rows:literal) => {
        insta::assert_snapshot!($instance.selected($statement).await, @$rows)
    };
}

mod aggregates;
mod calendar;
mod conditions;
mod errors;
mod forecasts;
mod golden;
mod integrals;
mod model;
mod raw;
mod selectors;
mod series;
mod sources;
mod windows;

use axum::body::Body;
use http::Request;

use crate::tests::instance::QueryTestInstance;

/// Two rooms from 8 to 11 o'clock. The living room has no row for 10 o'clock.
const HOME: &str = "\
home,room=Kitchen temp=21,hum=35.5,co=0i 1699948800000000000
home,room=Kitchen temp=23,co=1i 1699952400000000000
home,room=Kitchen temp=22,co=3i 1699956000000000000
home,room=Kitchen temp=22.5,co=8i,lit=true 1699959600000000000
home,room=Living\\ Room temp=20,co=0i 1699948800000000000
home,room=Living\\ Room temp=21,co=0i,note=\"open\" 1699952400000000000
home,room=Living\\ Room temp=24,hum=36.5,co=2i 1699959600000000000
";

/// Fields with different types in the two tables, and a tag that some rows lack.
const OTHERS: &str = "\
ints,src=a v=1i,w=7i 1699948800000000000
ints,src=b v=2i 1699952400000000000
ints v=4i 1699956000000000000
floats,src=a v=0.5,w=\"seven\",big=18446744073709551615u 1699948800000000000
";

async fn instance() -> QueryTestInstance {
    let instance = QueryTestInstance::with_rows(HOME).await;
    instance.write(OTHERS).await;
    instance
}

impl QueryTestInstance {
    async fn select_in(&self, statement: &str, format: &str) -> (u16, String) {
        let body = serde_json::json!({"db": "db", "q": statement, "format": format});
        let request = Request::post("/api/v3/query_influxql").body(Body::from(body.to_string()));
        self.send(request.unwrap()).await
    }

    /// Answers a statement that must succeed. Removes the date from times.
    async fn selected(&self, statement: &str) -> String {
        let (status, body) = self.select_in(statement, "csv").await;
        assert_eq!(status, 200, "{statement}: {body}");
        body.replace("2023-11-14T", "").replace("iox::measurement", "m")
    }

    /// Returns the status and text of an error.
    async fn refused(&self, statement: &str) -> String {
        let (status, body) = self.select_in(statement, "csv").await;
        assert!(status >= 400, "{statement}: {body}");
        format!("{status} {body}")
    }
}
