//! The portals of a connection: how many there are, and when they end.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion_postgres::pgwire::api::store::PortalStore;
use datafusion_postgres::pgwire::api::{ClientInfo, ClientPortalStore, DEFAULT_NAME};
use datafusion_postgres::pgwire::error::{PgWireError, PgWireResult};
use datafusion_postgres::pgwire::messages::PgWireBackendMessage;
use datafusion_postgres::pgwire::messages::extendedquery::{Bind, BindComplete};
use futures::{Sink, SinkExt};

use super::handlers::Prepared;
use super::reply::fault;
use crate::error::{ErrorKind, QueryError};

/// Portals of one connection.
const PORTALS_MAX: usize = 64;

/// Binds an empty statement, or says that there is none.
pub(super) async fn bind_nothing<C>(client: &mut C, message: Bind) -> PgWireResult<()>
where
    C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
    C::PortalStore: PortalStore<Statement = Prepared>,
    PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
{
    let statement = message.statement_name.as_deref().unwrap_or(DEFAULT_NAME);
    let name = message.portal_name.as_deref().unwrap_or(DEFAULT_NAME);
    match client.portal_store().get_statement(statement) {
        Some(_) if message.parameters.is_empty() => {
            portals_of(client).add(name).map_err(|error| fault(&error, ""))?;
            client.portal_store().put_empty_portal(name);
        }
        Some(_) => {
            let error = QueryError::new(ErrorKind::Parameter, "an empty statement takes no values");
            return Err(fault(&error, ""));
        }
        None => return Err(PgWireError::StatementNotFound(statement.to_owned())),
    }
    client.send(PgWireBackendMessage::BindComplete(BindComplete::new())).await?;
    Ok(())
}

/// The names of a connection's portals: pgwire's store does not tell how many it has.
#[derive(Default)]
pub(super) struct Portals(Mutex<HashSet<String>>);

impl Portals {
    pub fn add(&self, name: &str) -> Result<(), QueryError> {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() >= PORTALS_MAX && !names.contains(name) {
            let message = format!("this connection has {PORTALS_MAX} portals");
            return Err(QueryError::new(ErrorKind::Busy, message).hint("close one, or end the transaction"));
        }
        names.insert(name.to_owned());
        Ok(())
    }

    pub fn remove(&self, name: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Those of this client.
pub(super) fn portals_of<C: ClientInfo>(client: &C) -> Arc<Portals> {
    client.session_extensions().get_or_insert_with(Portals::default)
}

/// Ends all portals, and the queries that stand still in them.
pub(super) fn forget_portals<C>(client: &C)
where
    C: ClientInfo + ClientPortalStore,
    C::PortalStore: PortalStore,
{
    client.portal_store().clear_portals();
    portals_of(client).clear();
}
