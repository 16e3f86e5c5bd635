use std::sync::Arc;

use proptest::prelude::*;

use super::*;

fn of(consumer: &str) -> Principal {
    let consumer = (!consumer.is_empty()).then(|| Arc::from(consumer));
    Principal { consumer, ..Principal::of(AuthPattern::ApiKey) }
}

fn user(subject: &str) -> Principal {
    let (issuer, subject) = (Some(Arc::from("https://idp")), Some(Arc::from(subject)));
    Principal { issuer, subject, groups: vec![Arc::from("staff")], ..Principal::of(AuthPattern::Jwt) }
}

/// `-` absent, `!` failed, `?` unavailable, `@name` a user, else a consumer.
fn outcome(text: &str) -> Outcome {
    match text {
        "-" => Outcome::Absent,
        "!" => Outcome::failed(AuthFailReason::Unknown, "no"),
        "?" => Outcome::Unavailable("down".to_owned()),
        text => Outcome::Succeeded(Box::new(text.strip_prefix('@').map_or_else(|| of(text), user))),
    }
}

fn decide(combination: Combination, optional: bool, texts: &[&str]) -> String {
    let patterns = [AuthPattern::ApiKey, AuthPattern::Jwt, AuthPattern::Mtls];
    let outcomes = texts.iter().zip(patterns).map(|(text, pattern)| (pattern, outcome(text))).collect();
    match (Requirement { combination, optional }).decide(outcomes) {
        Verdict::Authenticated(principal) => {
            let name = |of: &Option<Arc<str>>| of.as_deref().unwrap_or("-").to_owned();
            format!("{} {} {}", name(&principal.consumer), name(&principal.subject), principal.groups.len())
        }
        Verdict::Anonymous => "anonymous".to_owned(),
        Verdict::Refused(refusal) => format!("{} {}", refusal.pattern, refusal.failure.reason),
        Verdict::Unavailable { pattern, .. } => format!("{pattern} unavailable"),
    }
}

#[test]
fn any_of() {
    for (texts, expected) in [
        (&["-", "-"][..], "api_key missing"),
        (&["a", "-"], "a - 0"),
        (&["-", "a"], "a - 0"),
        (&["a", "a"], "a - 0"),
        (&["a", "b"], "api_key conflict"),
        (&["a", "@u"], "api_key conflict"),
        (&["@u", "@u"], "- u 1"),
        (&["@u", "@v"], "jwt conflict"),
        (&["!", "-"], "api_key unknown"),
        (&["-", "!"], "jwt unknown"),
        (&["a", "!"], "jwt unknown"),
        (&["!", "a"], "api_key unknown"),
        (&["?", "-"], "api_key unavailable"),
        (&["a", "?"], "jwt unavailable"),
        (&["?", "!"], "jwt unknown"),
        (&["", ""], "api_key conflict"),
    ] {
        assert_eq!(decide(Combination::AnyOf, false, texts), expected, "{texts:?}");
    }
    assert_eq!(decide(Combination::AnyOf, true, &["-", "-"]), "anonymous");
    assert_eq!(decide(Combination::AnyOf, true, &["-", "!"]), "jwt unknown", "presented and failed is no anonymous");
    assert_eq!(decide(Combination::AnyOf, true, &["-", "?"]), "jwt unavailable");
}

#[test]
fn all_of() {
    for (texts, expected) in [
        (&["-", "-"][..], "api_key missing"),
        (&["a", "-"], "jwt missing"),
        (&["-", "a"], "api_key missing"),
        (&["a", "a"], "a - 0"),
        (&["a", "b"], "api_key conflict"),
        (&["a", "@u"], "a u 1"),
        (&["@u", "@v"], "jwt conflict"),
        (&["a", "@u", "b"], "api_key conflict"),
        (&["@u", "a", "@v"], "jwt conflict"),
        (&["a", "!"], "jwt unknown"),
        (&["-", "!"], "jwt unknown"),
        (&["a", "?"], "jwt unavailable"),
        (&["-", "?"], "jwt unavailable"),
    ] {
        assert_eq!(decide(Combination::AllOf, false, texts), expected, "{texts:?}");
    }
    assert_eq!(decide(Combination::AllOf, true, &["-", "-"]), "anonymous");
    assert_eq!(decide(Combination::AllOf, true, &["a", "-"]), "jwt missing", "half of the credentials is no anonymous");
}

proptest! {
    /// Nobody is let in while a credential is refused or cannot be judged, and nobody unknown is, unless `optional`.
    #[test]
    fn who_is_let_in(
        all in any::<bool>(),
        optional in any::<bool>(),
        texts in prop::collection::vec(prop::sample::select(vec!["-", "!", "?", "a", "b", "@u", "@v"]), 0..4),
    ) {
        let combination = if all { Combination::AllOf } else { Combination::AnyOf };
        let verdict = decide(combination, optional, &texts);
        let presented = texts.iter().any(|text| *text != "-");
        let refused = ["missing", "unknown", "conflict", "unavailable"].iter().any(|end| verdict.ends_with(end));
        if texts.contains(&"!") || texts.contains(&"?") {
            prop_assert!(refused, "{verdict}");
        }
        prop_assert_eq!(verdict == "anonymous", optional && !presented, "{}", &verdict);
        if !presented && !optional {
            prop_assert!(verdict.ends_with("missing"), "{}", &verdict);
        }
    }
}
