//! The claims of tokens and their checks.

use serde::Deserialize;

/// An audience: a text, or a list of texts.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Audience {
    pub(crate) fn contains(&self, wanted: &str) -> bool {
        match self {
            Self::One(audience) => audience == wanted,
            Self::Several(audiences) => audiences.iter().any(|audience| audience == wanted),
        }
    }
}

/// The period in which a token is valid, in seconds since 1970. Providers send fractions, too.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Validity {
    pub(crate) exp: f64,
    pub(crate) nbf: Option<f64>,
}

impl Validity {
    /// Returns whether a token is valid at a time, with an allowance for the clocks. All are in seconds.
    pub(crate) fn holds_at(&self, now: f64, skew: f64) -> bool {
        let has_begun = self.nbf.is_none_or(|nbf| nbf <= now + skew);
        has_begun && now < self.exp + skew
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_valid_within_the_skew_of_its_period() {
        let validity = Validity { exp: 200.0, nbf: Some(100.0) };
        for (now, holds) in [(39.0, false), (40.0, true), (259.0, true), (260.0, false)] {
            assert_eq!(validity.holds_at(now, 60.0), holds, "{now}");
        }
        let broken = Validity { exp: f64::NAN, nbf: None };
        assert!(!broken.holds_at(0.0, 60.0));
    }
}
