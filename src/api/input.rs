//! Reading queries and bodies strictly.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use axum::http::header::CONTENT_TYPE;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::{Map, Value};

use super::problem::{Kind, Problem, unknown_field};
use super::route::{Field, Route};
use crate::limits::API_TEXT_LEN_MAX;

/// Query parameters, each known to the route.
#[derive(Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn read(route: &Route, raw: Option<&str>) -> Result<Query, Problem> {
        let known: Vec<&str> = route.query.iter().map(|field| field.name).collect();
        let mut all: Vec<(String, String)> = Vec::new();
        for part in raw.unwrap_or_default().split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let (name, value) = (decode(name)?, decode(value)?);
            let Some(field) = route.query.iter().find(|field| field.name == name) else {
                return Err(unknown_field("query parameter", &name, &known));
            };
            if field.holds != super::route::Holds::Texts && all.iter().any(|(other, _)| *other == name) {
                return Err(invalid(&name, "is given more than once"));
            }
            all.push((name, text(field.name, &value)?));
        }
        Ok(Query(all))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// All values: repeated, or with commas between them.
    pub(super) fn all(&self, name: &str) -> Vec<String> {
        let values = self.0.iter().filter(|(other, _)| other == name);
        values.flat_map(|(_, value)| list(value)).collect()
    }

    /// False unless it is said.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.get(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(invalid(name, "must be true or false")),
        }
    }

    pub(super) fn number(&self, name: &str) -> Result<Option<usize>, Problem> {
        self.get(name).map(|text| text.parse().map_err(|_| invalid(name, "is no number"))).transpose()
    }
}

/// What stands between commas.
pub(super) fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// Percent-decoding (RFC 3986 §2.1), and `+` for a space as forms have it.
fn decode(text: &str) -> Result<String, Problem> {
    let bad = || invalid(text, "is not percent-encoded UTF-8");
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        octets.push(match octet {
            b'+' => b' ',
            b'%' => {
                let mut digit =
                    || rest.next().and_then(|octet| char::from(octet).to_digit(16)).map(|digit| digit as u8);
                let (high, low) = (digit().ok_or_else(bad)?, digit().ok_or_else(bad)?);
                high << 4 | low
            }
            octet => octet,
        });
    }
    String::from_utf8(octets).map_err(|_| bad())
}

pub(super) fn invalid(field: &str, why: &str) -> Problem {
    let shown: String = field.chars().take(100).collect();
    Problem::new(Kind::InvalidValue, format!("{shown:?} {why}")).with("field", shown)
}

/// A text of bearable length, without control characters: it is shown in logs and terminals.
fn text(name: &str, value: &str) -> Result<String, Problem> {
    if value.chars().count() > API_TEXT_LEN_MAX {
        return Err(invalid(name, &format!("has more than {API_TEXT_LEN_MAX} characters")));
    }
    if value.chars().any(char::is_control) {
        return Err(invalid(name, "has control characters"));
    }
    Ok(value.to_owned())
}

/// Fields that make an order smaller than it would be without them: an empty variable of a script must not make a
/// real order of a dry run, or one for everybody of one for some.
const NEVER_NULL: [&str; 4] = ["services", "regions", "from", "dry_run"];

