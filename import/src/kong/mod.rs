//! Kong's declarative configuration, in the formats 1.1, 2.1 and 3.0.
//!
//! ```text
//! entities ─▶ services, routes, plugins, consumers, upstreams: each with its node and its references
//! service, upstream ─▶ targets            plugins ─▶ what each plugin asks for, once
//! route ─▶ paths, hosts, the plugins in force ─▶ routes of the proxy
//! ```
//! Of two plugins of one name the nearest counts, as in Kong: a route's, then its service's, then the one for
//! everything.

mod entities;
mod fields;
mod path;
mod plugins;
mod reader;
mod route;
mod service;

use tollgate_config::ConfigError;

use crate::node::Node;
use crate::out::ApiFile;
use crate::write::{self, Imported};
use crate::{Options, node};
use entities::Kong;
use reader::Reader;

pub use route::ROUTES_OF_ONE_MAX;

/// Formats that are read.
const FORMATS: [&str; 3] = ["3.0", "2.1", "1.1"];

/// Imports a file of Kong.
///
/// # Errors
/// What makes the file impossible to understand, each with file, line and key.
pub fn import(text: &str, options: &Options) -> Result<Imported, ConfigError> {
    let root = node::parse(&options.file, text)?;
    let mut reader = Reader::new(options);
    let format = format(&root, &mut reader);
    let mut files: Vec<(String, ApiFile)> = Vec::new();
    if reader.problems.is_empty() {
        let kong = Kong::read(&root, format.as_deref().unwrap_or_default(), &mut reader);
        consumers(&kong, &mut reader);
        files = write::by_service(route::all(&kong, &mut reader));
    }
    if !reader.problems.is_empty() {
        return Err(ConfigError::many(reader.problems));
    }
    for left in root.left() {
        let what = format!("`{}`", reader::last(&left.key));
        reader.missing(left, what, format!("the key `{}` has no equal here", left.key));
    }
    write::imported(files, reader.report, options, format.as_deref().unwrap_or_default())
}

/// Names the consumers and credentials, which are not mapped. No credential is repeated.
fn consumers(kong: &Kong<'_>, reader: &mut Reader<'_>) {
    let why = "callers are not imported; write them under `consumers`, with SHA-256 of keys and argon2id of passwords";
    for consumer in &kong.consumers {
        let what = format!("consumer `{}`", consumer.name);
        reader.missing(consumer.node, what, why);
    }
    for credential in &kong.credentials {
        let what = format!("one of `{}` of consumer `{}`", credential.kind, credential.consumer);
        reader.missing(credential.node, what, why);
    }
    for (certificates, what) in [(&kong.certificates, "a certificate"), (&kong.ca_certificates, "an authority")] {
        for node in certificates {
            let why = "certificates and keys are files here; write them, and name them in `listeners[].tls`";
            reader.missing(node, what, why);
        }
    }
}

/// Reads the version of the format, and checks the keys of the whole file.
fn format(root: &Node, reader: &mut Reader<'_>) -> Option<String> {
    if root.get("_format_version").is_none() {
        reader.refuse(
            root,
            "this is no declarative configuration of Kong, as `_format_version` is missing; name the file that `deck \
             gateway dump` or KONG_DECLARATIVE_CONFIG has",
        );
        return None;
    }
    let format = reader.text(root, "_format_version")?;
    if !FORMATS.contains(&format.as_str()) {
        let node = root.get("_format_version").unwrap_or(root);
        reader.refuse(node, format!("the format is none of {}; write one of them", FORMATS.join(", ")));
    }
    fields::check(root, "the file", fields::TOP, reader);
    Some(format)
}
