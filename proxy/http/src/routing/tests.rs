use proptest::prelude::*;

use super::*;

fn pattern(hosts: &[&str], paths: &[&str], methods: &[&str]) -> Pattern {
    asking(hosts, paths, methods, &[])
}

/// Conditions are written `x` (there), `!x` (not there) or `x=value`.
fn asking(hosts: &[&str], paths: &[&str], methods: &[&str], conditions: &[&str]) -> Pattern {
    let condition = |text: &&str| match (text.strip_prefix('!'), text.split_once('=')) {
        (Some(name), _) => HeaderCondition { name: name.parse().unwrap(), wanted: Wanted::Absent },
        (_, Some((name, value))) => {
            HeaderCondition { name: name.parse().unwrap(), wanted: Wanted::Value(value.to_owned()) }
        }
        _ => HeaderCondition { name: text.parse().unwrap(), wanted: Wanted::Present },
    };
    Pattern {
        hosts: hosts.iter().map(|h| HostPattern::parse(h).unwrap()).collect(),
        paths: paths.iter().map(|p| PathPattern::parse(p).unwrap()).collect(),
        methods: methods.iter().map(|m| m.parse().unwrap()).collect(),
        conditions: conditions.iter().map(condition).collect(),
    }
}

fn fields(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    lines.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

#[test]
fn the_most_specific_route_wins() {
    let router = Router::build(&[
        pattern(&[], &["/"], &[]),
        pattern(&["api.example.com"], &["/members"], &[]),
        pattern(&["api.example.com"], &["/members/list"], &["GET"]),
        pattern(&["*.example.com"], &["/members"], &[]),
        pattern(&["*"], &["/only/any"], &[]),
    ])
    .unwrap();
    let find = |host, path, method: &str| {
        router.find(host, path, &method.parse().unwrap(), &HeaderMap::new()).map(|found| found.route)
    };
    assert_eq!(find("api.example.com", "/members", "GET"), Some(1));
    assert_eq!(find("API.Example.com:8443", "/members/", "GET"), Some(1));
    assert_eq!(find("api.example.com", "/members/list/3", "GET"), Some(2));
    assert_eq!(find("api.example.com", "/members/list", "POST"), Some(1));
    assert_eq!(find("api.example.com", "/membership", "GET"), Some(0));
    assert_eq!(find("a.b.example.com", "/members/1", "GET"), Some(3));
    assert_eq!(find("example.com", "/members/1", "GET"), Some(0));
    assert_eq!(find("api.example.com", "/only/any/1", "GET"), Some(4));
    assert_eq!(find("api.example.com.", "/members", "GET"), Some(1));
    assert_eq!(find("api.example.com", "//members//list", "GET"), Some(2));
    assert_eq!(find("api.example.com", "/;/members;v=1/list;x", "GET"), Some(2));
}

#[test]
fn a_name_beats_a_variable_and_a_whole_path_a_prefix() {
    let router = Router::build(&[
        pattern(&[], &["/members"], &[]),
        pattern(&[], &["=/members"], &[]),
        pattern(&[], &["/members/{id}"], &[]),
        pattern(&[], &["/members/{id}/claims/{claim}", "/members/{id}/cards/{*rest}"], &[]),
        pattern(&[], &["/members/search"], &["GET"]),
        pattern(&[], &["/members/search/deep/er"], &[]),
    ])
    .unwrap();
    let find = |path, method: &str| {
        let found = router.find("h", path, &method.parse().unwrap(), &HeaderMap::new());
        found.map(|found| (found.route, found.path))
    };
    let table = [
        ("/members", Some((1, 0))),
        ("/members/", Some((1, 0))),
        ("/members/7", Some((2, 0))),
        ("/members/7/claims/8", Some((3, 0))),
        ("/members/7/claims/8/x", Some((0, 0))),
        ("/members/7/cards", Some((3, 1))),
        ("/members/7/cards/a/b", Some((3, 1))),
        ("/members/search", Some((4, 0))),
        ("/members/search/claims/3", Some((4, 0))),
        ("/other", None),
    ];
    for (path, expected) in table {
        assert_eq!(find(path, "GET"), expected, "{path}");
    }
    assert_eq!(find("/members/search", "POST"), Some((2, 0)), "the walk comes back to the variable");
    assert_eq!(find("/members/search/claims/3", "POST"), Some((3, 0)));
    assert_eq!(find("/members/search/deep/x", "POST"), Some((0, 0)));
}

#[test]
fn conditions_on_fields_are_all_asked_and_the_most_win() {
    let router = Router::build(&[
        pattern(&[], &["/a"], &[]),
        asking(&[], &["/a"], &[], &["x-canary=1"]),
        asking(&[], &["/a"], &[], &["x-canary=2"]),
        asking(&[], &["/a"], &[], &["x-canary=1", "x-team"]),
        asking(&[], &["/b"], &["GET"], &["!authorization"]),
    ])
    .unwrap();
    let find = |path, lines: &[_]| router.find("h", path, &Method::GET, &fields(lines)).map(|found| found.route);
    assert_eq!(find("/a", &[]), Some(0));
    assert_eq!(find("/a", &[("x-canary", "1")]), Some(1));
    assert_eq!(find("/a", &[("x-canary", "2"), ("x-team", "t")]), Some(2));
    assert_eq!(find("/a", &[("x-canary", "1"), ("x-team", "t")]), Some(3));
    let mut twice = fields(&[("x-canary", "1")]);
    twice.append("x-canary", "2".parse().unwrap());
    assert_eq!(router.find("h", "/a", &Method::GET, &twice).map(|found| found.route), Some(0), "it has no one value");
    assert_eq!(find("/b", &[]), Some(4));
    assert_eq!(find("/b", &[("authorization", "x")]), None);
    assert_eq!(router.methods("h", "/b", &HeaderMap::new()), [Method::GET]);
    assert_eq!(router.methods("h", "/b", &fields(&[("authorization", "x")])), [] as [Method; 0]);
}

#[test]
fn overlapping_routes_are_named() {
    let overlap = |first, second, path: &str| Overlap { first, second, path: path.into() };
    let overlaps = |patterns: &[Pattern]| Router::build(patterns).map(|_| ()).unwrap_err();
    let methods = [
        pattern(&["a"], &["/x"], &["GET", "POST"]),
        pattern(&["a"], &["/x/"], &["POST"]),
        pattern(&["a"], &["/x"], &[]),
    ];
    assert_eq!(overlaps(&methods), [overlap(0, 1, "/x/")]);
    let variables = [pattern(&[], &["/x/{a}"], &[]), pattern(&[], &["/x/{b}"], &[])];
    assert_eq!(overlaps(&variables), [overlap(0, 1, "/x/{b}")]);
    let tail = [pattern(&[], &["/x"], &[]), pattern(&[], &["/x/{*b}"], &[])];
    assert_eq!(overlaps(&tail), [overlap(0, 1, "/x/{*b}")]);
    let both_may_hold = [asking(&[], &["/x"], &[], &["p=1"]), asking(&[], &["/x"], &[], &["q=1"])];
    assert_eq!(overlaps(&both_may_hold), [overlap(0, 1, "/x")]);
    let excluded = [asking(&[], &["/x"], &[], &["p=1", "q"]), asking(&[], &["/x"], &[], &["!p", "r"])];
    assert!(Router::build(&excluded).is_ok());
}

#[test]
fn bad_hosts_and_paths_say_what_to_write() {
    for bad in ["", "a:80", "a b", "http://a", "*", "*."] {
        let parsed = HostPattern::parse(bad);
        assert_eq!(parsed.is_ok(), bad == "*", "{bad}: {parsed:?}");
    }
    for bad in [
        "a", "=a", "/a?b", "/a b", "/%61", "/a/../b", "/a;v", "/a{id}", "/{id", "/id}", "/{}", "/{i-d}", "/{*a}/b",
        "/{a}/{a}", "={a}", "=/{a}", "/a*", "/*",
    ] {
        let parsed = PathPattern::parse(bad);
        assert!(parsed.as_ref().is_err_and(|error| error.contains('`')), "{bad}: {parsed:?}");
    }
}

/// Host, path, method, conditions: in the order in which they decide.
type Score = (usize, Vec<i32>, bool, usize);

/// The rule in words, by brute force.
fn naive(patterns: &[Pattern], host: &str, path: &str, method: &Method, headers: &HeaderMap) -> Option<Found> {
    let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
    let path_score = |pattern: &PathPattern| {
        let mut score = Vec::new();
        for (nth, part) in pattern.parts.iter().enumerate() {
            match part {
                Part::Literal(name) if names.get(nth)? == name => score.push(3),
                Part::Literal(_) => return None,
                Part::Variable(_) => names.get(nth).map(|_| score.push(2))?,
            }
        }
        match pattern.reach {
            Reach::Whole if names.len() > pattern.parts.len() => return None,
            Reach::Whole => score.push(1),
            _ => score.push(0),
        }
        Some(score)
    };
    let host_score = |pattern: &HostPattern| match pattern {
        HostPattern::Any => Some(0),
        HostPattern::Exact(name) => (name == host).then_some(usize::MAX),
        HostPattern::Below(name) => host.ends_with(&format!(".{name}")).then_some(1 + name.len()),
    };
    let mut best: Option<(Score, Found)> = None;
    for (route, pattern) in patterns.iter().enumerate() {
        let takes = pattern.methods.is_empty() || pattern.methods.contains(method);
        let has = |name: &HeaderCondition| headers.get(&name.name).map(|value| value.to_str().unwrap());
        let asked = pattern.conditions.iter().all(|condition| match &condition.wanted {
            Wanted::Present => has(condition).is_some(),
            Wanted::Absent => has(condition).is_none(),
            Wanted::Value(value) => has(condition) == Some(value),
        });
        let hosts = if pattern.hosts.is_empty() { vec![HostPattern::Any] } else { pattern.hosts.clone() };
        for host in hosts.iter().filter_map(host_score) {
            for (nth, path) in pattern.paths.iter().enumerate() {
                let Some(path) = path_score(path).filter(|_| takes && asked) else { continue };
                let score = (host, path, !pattern.methods.is_empty(), pattern.conditions.len());
                if best.as_ref().is_none_or(|(other, _)| score > *other) {
                    best = Some((score, Found { route, path: nth }));
                }
            }
        }
    }
    best.map(|(_, found)| found)
}

fn any_pattern() -> impl Strategy<Value = Pattern> {
    let host = prop_oneof!["\\*", "[ab](\\.[ab]){0,2}", "\\*\\.[ab](\\.[ab]){0,2}"];
    let path = prop_oneof![
        "(/[xy]){1,3}",
        "=(/[xy]){1,3}",
        "(/[xy]){0,2}/\\{a\\}(/[xy]){0,2}",
        "(/[xy]){0,1}/\\{a\\}(/[xy]){0,1}/\\{b\\}",
        "(/[xy]){0,2}(/\\{a\\})?/\\{\\*rest\\}",
        Just("/".to_owned()),
    ];
    let method = prop_oneof![Just("GET"), Just("POST")];
    let condition = prop_oneof![Just("p=1"), Just("p=2"), Just("!p"), Just("q"), Just("!q")];
    let (hosts, paths) = (prop::collection::vec(host, 0..3), prop::collection::vec(path, 1..3));
    let (methods, conditions) = (prop::collection::vec(method, 0..2), prop::collection::vec(condition, 0..3));
    (hosts, paths, methods, conditions).prop_map(|(hosts, paths, methods, conditions)| {
        let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        asking(&hosts, &paths, &methods, &conditions)
    })
}

proptest! {
    #[test]
    fn agrees_with_the_naive_reference(
        patterns in prop::collection::vec(any_pattern(), 1..12),
        host in "[ab](\\.[ab]){0,3}",
        path in "(/[xyz]?){1,4}",
        post in any::<bool>(),
        p in prop_oneof![Just(None), Just(Some("1")), Just(Some("2"))],
        q in any::<bool>(),
    ) {
        // A pattern that overlaps with an earlier one is left out, so that the rest can be built.
        let mut kept: Vec<Pattern> = Vec::new();
        for pattern in patterns {
            kept.push(pattern);
            if Router::build(&kept).is_err() {
                kept.pop();
            }
        }
        let router = Router::build(&kept).unwrap();
        let mut headers = HeaderMap::new();
        if let Some(p) = p {
            headers.insert("p", p.parse().unwrap());
        }
        if q {
            headers.insert("q", "".parse().unwrap());
        }
        let method = if post { Method::POST } else { Method::GET };
        let found = router.find(&host, &path, &method, &headers);
        prop_assert_eq!(found, naive(&kept, &host, &path, &method, &headers));
        if found.is_none() {
            let served = |method: &Method| naive(&kept, &host, &path, method, &headers).is_some();
            let served: Vec<Method> = [Method::GET, Method::POST].into_iter().filter(served).collect();
            prop_assert_eq!(router.methods(&host, &path, &headers), served);
        }
    }
}
