//! Lists of what differs on purpose. What is listed must occur, and what occurs must be listed.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A list, and what it was written against.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    /// The peer that is compared, with its version when the list was written.
    pub about: String,
    /// The differences.
    pub differences: Vec<Difference>,
}

/// One difference, or several for one reason.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Difference {
    /// Why the difference exists, and why it is right.
    pub why: String,
    /// Names of cases, and what the other one does with each; where timing decides, several, separated by ` or `,
    /// of which one may be `as ours`.
    pub cases: BTreeMap<String, String>,
}

/// Reads `expected/NAME`.
///
/// # Errors
/// When it cannot be read.
pub fn load(name: &str) -> anyhow::Result<Listed> {
    Ok(tollgate_config::load::<Listed>(&crate::case::folder("expected").join(name))?.value)
}

/// Stands for no difference, where timing decides.
const AS_OURS: &str = "as ours";

fn alternatives(listed: &str) -> impl Iterator<Item = &str> {
    listed.split(" or ")
}

impl Listed {
    /// The listed difference of a case.
    #[must_use]
    pub fn of(&self, case: &str) -> Option<&str> {
        self.differences.iter().find_map(|difference| difference.cases.get(case)).map(String::as_str)
    }

    /// Compares the differences with the list; each answer is a sentence for the reader of a failed test.
    #[must_use]
    pub fn compare(&self, differing: &BTreeMap<String, String>) -> Vec<String> {
        let mut wrong = Vec::new();
        let listed: BTreeMap<&String, &String> = self.differences.iter().flat_map(|d| &d.cases).collect();
        for (case, outcome) in differing {
            match listed.get(case) {
                Some(listed) if alternatives(listed).any(|one| one == outcome) => {}
                Some(listed) => wrong.push(format!("{case}: it now does `{outcome}`, listed is `{listed}`")),
                None => wrong.push(format!("{case}: `{outcome}` is listed nowhere; explain it, or mend it")),
            }
        }
        let gone = listed.iter().filter(|(case, outcome)| {
            !differing.contains_key(**case) && !alternatives(outcome).any(|one| one == AS_OURS)
        });
        for (case, _) in gone {
            wrong.push(format!("{case}: the listed difference does not occur any more; strike it from the list"));
        }
        let unexplained = self.differences.iter().filter(|difference| difference.why.trim().is_empty());
        wrong.extend(unexplained.map(|difference| format!("no reason is given for {:?}", difference.cases.keys())));
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    }

    #[test]
    fn what_is_listed_occurs_and_what_occurs_is_listed() {
        let difference = Difference { why: "it is lenient".into(), cases: map(&[("a", "200"), ("b", "400")]) };
        let listed = Listed { about: String::new(), differences: vec![difference] };
        assert!(listed.compare(&map(&[("a", "200"), ("b", "400")])).is_empty());
        assert_eq!(listed.compare(&map(&[("a", "200")])).len(), 1);
        assert_eq!(listed.compare(&map(&[("a", "200"), ("b", "400"), ("c", "1")])).len(), 1);
        assert_eq!(listed.compare(&map(&[("a", "201"), ("b", "400")])).len(), 1);
        let timed = Difference { why: "timing".into(), cases: map(&[("a", "200 or as ours")]) };
        let timed = Listed { about: String::new(), differences: vec![timed] };
        assert!(timed.compare(&map(&[("a", "200")])).is_empty() && timed.compare(&map(&[])).is_empty());
    }
}
