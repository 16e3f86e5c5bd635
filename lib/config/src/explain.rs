//! Turns an error of the parser into a sentence with a cure.

use std::path::Path;

use serde_saphyr::Error;

use crate::diagnostic::ConfigError;
use crate::outline::Outline;

/// Least similarity (Jaro-Winkler, 0 to 1) at which a valid name is proposed for an unknown one.
const SIMILARITY_MIN: f64 = 0.75;

/// Most valid names that an error lists.
const NAMES_SHOWN_MAX: usize = 40;

/// Longest value that an error repeats, in characters.
const VALUE_SHOWN_MAX: usize = 40;

/// Turns an error of the parser into a [`ConfigError`].
pub(crate) fn explain(path: &Path, text: &str, error: &Error) -> ConfigError {
    let error = innermost(error);
    let outline = Outline::of(text);
    if outline.is_empty()
        && matches!(error, Error::Eof { .. } | Error::Unexpected { .. } | Error::SerdeMissingField { .. })
    {
        return ConfigError::of_file(path, "there is no key in this file; write at least those that have no default");
    }
    let (mut line, mut column) = error.location().map_or((0, 0), |place| (place.line(), place.column()));
    let key = match error {
        // The place is that of the mapping which lacks the key; the name is that of the key which is missing.
        Error::SerdeMissingField { field, .. } => match outline.mapping_at(line, column) {
            Some(mapping) => format!("{mapping}.{field}"),
            None => (*field).to_owned(),
        },
        Error::MultipleDocuments { .. } => String::new(),
        _ => outline.key_at(line, column).unwrap_or_default(),
    };
    if matches!(error, Error::SerdeInvalidType { .. } | Error::SerdeInvalidValue { .. }) {
        (line, column) = outline.value_of_key_at(line, column).unwrap_or((line, column));
    }
    ConfigError::at(path, line, column, &key, sentence(error, outline.scalar_at(line, column)))
}

fn innermost(error: &Error) -> &Error {
    match error {
        Error::WithSnippet { error, .. } | Error::AliasError { error, .. } => innermost(error),
        other => other,
    }
}

/// Returns what is wrong, and the cure. `value` is the single value at the place, if there is one.
fn sentence(error: &Error, value: Option<&str>) -> String {
    let found = || value.map_or_else(|| "this".to_owned(), |text| format!("`{}`", shortened(text)));
    match error {
        Error::SerdeUnknownField { field, expected, .. } => {
            unknown("there is no such key here", field, expected, "keys")
        }
        Error::SerdeUnknownVariant { variant, expected, .. } => {
            unknown(&format!("`{}` is not a valid value", shortened(variant)), variant, expected, "values")
        }
        Error::SerdeMissingField { .. } => "this key is missing; it has no default, so write it here".to_owned(),
        Error::SerdeInvalidType { unexpected, expected, .. }
        | Error::SerdeInvalidValue { unexpected, expected, .. } => {
            format!("found {}; write {expected}", plain(unexpected))
        }
        Error::SerdeInvalidLength { len, expected, .. } => format!("found {len} items; write {expected}"),
        Error::InvalidScalar { ty, .. } => format!("{} is not {}", found(), type_of(ty)),
        Error::InvalidBooleanStrict { .. } => format!("{} is neither `true` nor `false`; write one of them", found()),
        Error::NullIntoString { .. } => "there is no value here; write one, or remove the key".to_owned(),
        Error::Unexpected { expected, .. } => {
            let what = if matches!(value, Some("" | "~" | "null")) { "no value" } else { "something else" };
            format!("found {what}; write {}", plain(expected))
        }
        Error::DuplicateMappingKey { .. } => "this key stands here twice; remove one of the two".to_owned(),
        Error::UnknownAnchor { .. } => {
            "there is no anchor of this name above; to write a text that begins with `*`, quote it".to_owned()
        }
        Error::MergeKeyNotAllowed { .. } => {
            "merge keys (`<<`) are not supported, as they hide where a value comes from; write the keys out".to_owned()
        }
        Error::MultipleDocuments { .. } => {
            "a second document begins here; a configuration is one document, so remove the `---`".to_owned()
        }
        Error::Eof { .. } => "the text ends in the middle; something is missing here".to_owned(),
        Error::Message { msg, .. } => msg.clone(),
        Error::ExternalMessage { msg, .. } => format!("this is not YAML: {msg}"),
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => {
            "this text nests or repeats more than a configuration can need; write it out flatter".to_owned()
        }
        other => without_place(&other.to_string()),
    }
}

fn shortened(text: &str) -> String {
    let mut shown: String = text.chars().take(VALUE_SHOWN_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(VALUE_SHOWN_MAX).is_some() {
        shown.push('…');
    }
    shown
}

/// Returns our word for a part of YAML, from the parser's word.
fn plain(word: &str) -> &str {
    match word {
        "seq" | "sequence" => "a list",
        "sequence start" => "a list, each item behind a `-`",
        "map" => "a mapping",
        "mapping start" => "a mapping of keys to values",
        "unit value" | "null" => "no value",
        "scalar" | "string scalar" | "value" => "a single value",
        other => other,
    }
}

/// Returns what a number must be, from the name of its Rust type.
fn type_of(name: &str) -> String {
    let whole = |least: i128, most: i128| format!("a whole number from {least} to {most}");
    match name {
        "u8" => whole(0, u8::MAX.into()),
        "u16" => whole(0, u16::MAX.into()),
        "u32" => whole(0, u32::MAX.into()),
        "u64" | "usize" => whole(0, u64::MAX.into()),
        "i8" => whole(i8::MIN.into(), i8::MAX.into()),
        "i16" => whole(i16::MIN.into(), i16::MAX.into()),
        "i32" => whole(i32::MIN.into(), i32::MAX.into()),
        "i64" | "isize" => whole(i64::MIN.into(), i64::MAX.into()),
        "floating point" => "a number".to_owned(),
        "boolean" => "`true` or `false`".to_owned(),
        other => format!("a valid {other}"),
    }
}

/// Removes the place, with which the parser ends its sentences and a [`ConfigError`] begins.
fn without_place(sentence: &str) -> String {
    match sentence.rfind(" at line ") {
        Some(cut) => sentence[..cut].to_owned(),
        None => sentence.to_owned(),
    }
}

/// Says that `what` is wrong with `name`, and proposes the nearest of `valid` or lists them.
fn unknown(what: &str, name: &str, valid: &[&str], noun: &str) -> String {
    let lower = name.to_lowercase();
    let nearest = valid
        .iter()
        .map(|valid| (strsim::jaro_winkler(&lower, &valid.to_lowercase()), *valid))
        .filter(|(similarity, _)| *similarity >= SIMILARITY_MIN)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    if let Some((_, nearest)) = nearest {
        return format!("{what}; did you mean `{nearest}`?");
    }
    if valid.is_empty() {
        return format!("{what}; no {noun} are allowed here");
    }
    let shown: Vec<String> = valid.iter().take(NAMES_SHOWN_MAX).map(|name| format!("`{name}`")).collect();
    let more = if valid.len() > NAMES_SHOWN_MAX { ", …" } else { "" };
    format!("{what}; the valid {noun} are {}{more}", shown.join(", "))
}
