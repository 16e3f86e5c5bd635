//! One function a route.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;

use super::answer::{Cut, answer};
use super::body::JsonBody;
use super::response::{Fault, bytes, json, preferred};
use crate::engine::Engine;
use crate::error::{ErrorKind, QueryError};
use crate::find::find as find_story;
use crate::questions;
use crate::result::Format;

type RouteResult = Result<Response, Fault>;

const INDEX: &str = "\
Tollgate: SQL over the transaction records.

POST /v1/sql                  {\"sql\": \"SELECT ...\", \"format\": \"json|csv|arrow\"}
GET  /v1/questions            the saved questions
GET  /v1/questions/NAME/run   ?PARAM=VALUE&...&format=json|csv|arrow|html
POST /v1/questions/NAME       {\"params\": {...}, \"format\": ...}
GET  /v1/table                days, files and hot rows of the table
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
pub(super) struct SqlBody {
    sql: String,
    format: Option<Format>,
}

pub(super) async fn sql(
    State(engine): State<Arc<Engine>>,
    cut: Cut,
    headers: HeaderMap,
    JsonBody(body): JsonBody<SqlBody>,
) -> RouteResult {
    let plan = engine.plan_text(&body.sql).await?;
    let format = body.format.unwrap_or_else(|| preferred(&headers));
    answer(&engine, (plan, &body.sql), format, cut).await
}

pub(super) async fn questions() -> Response {
    json(StatusCode::OK, &serde_json::json!({ "questions": questions::all() }))
}

pub(super) async fn question(Path(name): Path<String>) -> RouteResult {
    Ok(json(StatusCode::OK, questions::named(&name)?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AskBody {
    #[serde(default)]
    params: BTreeMap<String, serde_json::Value>,
    format: Option<Format>,
}

pub(super) async fn ask(
    State(engine): State<Arc<Engine>>,
    Path(name): Path<String>,
    cut: Cut,
    headers: HeaderMap,
    JsonBody(body): JsonBody<AskBody>,
) -> RouteResult {
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
    let plan = questions::plan(&engine, &name, &values).await?;
    answer(&engine, (plan, ""), body.format.unwrap_or_else(|| preferred(&headers)), cut).await
}

pub(super) async fn run(
    State(engine): State<Arc<Engine>>,
    Path(name): Path<String>,
    Query(pairs): Query<Vec<(String, String)>>,
    cut: Cut,
    headers: HeaderMap,
) -> RouteResult {
    let mut values = BTreeMap::new();
    let mut format = None;
    for (key, value) in pairs {
        if key == "format" {
            format = Some(format_named(&value)?);
        } else if values.insert(key.clone(), value).is_some() {
            return Err(QueryError::new(ErrorKind::Parameter, format!("parameter {key} is given twice")).into());
        }
    }
    let plan = questions::plan(&engine, &name, &values).await?;
    answer(&engine, (plan, ""), format.unwrap_or_else(|| preferred(&headers)), cut).await
}

pub(super) async fn find(
    State(engine): State<Arc<Engine>>,
    Path(id): Path<String>,
    Query(options): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> RouteResult {
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

pub(super) async fn table(State(engine): State<Arc<Engine>>) -> Response {
    json(StatusCode::OK, &engine.contents())
}

fn format_named(name: &str) -> Result<Format, QueryError> {
    serde_json::from_value(serde_json::Value::String(name.to_owned())).map_err(|_| {
        QueryError::new(ErrorKind::Parameter, format!("there is no format {name}"))
            .hint("json, csv, arrow and html are")
    })
}
