//! Reads the header of a question's file.

use super::Question;
use super::parameter::{Parameter, ParameterType};

/// The question in a file's text, or what is wrong with its header.
pub(super) fn parse(file: &str, text: &'static str) -> Result<Question, String> {
    let (order, text) = order(text)?;
    let mut question = Question {
        order,
        name: String::new(),
        title: String::new(),
        answers: String::new(),
        asked_by: String::new(),
        then: String::new(),
        params: Vec::new(),
        example: String::new(),
        sql: text,
    };
    let mut in_params = false;
    for line in text.lines() {
        let Some(line) = line.strip_prefix("--") else {
            break;
        };
        if in_params && line.starts_with("   ") {
            question.params.push(parameter(line.trim())?);
            continue;
        }
        let (key, value) = line.split_once(':').ok_or_else(|| format!("`{line}` is not `key: value`"))?;
        in_params = key.trim() == "params";
        let value = value.trim().to_owned();
        match key.trim() {
            "name" => question.name = value,
            "title" => question.title = value,
            "answers" => question.answers = value,
            "asked-by" => question.asked_by = value,
            "then" => question.then = value,
            "example" => question.example = value,
            "params" => {}
            "order" => return Err("`order` is the first line of a header".to_owned()),
            other => return Err(format!("`{other}` is no key of a header")),
        }
    }
    let Question { name, title, answers, asked_by, then, example, .. } = &question;
    if [name, title, answers, asked_by, then, example].iter().any(|value| value.is_empty()) {
        return Err(format!("{file} needs name, title, answers, asked-by, then and example"));
    }
    Ok(question)
}

/// Splits the first line off, if it is the place in the list: that is no part of the text that the question shows.
fn order(text: &'static str) -> Result<(Option<u32>, &'static str), String> {
    let Some((order, rest)) = text.strip_prefix("-- order:").and_then(|text| text.split_once('\n')) else {
        return Ok((None, text));
    };
    let order = order.trim();
    let order = order.parse().map_err(|_| format!("the order `{order}` is not a whole number"))?;
    Ok((Some(order), rest))
}

/// `since (interval, default 15m): how far back to look`.
fn parameter(line: &str) -> Result<Parameter, String> {
    let wrong = || format!("`{line}` is not `name (type, required|optional|default VALUE): meaning`");
    let (name, rest) = line.split_once(" (").ok_or_else(wrong)?;
    let (kind, meaning) = rest.split_once("): ").ok_or_else(wrong)?;
    let (kind, need) = kind.split_once(", ").ok_or_else(wrong)?;
    let kind = ParameterType::parse(kind).ok_or_else(wrong)?;
    let (required, default) = match need {
        "required" => (true, None),
        "optional" => (false, None),
        other => (false, Some(other.strip_prefix("default ").ok_or_else(wrong)?.to_owned())),
    };
    if let Some(default) = &default {
        kind.literal(default).map_err(|problem| format!("default of {name}: {problem}"))?;
    }
    Ok(Parameter { name: name.to_owned(), kind, required, default, meaning: meaning.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_no_part_of_the_text() {
        let text =
            "-- order: 30\n-- name: a\n-- title: b\n-- answers: c\n-- asked-by: e\n-- then: f\n-- example: d\nSELECT 1";
        let question = parse("a", text).expect("a good header");
        assert_eq!(question.order, Some(30));
        assert!(question.sql.starts_with("-- name: a\n"), "{}", question.sql);
        assert_eq!(parse("a", question.sql).expect("a good header").order, None);
        assert_eq!(parse("a", "-- order: first\n").expect_err("no number"), "the order `first` is not a whole number");
        assert_eq!(parse("a", "-- name: a\n-- order: 1\n").expect_err("late"), "`order` is the first line of a header");
    }
}
