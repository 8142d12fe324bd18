//! What the dispatcher says about a status that is not a success.

use actors::fault::FaultKind;
use serde_json::{Map, Value};

use crate::adapters::http::{excerpt, is_transient_status, without_credentials};

/// The most characters of a title and a detail that people are shown.
const SHOWN: usize = 2000;

/// What the body of an error says.
pub(super) struct Said {
    /// For people: title and detail, or the beginning of whatever else it is.
    pub(super) text: String,
    /// Whether it is the dispatcher's own, not that of something in between.
    pub(super) own: bool,
    /// `detail`, whole; empty if there is none.
    pub(super) detail: String,
    /// `error_enum`; empty if there is none.
    pub(super) code: String,
    /// `error_params.filters`: what some versions say there as well as in the detail.
    pub(super) filters: Option<String>,
}

#[derive(Default)]
struct ErrorBody {
    title: Option<String>,
    detail: Option<String>,
    error_enum: Option<String>,
    error_params: Option<Value>,
}

impl ErrorBody {
    /// The dispatcher's own words: an object with one of its fields, all of which are text, or with nothing at all.
    /// `{"message":"…"}`, or a `status` that is a number, are those of a gateway in between.
    fn of(body: &[u8]) -> Option<Self> {
        let mut fields: Map<String, Value> = serde_json::from_slice(body).ok()?;
        let (nothing, mut texts) = (fields.is_empty(), 0);
        let mut text = |name: &str| match fields.remove(name) {
            Some(Value::String(text)) => {
                texts += 1;
                Some(Some(text))
            }
            None | Some(Value::Null) => Some(None),
            Some(_) => None,
        };
        text("status")?;
        let (title, detail, error_enum) = (text("title")?, text("detail")?, text("error_enum")?);
        (nothing || texts > 0).then(|| Self {
            title,
            detail,
            error_enum,
            error_params: fields.remove("error_params"),
        })
    }
}

impl Said {
    pub(super) fn parse(body: &[u8]) -> Self {
        let Some(error) = ErrorBody::of(body) else {
            return Self {
                text: excerpt(body),
                own: false,
                detail: String::new(),
                code: String::new(),
                filters: None,
            };
        };
        let told: Vec<&str> = [&error.title, &error.detail]
            .into_iter()
            .filter_map(|part| part.as_deref())
            .collect();
        let text = match told.is_empty() {
            true => excerpt(body),
            false => without_credentials(&told.join(": "))
                .chars()
                .take(SHOWN)
                .collect(),
        };
        let filters = error
            .error_params
            .as_ref()
            .and_then(|params| params.get("filters"));
        Self {
            text,
            own: true,
            filters: filters.and_then(|list| list.as_str()).map(str::to_owned),
            detail: error.detail.unwrap_or_default(),
            code: error.error_enum.unwrap_or_default(),
        }
    }

    /// What is done about it where something was asked for.
    pub(super) fn kind(&self, status: u16) -> FaultKind {
        match status {
            // A 404 of an ingress without a backend must not make streams count as missing.
            404 if self.own => FaultKind::Missing,
            404 => FaultKind::Transient,
            422 if self.text.contains("redis") => FaultKind::Transient,
            _ => kind_of_write(status),
        }
    }
}

/// What is done about a status where something was sent: nothing can be missing.
pub(super) fn kind_of_write(status: u16) -> FaultKind {
    match status {
        300..=499 if !is_transient_status(status) => FaultKind::Rejected,
        _ => FaultKind::Transient,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dispatchers_words_reach_the_operator() {
        let said = Said::parse(br#"{"status":"422","title":"bad parameters","detail":"no range"}"#);
        assert_eq!((said.text.as_str(), said.own), ("bad parameters: no range", true));
        assert_eq!(Said::parse(br#"{"title":"not found"}"#).text, "not found");
        assert_eq!(Said::parse(b"{}").text, "{}");
        let page = Said::parse(b"<html>404</html>");
        assert_eq!((page.text.as_str(), page.own), ("<html>404</html>", false));
    }

    #[test]
    fn json_of_something_in_between_is_not_the_dispatchers_own() {
        for own in [
            "{}",
            r#"{"status":"400"}"#,
            r#"{"title":"bad request"}"#,
            r#"{"detail":"bad request","message":"x"}"#,
            r#"{"error_enum":"ErrorStringEnumUnset","detail":null}"#,
        ] {
            assert!(Said::parse(own.as_bytes()).own, "{own}");
        }
        for other in [
            r#"{"message":"no Route matched with those values"}"#,
            r#"{"error":"Bad Request","status":400,"path":"/api/v2/event"}"#,
            r#"{"type":"about:blank","title":"Not Found","status":404}"#,
            r#"{"title":null,"detail":null}"#,
            r#"{"error_params":{"filters":"a:1"}}"#,
            r#"["status"]"#,
            r#""status""#,
            "null",
        ] {
            let said = Said::parse(other.as_bytes());
            assert!(
                !said.own && said.text.contains(other.trim_matches('"')),
                "{other}"
            );
            assert_eq!(said.kind(404), FaultKind::Transient, "{other}");
        }
    }

    #[test]
    fn a_long_detail_is_kept_whole_and_shown_in_part() {
        let detail = "x".repeat(5000);
        let said = Said::parse(format!(r#"{{"detail":"{detail}"}}"#).as_bytes());
        assert_eq!((said.text.len(), said.detail.len()), (SHOWN, 5000));
    }

    #[test]
    fn what_is_done_about_a_status() {
        let json = |detail: &str| Said::parse(format!(r#"{{"title":"t","detail":"{detail}"}}"#).as_bytes());
        for (status, said, expected) in [
            (400, json("invalid range end"), FaultKind::Rejected),
            (404, json("not found"), FaultKind::Missing),
            (404, Said::parse(b"404 page not found"), FaultKind::Transient),
            (404, Said::parse(b""), FaultKind::Transient),
            (408, json(""), FaultKind::Transient),
            (422, json("bad parameter"), FaultKind::Rejected),
            (
                422,
                json("failed to store consumer in redis"),
                FaultKind::Transient,
            ),
            (429, json(""), FaultKind::Transient),
            (302, json(""), FaultKind::Rejected),
            (204, json(""), FaultKind::Transient),
            (500, json(""), FaultKind::Transient),
            (503, Said::parse(b"<html>"), FaultKind::Transient),
        ] {
            assert_eq!(said.kind(status), expected, "{status} {}", said.text);
        }
        assert_eq!(kind_of_write(404), FaultKind::Rejected);
    }
}
