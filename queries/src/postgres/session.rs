//! Statements about the session (SET, SHOW, BEGIN, …): answered by an allow-list, with no effect on anything but this one
//! connection.

use std::sync::Arc;
use std::time::Duration;

use datafusion::sql::sqlparser::ast::{Expr, Reset, Set, Statement, Value};
use datafusion_postgres::pgwire::api::results::{DataRowEncoder, FieldFormat, FieldInfo, QueryResponse, Response, Tag};
use datafusion_postgres::pgwire::api::store::PortalStore;
use datafusion_postgres::pgwire::api::{ClientInfo, ClientPortalStore, Type};
use datafusion_postgres::pgwire::error::{PgWireError, PgWireResult};
use datafusion_postgres::pgwire::messages::PgWireBackendMessage;
use datafusion_postgres::pgwire::messages::response::TransactionStatus;
use futures::{Sink, SinkExt};
use tollgate_config::{DurationForm, parse_duration};

use super::reply::{notice, transaction_aborted};
use crate::error::{ErrorKind, QueryError};
use crate::sql::setting;

/// The settings that a client may set; the first few have an effect (on the form of answers, and on time).
const SETTINGS: &[&str] = &[
    "statement_timeout",
    "datestyle",
    "intervalstyle",
    "bytea_output",
    "extra_float_digits",
    "timezone",
    "application_name",
    "client_encoding",
    "client_min_messages",
    "search_path",
    "standard_conforming_strings",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    "default_transaction_read_only",
    "transaction_read_only",
    "transaction_isolation",
    "default_transaction_isolation",
    "row_security",
    "jit",
];

/// A statement about the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SessionStatement {
    Begin,
    Commit,
    Rollback,
    Set {
        name: String,
        value: String,
    },
    /// A SET that says nothing which could be kept: `SET TRANSACTION READ ONLY`.
    SetNothing,
    Reset(Option<String>),
    Show(String),
    Deallocate(Option<String>),
}

/// The client's own bound on the time of a query.
pub(super) fn statement_timeout<C: ClientInfo>(client: &C) -> Option<Duration> {
    milliseconds(client.metadata().get("statement_timeout")?)
}

/// The units that clients send; with others, as with any text that is no timeout, the engine's own limit stays.
const TIMEOUT: DurationForm = DurationForm { takes: |unit| matches!(unit, "ms" | "s" | "min"), adds_up: false };

/// A timeout as PostgreSQL has it: a number without a unit is milliseconds, and 0 is none.
fn milliseconds(text: &str) -> Option<Duration> {
    let text = text.trim();
    let timeout = match text.parse() {
        Ok(count) => Duration::from_millis(count),
        Err(_) => parse_duration(text.strip_prefix('+').unwrap_or(text), TIMEOUT).ok()?,
    };
    (!timeout.is_zero()).then_some(timeout)
}

impl SessionStatement {
    /// The statement, if it is about the session; an error if it is and is not allowed.
    pub fn of(statement: &Statement) -> Result<Option<Self>, QueryError> {
        Ok(Some(match statement {
            Statement::StartTransaction { .. } => Self::Begin,
            Statement::Commit { .. } => Self::Commit,
            Statement::Rollback { .. } => Self::Rollback,
            Statement::Set(set) => Self::of_set(set)?,
            Statement::Reset(reset) => match &reset.reset {
                Reset::ALL => Self::Reset(None),
                Reset::ConfigurationParameter(name) => Self::Reset(Some(allowed(&name.to_string())?)),
            },
            Statement::Discard { .. } => Self::Reset(None),
            Statement::Deallocate { name, .. } => {
                Self::Deallocate((!name.value.eq_ignore_ascii_case("all")).then(|| name.value.clone()))
            }
            Statement::ShowVariable { variable } => {
                let words: Vec<_> = variable.iter().map(|word| word.value.to_ascii_lowercase()).collect();
                let name = match words.join(" ").as_str() {
                    "time zone" => "timezone".to_owned(),
                    "transaction isolation level" => "transaction_isolation".to_owned(),
                    name => name.to_owned(),
                };
                if !SETTINGS.contains(&name.as_str()) && setting(&name).is_none() {
                    return Ok(None);
                }
                Self::Show(name)
            }
            _ => return Ok(None),
        }))
    }

    fn of_set(set: &Set) -> Result<Self, QueryError> {
        match set {
            Set::SingleAssignment { variable, values, .. } => Ok(Self::Set {
                name: allowed(&variable.to_string())?,
                value: values.iter().map(text_of).collect::<Vec<_>>().join(", "),
            }),
            Set::SetTimeZone { value, .. } => Ok(Self::Set { name: "timezone".to_owned(), value: text_of(value) }),
            Set::SetNames { .. } | Set::SetNamesDefault {} | Set::SetTransaction { .. } => Ok(Self::SetNothing),
            _ => Err(refused("this kind of SET is refused".to_owned())),
        }
    }

    /// The columns of its answer.
    pub fn fields(&self) -> Vec<FieldInfo> {
        match self {
            Self::Show(name) => {
                vec![FieldInfo::new(name.clone(), None, None, Type::TEXT, FieldFormat::Text)]
            }
            _ => Vec::new(),
        }
    }

