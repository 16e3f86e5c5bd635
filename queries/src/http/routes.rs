//! One function a route.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::BODY_BYTES_MAX;
use super::answer::{Fault, answer, bytes, json, preferred};
use crate::engine::Engine;
use crate::error::{ErrorKind, Place, QueryError};
use crate::find::find as find_story;
use crate::questions;
use crate::result::Format;

type Answer = Result<Response, Fault>;

const INDEX: &str = "\
Tollgate: SQL over the transaction records.

POST /v1/sql                  {\"sql\": \"SELECT ...\", \"format\": \"json|csv|arrow\"}
GET  /v1/questions            the saved questions
GET  /v1/questions/NAME/run   ?PARAM=VALUE&...&format=json|csv|arrow|html
POST /v1/questions/NAME       {\"params\": {...}, \"format\": ...}
GET  /v1/find/ID              a request id, trace id or correlation id
";

pub(super) async fn index() -> Response {
    bytes(StatusCode::OK, "text/plain; charset=utf-8", INDEX.as_bytes().to_vec())
}

pub(super) async fn healthz() -> Response {
    bytes(StatusCode::OK, "text/plain; charset=utf-8", b"ok\n".to_vec())
}

pub(super) async fn no_such_page() -> Fault {
    Fault(QueryError::new(ErrorKind::NotFound, "there is no such page").hint("GET / lists them"))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SqlBody {
    sql: String,
    format: Option<Format>,
}

pub(super) async fn sql(
    State(engine): State<Arc<Engine>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Answer {
    let body: SqlBody = parsed(body)?;
    let result = engine.query(&body.sql).await?;
    answer(&result, body.format.unwrap_or_else(|| preferred(&headers)))
}

pub(super) async fn questions() -> Response {
    json(StatusCode::OK, &serde_json::json!({ "questions": questions::all() }))
}

pub(super) async fn question(Path(name): Path<String>) -> Answer {
    Ok(json(StatusCode::OK, questions::named(&name)?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AskBody {
    #[serde(default)]
    params: BTreeMap<String, serde_json::Value>,
    format: Option<Format>,
}

pub(super) async fn ask(
    State(engine): State<Arc<Engine>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Answer {
    let body: AskBody = parsed(body)?;
    let mut values = BTreeMap::new();
    for (parameter, value) in body.params {
        let text = match value {
            serde_json::Value::Null => continue,
            serde_json::Value::String(text) => text,
            value @ (serde_json::Value::Number(_) | serde_json::Value::Bool(_)) => value.to_string(),
            _ => {
                let message = format!("parameter {parameter} must be a text or a number");
                return Err(QueryError::new(ErrorKind::Parameter, message).into());
            }
        };
        values.insert(parameter, text);
    }
    let result = questions::ask(&engine, &name, &values).await?;
    answer(&result, body.format.unwrap_or_else(|| preferred(&headers)))
}

pub(super) async fn run(
    State(engine): State<Arc<Engine>>,
    Path(name): Path<String>,
    Query(pairs): Query<Vec<(String, String)>>,
    headers: HeaderMap,
) -> Answer {
    let mut values = BTreeMap::new();
    let mut format = None;
    for (key, value) in pairs {
        if key == "format" {
            format = Some(format_named(&value)?);
        } else if values.insert(key.clone(), value).is_some() {
            return Err(QueryError::new(ErrorKind::Parameter, format!("parameter {key} is given twice")).into());
        }
    }
    let result = questions::ask(&engine, &name, &values).await?;
    answer(&result, format.unwrap_or_else(|| preferred(&headers)))
}

pub(super) async fn find(
    State(engine): State<Arc<Engine>>,
    Path(id): Path<String>,
    Query(options): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Answer {
    let story = find_story(&engine, &id).await?;
    let status = if story.found() { StatusCode::OK } else { StatusCode::NOT_FOUND };
    let browser = preferred(&headers) == Format::Html;
    match options.get("format").map(String::as_str) {
        Some("text") => Ok(bytes(status, "text/plain; charset=utf-8", story.to_string().into_bytes())),
        None if browser => Ok(bytes(status, "text/plain; charset=utf-8", story.to_string().into_bytes())),
        None | Some("json") => Ok(json(status, &story)),
        Some(other) => Err(QueryError::new(ErrorKind::Parameter, format!("there is no format {other} of a story"))
            .hint("json and text are")
            .into()),
    }
}

/// Refuses a request under a host name other than localhost or an address: a page of another origin that gave its own
/// name this address would come under that name.
pub(super) async fn local_host_only(request: Request, next: Next) -> Result<Response, Fault> {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let Some(host) = host else {
        return Ok(next.run(request).await);
    };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    if bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok() {
        return Ok(next.run(request).await);
    }
    Err(QueryError::new(ErrorKind::Refused, "this door answers on loopback, not under a host name")
        .hint("ask http://127.0.0.1 or http://localhost")
        .into())
}

fn format_named(name: &str) -> Result<Format, QueryError> {
    serde_json::from_value(serde_json::Value::String(name.to_owned())).map_err(|_| {
        QueryError::new(ErrorKind::Parameter, format!("there is no format {name}"))
            .hint("json, csv, arrow and html are")
    })
}

/// The body as JSON of one shape.
fn parsed<T: DeserializeOwned>(body: Result<Bytes, BytesRejection>) -> Result<T, QueryError> {
    let body = body.map_err(|rejected| {
        if rejected.status() == StatusCode::PAYLOAD_TOO_LARGE {
            return QueryError::new(ErrorKind::TooLarge, format!("the body has more than {BODY_BYTES_MAX} bytes"));
        }
        QueryError::new(ErrorKind::Syntax, format!("the body cannot be read: {rejected}"))
    })?;
    serde_json::from_slice(&body).map_err(|error| {
        let place = Place { line: error.line() as u64, column: error.column() as u64 };
        QueryError::new(ErrorKind::Syntax, format!("the body is not the JSON that is expected here: {error}"))
            .at((place.line > 0).then_some(place))
    })
}
