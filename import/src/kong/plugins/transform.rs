//! `request-transformer` and `response-transformer`: headers alone.

use tollgate_proxy_http::header_edits;

use super::{Piece, without_effect};
use crate::kong::entities::Plugin;
use crate::kong::reader::{Reader, from_elsewhere};
use crate::node::Node;
use crate::out::Edits;

/// Maps edits of requests.
pub fn request(plugin: &Plugin<'_>, reader: &mut Reader<'_>) -> Piece {
    Piece { request_headers: edits(plugin, reader), ..Piece::default() }
}

/// Maps edits of responses.
pub fn response(plugin: &Plugin<'_>, reader: &mut Reader<'_>) -> Piece {
    Piece { response_headers: edits(plugin, reader), ..Piece::default() }
}

fn edits(plugin: &Plugin<'_>, reader: &mut Reader<'_>) -> Edits {
    let what = format!("plugin `{}`", plugin.name);
    let mut edits = Edits::default();
    let Some(config) = plugin.config else {
        reader.mapped(plugin.node, what, "nothing, as it edits nothing");
        return edits;
    };
    without_effect(config, &plugin.name, &["dots_in_keys", "http_method"], "they have no effect here", reader);
    for action in ["remove", "replace", "add", "append", "rename", "allow"] {
        let Some(part) = config.get(action) else { continue };
        for (kind, list) in part.entries() {
            if list.is_empty() {
                list.take_whole();
                continue;
            }
            if kind != "headers" || matches!(action, "rename" | "allow") {
                let why = match kind {
                    "headers" => "headers can be removed, set and added",
                    "uri" => "write `rewrite` of the route",
                    _ => "headers alone can be edited",
                };
                reader.missing(list, format!("`{action}.{kind}` of {what}"), why);
                continue;
            }
            for item in list.items().collect::<Vec<_>>() {
                edit(action, item, &what, &mut edits, reader);
            }
        }
    }
    let how = "`replace` sets a header that the request does not have too; Kong replaces only what is there";
    if !edits.set.is_empty() {
        reader.differs(config, &what, how);
    }
    let how = "`add` adds beside a value that is there; Kong adds only what is not there";
    if !edits.add.is_empty() {
        reader.differs(config, &what, how);
    }
    if !edits.is_empty() {
        reader.mapped(plugin.node, what, "edits of headers");
    }
    edits
}

/// Maps one `name` or `name:value`.
fn edit(action: &str, item: &Node, what: &str, edits: &mut Edits, reader: &mut Reader<'_>) {
    let Some(text) = item.text().map(str::to_owned) else {
        return reader.missing(item, format!("`{action}.headers` of {what}"), "it is no `name:value`");
    };
    let (name, value) = text.split_once(':').map_or((text.as_str(), ""), |(name, value)| (name, value.trim()));
    let name = name.trim().to_ascii_lowercase();
    let missing = |why: &str, reader: &mut Reader<'_>| {
        reader.missing(item, format!("header `{name}` in `{action}` of {what}"), why);
    };
    let taken = edits.remove.contains(&name) || edits.set.contains_key(&name) || edits.add.contains_key(&name);
    if action == "remove" {
        return match header_edits::name(&name) {
            Ok(_) if taken => {}
            Ok(_) => edits.remove.push(name),
            Err(why) => missing(&why, reader),
        };
    }
    let value = match reader.fill(value) {
        Ok(value) if value.contains("$(") => return missing("a value by Lua cannot be computed", reader),
        Ok(value) => value,
        Err(from) => return missing(&from_elsewhere(&from), reader),
    };
    if let Err(why) = header_edits::field(&name, &value) {
        return missing(&why, reader);
    }
    match (action, taken) {
        // Kong's usual pair of `add` and `replace` is `set`.
        ("replace", _) => {
            edits.add.remove(&name);
            edits.remove.retain(|removed| *removed != name);
            edits.set.insert(name, value);
        }
        // Removed, and then added: set.
        ("add" | "append", true) if edits.remove.contains(&name) => {
            edits.remove.retain(|removed| *removed != name);
            edits.set.insert(name, value);
        }
        (_, true) if edits.set.get(&name) == Some(&value) => {}
        (_, true) => missing("one edit of a header is the most", reader),
        _ => drop(edits.add.insert(name, value)),
    }
}
