//! `request-termination`, `ip-restriction` and `correlation-id`.

use tollgate_proxy_http::cidr::Cidr;

use super::Piece;
use crate::kong::entities::Plugin;
use crate::kong::reader::Reader;
use crate::out::{Addresses, Correlation, Respond};

/// Maps an answer in the upstream's place.
pub fn termination(plugin: &Plugin<'_>, reader: &mut Reader<'_>) -> Piece {
    let what = "plugin `request-termination`";
    let config = plugin.config;
    for key in ["trigger", "echo"] {
        let set = config.and_then(|config| config.get(key)).filter(|value| value.text() != Some("false"));
        if let Some(value) = set {
            let why = "it answers some requests only; its routes answer 503 until `respond` is removed";
            reader.missing(value, format!("`{key}` of {what}"), why);
            return Piece::closed("a request-termination for some requests was not imported");
        }
    }
    let text = |key: &str, reader: &mut Reader<'_>| config.and_then(|config| reader.text(config, key));
    let status = config.and_then(|config| reader.whole(config, "status_code")).unwrap_or(503) as u16;
    let message = text("message", reader);
    let body = text("body", reader);
    let content_type = text("content_type", reader);
    let respond = match (body, message) {
        (Some(body), _) => Respond {
            status,
            content_type: Some(content_type.unwrap_or_else(|| "application/json; charset=utf-8".to_owned())),
            body: Some(body),
        },
        (None, message) => Respond {
            status,
            content_type: Some("application/json; charset=utf-8".to_owned()),
            body: Some(format!("{{\"message\":\"{}\"}}", json(message.as_deref().unwrap_or("Service unavailable")))),
        },
    };
    reader.mapped(plugin.node, what, "`respond`");
    Piece { respond: Some(respond), ..Piece::default() }
}

/// Escapes a text for JSON.
fn json(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\\' => escaped.extend(['\\', c]),
            c if c.is_control() => escaped.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Maps lists of addresses.
pub fn addresses(plugin: &Plugin<'_>, reader: &mut Reader<'_>) -> Piece {
    let what = "plugin `ip-restriction`";
    let Some(config) = plugin.config else {
        reader.missing(plugin.node, what, "it has no address; write `addresses`");
        return Piece::closed("an ip-restriction without addresses was not imported");
    };
    let list = |keys: [&str; 2], reader: &mut Reader<'_>| {
        let written: Vec<String> = keys.iter().flat_map(|key| reader.texts(config, key)).collect();
        let mut networks = Vec::new();
        for text in &written {
            match Cidr::parse(text) {
                Ok(_) => networks.push(text.clone()),
                Err(why) => reader.missing(config, format!("address `{text}` of {what}"), why),
            }
        }
        (written.len(), networks)
    };
    let (allowed, allow) = list(["allow", "whitelist"], reader);
    let (denied, deny) = list(["deny", "blacklist"], reader);
    if (allowed > 0 && allow.is_empty()) || denied > deny.len() {
        return Piece::closed("an ip-restriction was not imported whole");
    }
    for key in ["status", "message"] {
        if let Some(value) = config.get(key) {
            value.take_whole();
            if value.text() != Some("403") {
                reader.differs(value, format!("`{key}` of {what}"), "the answer is 403 with the gateway's own body");
            }
        }
    }
    let how = "addresses are checked before credentials: who may do neither gets 403, where Kong says 401";
    reader.differs(plugin.node, what, how);
    reader.mapped(plugin.node, what, "`addresses`");
    Piece { addresses: Some(Addresses { allow, deny }), ..Piece::default() }
}

/// Maps the header of the caller's own id.
pub fn correlation(plugin: &Plugin<'_>, reader: &mut Reader<'_>) -> Piece {
    let what = "plugin `correlation-id`";
    let header = plugin.config.and_then(|config| reader.text(config, "header_name"));
    let header = header.unwrap_or_else(|| "Kong-Request-ID".to_owned());
    let echo = plugin.config.and_then(|config| reader.flag(config, "echo_downstream")).unwrap_or(false);
    if let Some(generator) = plugin.config.and_then(|config| config.get("generator")) {
        generator.take_whole();
        reader.differs(generator, format!("`generator` of {what}"), "the id is the request id, a UUID of version 7");
    }
    reader.mapped(plugin.node, what, "`correlation`");
    Piece { correlation: Some(Correlation { header, echo }), ..Piece::default() }
}
