//! Settings that only another start can change: sockets, threads, and the labels of each batch of records. A reload may
//! change everything else.

use serde::Serialize;
use tollgate_config::Diagnostics;
use tollgate_proxy_config::ProxyConfig;

/// Notes every difference that needs another start.
pub(super) fn check(running: &ProxyConfig, wanted: &ProxyConfig, problems: &mut Diagnostics<'_>) {
    let mut keep = |key: &str, differs: bool, why: &str| {
        if differs {
            problems.key(key, format!("{why}; start the proxy again to change this, or put back what it runs with"));
        }
    };
    let named = "every batch of records is labelled with it";
    keep("node_id", running.node_id != wanted.node_id, named);
    keep("environment", running.environment != wanted.environment, named);
    keep("zone", running.zone != wanted.zone, named);
    keep("hmac", differ(&running.hmac, &wanted.hmac), "every batch of records names the secret of its hashes");
    keep("workers", running.workers != wanted.workers, "the workers are running");
    keep("admin.address", running.admin.address != wanted.admin.address, "the admin endpoint is bound");
    keep("records", differ(&running.records, &wanted.records), "records are on their way under the old settings");
    for (index, listener) in wanted.listeners.iter().enumerate() {
        let before = running.listeners.iter().find(|before| before.name == listener.name);
        match before {
            Some(before) => {
                let moved = before.address != listener.address;
                keep(&format!("listeners[{index}].address"), moved, "the listener is bound to another address");
            }
            None => keep(&format!("listeners[{index}]"), true, "a listener is new"),
        }
    }
    let gone =
        |name: &tollgate_config::Spanned<String>| !wanted.listeners.iter().any(|listener| listener.name == *name);
    for before in running.listeners.iter().filter(|before| gone(&before.name)) {
        let why = format!("the listener `{}` is gone, but bound", before.name.value);
        keep("listeners", true, &why);
    }
}

/// Returns whether two sections differ, defaults included.
fn differ<T: Serialize>(running: &T, wanted: &T) -> bool {
    match (serde_json::to_value(running), serde_json::to_value(wanted)) {
        (Ok(running), Ok(wanted)) => running != wanted,
        _ => true,
    }
}
