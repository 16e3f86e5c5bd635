//! What is told of an id.

use tollgate_queries::find::{Absent, find};
use tollgate_record::id::{RequestId, producer_tag};

use super::fixture::{Fixture, MISSING, PRODUCERS, SHED, TRACE};

fn id_of(fixture: &Fixture, producer: &str, seq: i64) -> String {
    RequestId::from_parts(fixture.time_us(1_200), producer_tag(producer), seq).to_string()
}

#[tokio::test]
async fn a_request_is_told_stage_by_stage() {
    let fixture = Fixture::new().await;
    let story = find(&fixture.engine, &fixture.id(3)).await.expect("story");
    let text = story.to_string();
    for part in [
        "GET /members/3 of members: 504 after 30.00 s, because upstream_timeout: no response within 30 s",
        "received       from 10.0.0.3:40000 on port 8443 for api.example.com, HTTP/2, TLS 1.3",
        "client certificate CN=partner of CN=ca",
        "routed         to members, route by-id",
        "authenticated  by mtls: success, as partner, in readers, writers; allowed",
        "upstream       10.9.0.1:8080 (members.internal), on a new connection, no byte of an answer",
        "response       504, made by the gateway",
        "ended          by the gateway, because upstream_timeout",
        "to act         the team of the API members: membership",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    let json = serde_json::to_value(&story).expect("json");
    assert_eq!(json["matches"][0]["request_id"], fixture.id(3));
    assert!(json["matches"][0]["record"].get("gap_count").is_none());
}

#[tokio::test]
async fn ids_are_taken_leniently_and_several_matches_are_listed() {
    let fixture = Fixture::new().await;
    let capitals = format!(" {} ", fixture.id(9).to_uppercase());
    assert!(find(&fixture.engine, &capitals).await.expect("story").found());
    let bare = fixture.id(9).replace('-', "");
    assert_eq!(find(&fixture.engine, &bare).await.expect("story").matches.len(), 1);
    for trace in [TRACE.to_owned(), TRACE.to_uppercase(), format!("00-{TRACE}-00f067aa0ba902b7-01")] {
        let story = find(&fixture.engine, &trace).await.expect("story");
        assert_eq!((story.matches.len(), story.id_kind), (12, "trace_id"));
        assert!(story.to_string().contains("12 transactions"));
    }
    let story = find(&fixture.engine, "order-77").await.expect("story");
    assert_eq!((story.matches.len(), story.id_kind), (1, "correlation_id"));
}

#[tokio::test]
async fn an_id_without_a_record_still_tells() {
    let fixture = Fixture::new().await;
    let absent = |id: String| {
        let engine = fixture.engine.clone();
        async move {
            let story = find(&engine, &id).await.expect("story");
            assert!(!story.found());
            (story.to_string(), story.absent.expect("absent"))
        }
    };
    let (text, shed) = absent(id_of(&fixture, PRODUCERS[0], SHED.0 + 2)).await;
    assert!(matches!(shed, Absent::Shed { count: 5, ref reason, .. } if reason == "buffer_full"), "{shed:?}");
    assert!(text.contains("shed on purpose"), "{text}");
    let (text, missing) = absent(id_of(&fixture, PRODUCERS[0], MISSING[0])).await;
    assert!(matches!(missing, Absent::Missing { newest_seq, .. } if newest_seq == MISSING[1] + 1), "{missing:?}");
    assert!(text.contains("under way"), "{text}");
    let (text, not_yet) = absent(id_of(&fixture, PRODUCERS[1], 5_000)).await;
    assert!(matches!(not_yet, Absent::NotYet { newest_seq: 600, .. }), "{not_yet:?}");
    assert!(text.contains("has not arrived yet"), "{text}");
    let (text, unknown) = absent(id_of(&fixture, "elsewhere/1/0", 1)).await;
    let tag = format!("{:08x}", producer_tag("elsewhere/1/0"));
    assert!(matches!(unknown, Absent::UnknownProducer { seq: 1, ref producer_tag, .. } if *producer_tag == tag));
    assert!(text.contains(&tag), "{text}");
    let (text, _) = absent(fixture.id(9)[..34].to_owned()).await;
    assert!(text.contains("30 hexadecimal digits where one has 32"), "{text}");
    assert!(find(&fixture.engine, "").await.is_err());
}
