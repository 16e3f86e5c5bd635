//! `cors`.

use super::Piece;
use crate::kong::entities::Plugin;
use crate::kong::reader::Reader;
use crate::out::Cors;

/// Methods that Kong allows unless some are named.
const METHODS: [&str; 9] = ["GET", "HEAD", "PUT", "PATCH", "POST", "DELETE", "OPTIONS", "TRACE", "CONNECT"];

/// Maps the plugin.
pub fn map(plugin: &Plugin<'_>, reader: &mut Reader<'_>) -> Piece {
    let mut cors = Cors { origins: vec!["*".to_owned()], ..Cors::default() };
    let Some(config) = plugin.config else {
        cors.methods = METHODS.iter().map(|method| (*method).to_owned()).collect();
        reader.mapped(plugin.node, "plugin `cors`", "`cors`");
        return Piece { cors: Some(cors), ..Piece::default() };
    };
    let origins = reader.texts(config, "origins");
    let mut not_written = Vec::new();
    if !origins.is_empty() {
        cors.origins.clear();
        for written in &origins {
            match origin(written) {
                Some(origin) if cors.origins.contains(&origin) => {}
                Some(origin) => cors.origins.push(origin),
                None => not_written.push(written.clone()),
            }
        }
    }
    if cors.origins.iter().any(|origin| origin == "*") {
        cors.origins = vec!["*".to_owned()];
    }
    for text in &not_written {
        let why = "an origin is exact, or `https://*.example.com`, or has `*` as its port; write those that are meant";
        reader.missing(config, format!("origin `{text}` of plugin `cors`"), why);
    }
    let methods = reader.texts(config, "methods");
    cors.methods = if methods.is_empty() { METHODS.iter().map(|m| (*m).to_owned()).collect() } else { methods };
    cors.headers = reader.texts(config, "headers");
    cors.exposed_headers = reader.texts(config, "exposed_headers");
    cors.max_age = reader.whole(config, "max_age").map(|seconds| format!("{seconds}s"));
    cors.private_network = reader.flag(config, "private_network").unwrap_or(false);
    cors.credentials = reader.flag(config, "credentials").unwrap_or(false);
    if cors.credentials && cors.origins == ["*"] {
        cors.credentials = false;
        let how = "any origin together with `credentials` lets every page on the web act as the user; written without \
                   `credentials`: name the origins, and set it again";
        reader.differs(config, "plugin `cors` for any origin with `credentials`", how);
    }
    if reader.flag(config, "preflight_continue") == Some(true) {
        let how = "the gateway answers preflights itself, and none goes upstream";
        reader.differs(config, "`preflight_continue` of plugin `cors`", how);
    }
    super::without_effect(
        config,
        "cors",
        &["allow_origin_absent"],
        "fields are sent to requests with `Origin` alone",
        reader,
    );
    if cors.origins.is_empty() {
        reader.missing(
            plugin.node,
            "plugin `cors`",
            "none of its origins can be written: browsers of other origins are refused",
        );
        return Piece::default();
    }
    reader.mapped(plugin.node, "plugin `cors`", "`cors`");
    Piece { cors: Some(cors), ..Piece::default() }
}

/// Maps an origin, or a regular expression of one whose variable part is the beginning of the host or the port.
fn origin(text: &str) -> Option<String> {
    let is_plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b".:/-_[]".contains(&b));
    if text == "*" || (is_plain(text) && text.contains("://") && !text.ends_with('.')) {
        return Some(text.trim_end_matches('/').to_ascii_lowercase());
    }
    let inner = text.trim_start_matches('^').trim_end_matches('$').replace("\\/", "/").replace("\\-", "-");
    let (scheme, host) = inner.split_once("://")?;
    if !matches!(scheme, "http" | "https") {
        return None;
    }
    let (star, host) = match ["(.*)\\.", ".*\\.", ".+\\.", "(.+)\\.", "[^.]+\\.", "[a-z0-9-]+\\.", "*."]
        .iter()
        .find_map(|begin| host.strip_prefix(begin))
    {
        Some(rest) => ("*.", rest),
        None => ("", host),
    };
    let (host, port) = match [":\\d+", ":[0-9]+", ":.*", ":(\\d+)", ":*", "(:\\d+)?", "(:[0-9]+)?"]
        .iter()
        .find_map(|end| host.strip_suffix(end))
    {
        Some(rest) => (rest, ":*"),
        None => (host, ""),
    };
    // A dot that is not escaped is meant as a dot.
    let host = host.replace("\\.", ".");
    (is_plain(&host) && !host.is_empty()).then(|| format!("{scheme}://{star}{host}{port}").to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::origin;

    #[test]
    fn origins_become_patterns_only_where_they_mean_the_same() {
        for (kong, ours) in [
            ("https://a.example.com", Some("https://a.example.com")),
            ("http://localhost:3000/", Some("http://localhost:3000")),
            ("*", Some("*")),
            ("^https://.*\\.example\\.com$", Some("https://*.example.com")),
            ("https://.+\\.example\\.com", Some("https://*.example.com")),
            ("http://localhost:\\d+", Some("http://localhost:*")),
            ("https?://a\\.com", None),
            (".*", None),
            ("https://(a|b)\\.example\\.com", None),
            ("https://example.*", None),
            ("example.com", None),
        ] {
            assert_eq!(origin(kong).as_deref(), ours, "{kong}");
        }
    }
}
