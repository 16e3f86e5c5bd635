//! State shared by the listeners of one worker.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tollgate_proxy_config::ProxyConfig;

use crate::client::protocols::Protocols;
use crate::transaction::WorkerContext;

/// State shared by the listeners of one worker.
#[derive(Debug)]
pub struct Clients {
    pub(super) context: Rc<WorkerContext>,
    protocols: RefCell<Rc<Protocols>>,
    /// Client connections open.
    pub(super) open: Rc<Cell<usize>>,
}

impl Clients {
    #[must_use]
    pub fn new(context: Rc<WorkerContext>, config: &ProxyConfig) -> Rc<Self> {
        let protocols = RefCell::new(Rc::new(Protocols::new(config)));
        Rc::new(Self { context, protocols, open: Rc::default() })
    }

    /// Sets the protocols' limits for every connection that begins from now on.
    pub fn adopt(&self, config: &ProxyConfig) {
        self.protocols.replace(Rc::new(Protocols::new(config)));
    }

    pub(super) fn protocols(&self) -> Rc<Protocols> {
        self.protocols.borrow().clone()
    }

    /// Client connections open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.get()
    }
}
