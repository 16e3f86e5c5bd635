//! What came of a case in one line, in words in which different servers can be compared.
//!
//! `200 keep | GET /a host=a.example body=abc`: statuses and end as the client saw them, then each request as the
//! upstream read it. Fields that proxies add of their own (`via`, `x-request-id`, `connection: close`) and how a body is
//! framed are left out: each proxy frames anew, rightly so. So is a request that breaks off: no upstream serves it, and how
//! much of it arrived is a matter of timing.

use crate::exchange::Seen;
use crate::message::Message;

/// Fields that say nothing about how a request was understood.
const LEFT_OUT: [&str; 5] = ["x-request-id", "via", "content-length", "transfer-encoding", "host"];
/// Longest value that is written out.
const SHOWN_CHARACTERS_MAX: usize = 40;
/// Most fields that are written out.
const FIELDS_MAX: usize = 20;

/// The outcome.
#[must_use]
pub fn of(seen: &Seen, heard: &[Message]) -> String {
    let requests: Vec<String> = heard.iter().filter(|message| message.complete).map(request).collect();
    let requests = if requests.is_empty() { "nothing".to_owned() } else { requests.join("; ") };
    format!("{} | {requests}", seen.summary())
}

fn request(message: &Message) -> String {
    let line = message.first_line();
    let mut words = vec![shortened(line.trim_end_matches(" HTTP/1.1"))];
    let mut fields = message.fields();
    fields.sort();
    for (_, host) in fields.iter().filter(|(name, _)| name == "host") {
        words.push(format!("host={}", shortened(host)));
    }
    if fields.len() > FIELDS_MAX {
        words.push(format!("fields={}", fields.len()));
        fields.clear();
    }
    for (name, value) in &fields {
        let closes = name == "connection" && ["close", "keep-alive", ""].contains(&value.to_ascii_lowercase().as_str());
        if !closes && !LEFT_OUT.contains(&name.as_str()) {
            words.push(format!("{}={}", shortened(name), shortened(value)));
        }
    }
    if !message.body.is_empty() {
        words.push(format!("body={}", shortened(&text(&message.body))));
    }
    if !message.trailers.is_empty() {
        words.push(format!("trailers={}", shortened(&text(&message.trailers))));
    }
    words.join(" ")
}

fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|b| char::from(*b)).collect()
}

fn shortened(text: &str) -> String {
    let escaped: String = text.trim_end().escape_debug().to_string();
    match escaped.chars().count() {
        0..=SHOWN_CHARACTERS_MAX => escaped,
        length => format!("{}...({length})", escaped.chars().take(12).collect::<String>()),
    }
}
