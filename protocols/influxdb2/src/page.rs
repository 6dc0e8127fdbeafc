//! Pages of lists.

use http::Uri;
use neap_catalog::InfluxDb2Id;
use neap_http::{ApiError, parse_query};
use serde::{Deserialize, Serialize};

use crate::requests::{given, invalid, parse_id};

/// The resources of a page if the request does not say how many.
const DEFAULT_LIMIT: usize = 20;

/// Maximum resources of a page.
const MAX_LIMIT: usize = 100;

#[derive(Debug, Deserialize)]
struct PageParams {
    limit: Option<usize>,
    #[serde(default)]
    offset: usize,
    after: Option<String>,
}

/// The part of a list that a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    limit: usize,
    offset: usize,
    /// The last resource of the page before.
    after: Option<InfluxDb2Id>,
}

/// The addresses of a page and of the next one.
#[derive(Debug, Serialize)]
pub(crate) struct PageLinks {
    #[serde(rename = "self")]
    own: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl Page {
    /// Parses the page in a query string.
    pub(crate) fn from_uri(uri: &Uri) -> Result<Self, ApiError> {
        let params: PageParams = parse_query(uri)?;
        let limit = params.limit.unwrap_or(DEFAULT_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(invalid(format!("limit must be between 1 and {MAX_LIMIT}")));
        }
        let after = given(params.after);
        Ok(Self {
            limit,
            offset: params.offset,
            after: after.map(|text| parse_id(&text)).transpose()?,
        })
    }

    /// Returns the page of a list in the order of ids, and whether resources follow it.
    pub(crate) fn select<T>(
        self,
        all: impl IntoIterator<Item = T>,
        id_of: impl Fn(&T) -> InfluxDb2Id,
    ) -> (Vec<T>, bool) {
        let is_later = |item: &T| self.after.is_none_or(|after| id_of(item) > after);
        let mut rest = all.into_iter().filter(is_later).skip(self.offset);
        let shown = rest.by_ref().take(self.limit).collect();
        (shown, rest.next().is_some())
    }

    /// Returns the links of a page with these filters, in InfluxDB 2's form.
    pub(crate) fn links(self, path: &str, filters: &[(&str, &str)], has_next: bool) -> PageLinks {
        let link = |offset: usize| {
            let mut params: Vec<(&str, String)> =
                filters.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
            params.push(("descending", "false".to_owned()));
            params.push(("limit", self.limit.to_string()));
            params.push(("offset", offset.to_string()));
            params.extend(self.after.map(|after| ("after", after.to_string())));
            // Pairs of texts can always be encoded.
            let query = serde_urlencoded::to_string(&params).unwrap_or_default();
            format!("{path}?{query}")
        };
        PageLinks {
            own: link(self.offset),
            next: has_next.then(|| link(self.offset.saturating_add(self.limit))),
        }
    }
}

#[cfg(test)]
mod tests {
    use neap_schema::DatabaseId;

    use super::*;

    fn page(query: &str) -> Result<Page, String> {
        let uri = format!("/api/v2/buckets?{query}").parse().unwrap();
        Page::from_uri(&uri).map_err(|error| error.message().to_owned())
    }

    fn selected(query: &str) -> (Vec<u32>, bool) {
        let id_of = |number: &u32| InfluxDb2Id::from(DatabaseId::new(*number));
        page(query).unwrap().select(1..=5, id_of)
    }

    #[test]
    fn a_page_follows_another_by_offset_or_by_its_last_id() {
        assert_eq!(selected(""), (vec![1, 2, 3, 4, 5], false));
        assert_eq!(selected("limit=2"), (vec![1, 2], true));
        assert_eq!(selected("limit=2&offset=2"), (vec![3, 4], true));
        assert_eq!(selected("limit=2&offset=4"), (vec![5], false));
        let after = "limit=2&after=6e65617000000003";
        assert_eq!(selected(after), (vec![4, 5], false));
        // The resource may be deleted in the meantime.
        let deleted = "limit=2&after=6e656170000000ff";
        assert_eq!(selected(deleted), (vec![], false));
    }

    #[test]
    fn other_limits_than_those_of_influxdb_2_are_refused() {
        let refused = Err("limit must be between 1 and 100".to_owned());
        assert_eq!(page("limit=0"), refused);
        assert_eq!(page("limit=101"), refused);
        assert!(page("limit=100").is_ok() && page("limit=x").is_err());
        assert!(page("offset=-1").is_err() && page("after=x").is_err());
        assert_eq!(page("after="), page(""));
    }

    #[test]
    fn links_have_the_filters_and_the_next_offset() {
        let page = page("limit=2&offset=3").unwrap();
        let links = page.links("/x", &[("name", "a b")], true);
        assert_eq!(links.own, "/x?name=a+b&descending=false&limit=2&offset=3");
        assert_eq!(links.next.unwrap(), "/x?name=a+b&descending=false&limit=2&offset=5");
    }
}
