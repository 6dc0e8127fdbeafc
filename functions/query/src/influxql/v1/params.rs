//! The parameters of a request, from its query string and from the body.

use neap_formats::v1::{EncodingOptions, Epoch};
use neap_http::{ApiError, Kind};

use crate::Parameters;

/// The default number of rows in a chunk, as in InfluxDB 1.x.
const CHUNK_ROWS: usize = 10_000;

/// The parameters of a request.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct V1QueryParams {
    /// The statements.
    pub(super) q: Option<String>,
    pub(super) db: Option<String>,
    pub(super) rp: Option<String>,
    /// How rows are encoded.
    pub(super) encoding: EncodingOptions,
    pub(super) params: Parameters,
}

/// The name-value pairs of a query string or a form.
pub(super) type NameValuePairs = Vec<(String, String)>;

/// Decodes a query string or a form body. `place` names it in errors.
pub(super) fn pairs(text: &[u8], place: &str) -> Result<NameValuePairs, ApiError> {
    serde_urlencoded::from_bytes(text).map_err(|error| refused(place, &error.to_string()))
}

fn refused(place: &str, reason: &str) -> ApiError {
    let text = format!("error decoding params from {place}: {reason}");
    ApiError::json(Kind::Invalid, text)
}

impl V1QueryParams {
    /// Applies name-value pairs and ignores unknown names, and, as InfluxDB 1 does, values that have no meaning. Later pairs
    /// override earlier ones.
    pub(super) fn take(&mut self, pairs: NameValuePairs, place: &str) -> Result<(), ApiError> {
        let mut chunked = self.encoding.chunk_rows.is_some();
        let mut size = self.encoding.chunk_rows;
        for (name, value) in pairs {
            match name.as_str() {
                "q" => self.q = Some(value),
                "db" => self.db = Some(value).filter(|db| !db.is_empty()),
                "rp" => self.rp = Some(value).filter(|rp| !rp.is_empty()),
                "epoch" => {
                    let name = Some(value).filter(|name| !name.is_empty());
                    self.encoding.epoch = name.map(|name| Epoch::from_name(&name));
                }
                "pretty" => self.encoding.pretty = is_true(&value),
                "chunked" => chunked = is_true(&value),
                "chunk_size" => {
                    let number = value.parse::<usize>().ok();
                    size = number.filter(|number| *number > 0);
                }
                "params" if value.is_empty() => self.params = Parameters::default(),
                "params" => {
                    let params = serde_json::from_str(&value);
                    self.params = params.map_err(|error| refused(place, &error.to_string()))?;
                }
                _ => {}
            }
        }
        self.encoding.chunk_rows = chunked.then(|| size.unwrap_or(CHUNK_ROWS));
        Ok(())
    }
}

fn is_true(text: &str) -> bool {
    matches!(text, "true" | "1")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(query: &str) -> Result<V1QueryParams, String> {
        let mut params = V1QueryParams::default();
        pairs(query.as_bytes(), "url")
            .and_then(|pairs| params.take(pairs, "url"))
            .map_err(|error| error.message().to_owned())?;
        Ok(params)
    }

    #[test]
    fn chunks_have_ten_thousand_rows_unless_their_size_is_given() {
        let rows = |query: &str| params(query).unwrap().encoding.chunk_rows;
        assert_eq!(rows("q=x"), None);
        assert_eq!(rows("chunk_size=5"), None);
        assert_eq!(rows("chunked=true"), Some(10_000));
        assert_eq!(rows("chunked=true&chunk_size=5"), Some(5));
        assert_eq!(rows("chunk_size=5&chunked=true"), Some(5));
        assert_eq!(rows("chunked=true&chunk_size=0"), Some(10_000));
        for size in ["", "-1", "many"] {
            assert_eq!(rows(&format!("chunked=true&chunk_size={size}")), Some(10_000));
        }
        assert_eq!(rows("chunked=maybe"), None);
    }

    #[test]
    fn epochs_are_those_of_influxdb() {
        let count = |query: &str| {
            params(query).unwrap().encoding.epoch.unwrap().count(1_704_096_000_123_456_789)
        };
        for name in ["ns", "n", "us", "S", "year"] {
            assert_eq!(count(&format!("epoch={name}")), 1_704_096_000_123_456_789);
        }
        assert_eq!(count("epoch=%C2%B5"), 1_704_096_000_123_456);
        assert_eq!(count("epoch=h"), 473_360);
        assert_eq!(params("epoch=").unwrap().encoding.epoch, None);
    }

    #[test]
    fn later_parameters_override_earlier_ones() {
        let mut both = params("db=a&rp=x&q=1&epoch=s").unwrap();
        both.take(pairs(b"db=b&q=2", "body").unwrap(), "body").unwrap();
        assert_eq!(both.db.as_deref(), Some("b"));
        assert_eq!(both.rp.as_deref(), Some("x"));
        assert_eq!(both.q.as_deref(), Some("2"));
        assert!(both.encoding.epoch.is_some());
    }
}