    /// Does it, on this connection.
    pub async fn answer<C>(&self, client: &mut C) -> PgWireResult<Response>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let ends = matches!(self, Self::Commit | Self::Rollback);
        if client.transaction_status() == TransactionStatus::Error && !ends {
            return Err(transaction_aborted());
        }
        let done = |tag: &str| Ok(Response::Execution(Tag::new(tag)));
        match self {
            Self::Begin => Ok(Response::TransactionStart(Tag::new("BEGIN"))),
            Self::Commit if client.transaction_status() == TransactionStatus::Error => {
                Ok(Response::TransactionEnd(Tag::new("ROLLBACK")))
            }
            Self::Commit => Ok(Response::TransactionEnd(Tag::new("COMMIT"))),
            Self::Rollback => Ok(Response::TransactionEnd(Tag::new("ROLLBACK"))),
            Self::SetNothing => done("SET"),
            Self::Set { name, value } => {
                if name == "timezone" && !is_utc(value) {
                    let told = notice("times are in UTC here, whatever the time zone of the session");
                    client.send(PgWireBackendMessage::NoticeResponse(told.into())).await?;
                }
                client.metadata_mut().insert(name.clone(), value.clone());
                done("SET")
            }
            Self::Reset(name) => {
                let wanted = |setting: &&&str| name.as_deref().is_none_or(|name| name == **setting);
                for setting in SETTINGS.iter().filter(wanted) {
                    client.metadata_mut().remove(*setting);
                }
                done("RESET")
            }
            Self::Show(name) => show(self.fields(), name, client),
            Self::Deallocate(name) => {
                match name {
                    Some(name) => client.portal_store().rm_statement(name),
                    None => client.portal_store().clear_portals(),
                }
                done("DEALLOCATE")
            }
        }
    }
}

fn show<C: ClientInfo>(fields: Vec<FieldInfo>, name: &str, client: &C) -> PgWireResult<Response> {
    let set = client.metadata().get(name).map(String::as_str);
    let value = match name {
        "timezone" => "UTC",
        _ => set.or_else(|| setting(name)).unwrap_or_default(),
    };
    let fields = Arc::new(fields);
    let mut row = DataRowEncoder::new(fields.clone());
    row.encode_field(&Some(value))?;
    let row = Ok(row.take_row());
    Ok(Response::Query(QueryResponse::new(fields, futures::stream::iter([row]))))
}

fn allowed(name: &str) -> Result<String, QueryError> {
    let name = name.trim_matches('"').to_ascii_lowercase();
    if SETTINGS.contains(&name.as_str()) {
        return Ok(name);
    }
    Err(refused(format!("setting {name} is refused")))
}

fn refused(message: String) -> QueryError {
    QueryError::new(ErrorKind::Refused, message).hint(format!("what a session may set: {}", SETTINGS.join(", ")))
}

fn text_of(value: &Expr) -> String {
    match value {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::DoubleQuotedString(text) => text.clone(),
            Value::Number(number, _) => number.clone(),
            Value::Boolean(yes) => if *yes { "on" } else { "off" }.to_owned(),
            _ => String::new(),
        },
        Expr::Identifier(word) => word.value.clone(),
        _ => String::new(),
    }
}

fn is_utc(zone: &str) -> bool {
    ["utc", "gmt", "etc/utc", "zulu", "z", "default", "local", "+00:00", "0"]
        .contains(&zone.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::Parser;

    fn of(sql: &str) -> Result<Option<SessionStatement>, QueryError> {
        SessionStatement::of(&Parser::new(1000).one(sql)?.statement)
    }

    #[test]
    fn harmless_settings_pass_and_others_are_refused() {
        assert!(matches!(of("SET statement_timeout = '5s'"), Ok(Some(SessionStatement::Set { .. }))));
        assert!(matches!(of("SET extra_float_digits = 3"), Ok(Some(SessionStatement::Set { .. }))));
        assert!(matches!(of("SET TIME ZONE 'UTC'"), Ok(Some(SessionStatement::Set { .. }))));
        for sql in ["SET datafusion.execution.batch_size = 1", "SET ROLE admin", "RESET datafusion.catalog.location"] {
            assert_eq!(of(sql).expect_err(sql).kind, ErrorKind::Refused, "{sql}");
        }
    }

    #[test]
    fn what_is_not_about_the_session_is_left_to_the_engine() {
        assert_eq!(of("SELECT 1"), Ok(None));
        assert_eq!(of("SHOW tables"), Ok(None));
        assert_eq!(of("SHOW server_version"), Ok(Some(SessionStatement::Show("server_version".to_owned()))));
    }

    #[test]
    fn a_timeout_has_units() {
        assert_eq!(milliseconds("1500"), Some(Duration::from_millis(1500)));
        assert_eq!(milliseconds("5s"), Some(Duration::from_secs(5)));
        assert_eq!(milliseconds("2 min"), Some(Duration::from_secs(120)));
        assert_eq!(milliseconds("250ms"), Some(Duration::from_millis(250)));
        for text in ["+5s", " 5 s ", "+5000"] {
            assert_eq!(milliseconds(text), Some(Duration::from_secs(5)), "{text}");
        }
        for text in ["0", "0s", "soon", "", "-5s", "++5s", "500us", "1m", "1h", "2 minutes", "1s500ms", "1.5s"] {
            assert_eq!(milliseconds(text), None, "{text}");
        }
    }
}