/// The fields of a JSON object, each known to the route.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    /// Reads the body of `request`. No body is an object without fields.
    pub(super) async fn read(route: &Route, request: Request<Body>) -> Result<Fields, Problem> {
        let content_type = request.headers().get(CONTENT_TYPE).cloned();
        let is_json = content_type.as_ref().and_then(|value| value.to_str().ok()).is_some_and(|value| {
            let media = value.split(';').next().unwrap_or_default().trim();
            media.eq_ignore_ascii_case("application/json")
        });
        // Also without a body: a form of a foreign page always names another type.
        if content_type.is_some() && !is_json {
            return Err(not_json());
        }
        let octets = Limited::new(request.into_body(), route.body_len_max).collect().await.map_err(|error| {
            if error.downcast_ref::<LengthLimitError>().is_some() {
                let detail = format!("{} takes at most {} octets", route.name(), route.body_len_max);
                Problem::new(Kind::BodyTooLarge, detail).with("max", route.body_len_max)
            } else {
                Problem::new(Kind::MalformedBody, "the body did not arrive whole")
            }
        })?;
        let octets = octets.to_bytes();
        if octets.is_empty() {
            return Ok(Fields::default());
        }
        if !is_json {
            return Err(not_json());
        }
        let value = serde_json::from_slice(&octets)
            .map_err(|error| Problem::new(Kind::MalformedBody, format!("the body is not JSON: {error}")))?;
        Fields::of(value, route.body)
    }

    /// The fields of one object.
    pub(super) fn of(value: Value, known: &[Field]) -> Result<Fields, Problem> {
        let Value::Object(fields) = value else {
            return Err(Problem::new(Kind::InvalidValue, "the body must be a JSON object"));
        };
        let names: Vec<&str> = known.iter().map(|field| field.name).collect();
        if let Some(name) = fields.keys().find(|name| !names.contains(&name.as_str())) {
            return Err(unknown_field("field", name, &names));
        }
        match NEVER_NULL.iter().find(|name| fields.get(**name).is_some_and(Value::is_null)) {
            Some(name) => Err(invalid(name, "is null: leave it out, or say what it is to be")),
            None => Ok(Fields(fields)),
        }
    }

    /// `null` is as good as absent, but for [`NEVER_NULL`].
    fn value(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<String>, Problem> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::String(value)) => text(name, value).map(Some),
            Some(_) => Err(invalid(name, "must be a text")),
        }
    }

    pub(super) fn texts(&self, name: &str) -> Result<Option<Vec<String>>, Problem> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::String(value)) => Ok(Some(list(&text(name, value)?))),
            Some(Value::Array(values)) => values
                .iter()
                .map(|value| match value {
                    Value::String(value) => text(name, value),
                    _ => Err(invalid(name, "must be a list of texts")),
                })
                .collect::<Result<_, _>>()
                .map(Some),
            Some(_) => Err(invalid(name, "must be a text or a list of texts")),
        }
    }

    pub(super) fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.value(name) {
            None => Ok(false),
            Some(Value::Bool(value)) => Ok(*value),
            Some(_) => Err(invalid(name, "must be true or false")),
        }
    }

    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, Problem> {
        self.value(name).map(|value| value.as_u64().ok_or_else(|| invalid(name, "must be a whole number"))).transpose()
    }

    pub(super) fn duration(&self, name: &str) -> Result<Option<Duration>, Problem> {
        let bad = || invalid(name, "must be a duration such as \"30s\", \"500ms\" or \"2h\"");
        match self.value(name) {
            None => Ok(None),
            Some(Value::String(value)) => duration(value).ok_or_else(bad).map(Some),
            Some(value) => Ok(Some(Duration::from_secs(value.as_u64().ok_or_else(bad)?))),
        }
    }

    /// True unless it is said otherwise.
    pub(super) fn flag_or_true(&self, name: &str) -> Result<bool, Problem> {
        match self.value(name) {
            None => Ok(true),
            Some(_) => self.flag(name),
        }
    }

    /// Numbers by name, each of 32 bits.
    pub(super) fn numbers(&self, name: &str) -> Result<Vec<(String, u32)>, Problem> {
        match self.value(name) {
            None => Ok(Vec::new()),
            Some(Value::Object(values)) => values
                .iter()
                .map(|(key, value)| {
                    let number = value.as_u64().and_then(|value| u32::try_from(value).ok());
                    let bad = || invalid(name, "must hold a whole number for each name");
                    Ok((text(name, key)?, number.ok_or_else(bad)?))
                })
                .collect(),
            Some(_) => Err(invalid(name, "must be an object: a number for each name")),
        }
    }

    pub(super) fn list(&self, name: &str) -> Result<&[Value], Problem> {
        match self.value(name) {
            None => Ok(&[]),
            Some(Value::Array(values)) => Ok(values),
            Some(_) => Err(invalid(name, "must be a list")),
        }
    }
}

fn not_json() -> Problem {
    Problem::new(Kind::UnsupportedMediaType, "send the body as JSON, with Content-Type: application/json")
}

/// `500ms`, `30s`, `5m`, `2h`, `7d`.
pub fn duration(text: &str) -> Option<Duration> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(ms).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::super::route::ROUTES;
    use super::*;

    fn explain() -> &'static Route {
        ROUTES.iter().find(|route| route.path == "/api/explain").unwrap()
    }

    #[test]
    fn queries_are_decoded_and_unknown_parameters_told_with_the_nearest() {
        let query = Query::read(explain(), Some("name=%E5%8c%97&down=dc1,dc2&down=dc3")).unwrap();
        assert_eq!(query.get("name"), Some("北"));
        assert_eq!(query.all("down"), ["dc1", "dc2", "dc3"]);
        let problem = Query::read(explain(), Some("nmae=x")).unwrap_err();
        assert_eq!((problem.kind, &problem.fields["nearest"]), (Kind::UnknownField, &Value::from("name")));
        for bad in ["name=%", "name=%0a", "name=%ff", "name=a&name=b"] {
            assert_eq!(Query::read(explain(), Some(bad)).unwrap_err().kind, Kind::InvalidValue, "{bad}");
        }
    }

    #[test]
    fn null_is_no_way_to_say_everybody_or_to_mean_it() {
        let route = ROUTES.iter().find(|route| route.path == "/api/switch" && route.method == "PUT").unwrap();
        for field in NEVER_NULL {
            let body = serde_json::json!({ "active_dc": "dc2", field: null });
            let problem = Fields::of(body, route.body).unwrap_err();
            assert_eq!((problem.kind, &problem.fields["field"]), (Kind::InvalidValue, &Value::from(field)));
        }
        let body = serde_json::json!({ "active_dc": "dc2", "reason": null, "expires_in": null });
        assert_eq!(Fields::of(body, route.body).unwrap().duration("expires_in").unwrap(), None);
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(duration("2h"), Some(Duration::from_secs(7200)));
        for bad in ["", "5", "s", "-1s", "1.5h", "99999999999999999999s", "18446744073709551615d"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }
}
