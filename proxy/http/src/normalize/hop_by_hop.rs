//! Removal of the fields that end at this hop (RFC 9110 section 7.6.1).

use http::header::{CONNECTION, Entry, HeaderMap, HeaderName, HeaderValue, TE};

use crate::field_kinds::{is_hop_by_hop, is_protected, remove_where};
use crate::header_flags::{self, HeaderFlags};

/// Returns whether the client accepts trailers.
pub(super) fn wants_trailers(headers: &HeaderMap) -> bool {
    let values = headers.get_all(TE).iter().filter_map(|te| te.to_str().ok());
    values.flat_map(|te| te.split(',')).any(|te| te.trim().eq_ignore_ascii_case("trailers"))
}

/// Returns the options of every Connection field.
pub(super) fn connection_options(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    options_in(headers.get_all(CONNECTION).iter())
}

fn options_in<'a>(values: impl Iterator<Item = &'a HeaderValue>) -> impl Iterator<Item = &'a str> {
    let values = values.filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

/// Removes hop-by-hop fields, and those that Connection names.
pub(super) fn strip(headers: &mut HeaderMap, has: HeaderFlags) {
    if has.may_have(header_flags::CONNECTION) {
        strip_connection(headers);
    }
    if has.may_have(header_flags::HOP_BY_HOP & !header_flags::CONNECTION) {
        // One pass over the names costs less than a look-up for each field that may be there.
        remove_where(headers, is_hop_by_hop);
    }
}

/// Removes Connection, and the fields that it names. It cannot name away a field that upstreams decide by, such as
/// Authorization: an upstream must not see a request that the gateway judged otherwise.
fn strip_connection(headers: &mut HeaderMap) {
    let Entry::Occupied(connection) = headers.entry(CONNECTION) else { return };
    let usual = |value: &HeaderValue| matches!(value.as_bytes(), b"keep-alive" | b"close");
    let mut values = connection.iter();
    let one_usual = values.next().is_some_and(usual) && values.next().is_none();
    if one_usual {
        connection.remove();
        return;
    }
    let nominated: Vec<HeaderName> = options_in(connection.iter())
        .filter(|option| !option.eq_ignore_ascii_case("close") && !option.eq_ignore_ascii_case("keep-alive"))
        .filter_map(|option| option.parse().ok())
        .filter(|name| !is_protected(name))
        .collect();
    connection.remove_entry_mult();
    for name in nominated {
        headers.remove(name);
    }
}
