//! Request ids and producers' names.

use proptest::prelude::*;
use tollgate_record::id::{IdError, ProducerError, ProducerName, RequestId, SEQ_MAX, producer_tag};

proptest! {
    #[test]
    fn parts_come_back(time_us in 0..=i64::MAX / 65_536, tag: u32, seq in 0..=SEQ_MAX) {
        let id = RequestId::from_parts(time_us, tag, seq);
        prop_assert_eq!(id.time_ms(), time_us / 1000);
        prop_assert_eq!(id.producer_tag(), tag);
        prop_assert_eq!(id.seq(), seq);
        prop_assert_eq!(RequestId::parse(&id.to_string()), Ok(id));
    }

    #[test]
    fn ids_come_back_from_their_parts(time_ms in 0_u128..1 << 48, high in 0_u128..1 << 12, low in 0_u128..1 << 62) {
        let bits = (time_ms << 80) | (7 << 76) | (high << 64) | (2 << 62) | low;
        let id = RequestId::parse(&uuid::Uuid::from_u128(bits).to_string()).unwrap();
        let again = RequestId::from_parts(id.time_ms() * 1000, id.producer_tag(), id.seq());
        prop_assert_eq!(again, id);
    }

    #[test]
    fn names_come_back(node_id in "[A-Za-z0-9._-]{1,64}", start_us in 0..i64::MAX, worker: u32) {
        let name = ProducerName { node_id, start_us, worker };
        prop_assert_eq!(ProducerName::parse(&name.to_string()), Ok(name));
    }

    #[test]
    fn any_text_is_parsed_or_refused(text in ".{0,80}") {
        let _ = RequestId::parse(&text);
        if let Ok(name) = ProducerName::parse(&text) {
            prop_assert_eq!(name.to_string(), text);
        }
    }
}

#[test]
fn an_id_is_a_uuid_of_version_7() {
    let id = RequestId::from_parts(1_767_225_600_123_456, producer_tag("gate-1/1/0"), 1);
    let uuid = uuid::Uuid::parse_str(&id.to_string()).unwrap();
    assert_eq!(uuid.get_version_num(), 7);
    assert_eq!(uuid.get_variant(), uuid::Variant::RFC4122);
    assert!(id.to_string().starts_with("019b7"), "{id}");
    assert_eq!(RequestId::parse(&id.to_string().to_uppercase()), Ok(id));
}

/// Ids are in logs and tickets for years: the bijection must never change.
#[test]
fn the_bijection_is_fixed() {
    assert_eq!(producer_tag("gate-1/6475c2e8d4000/0"), 0xe72b_edb6);
    let id = RequestId::from_parts(1_767_225_600_123_456, 0xdead_beef, 42);
    assert_eq!(id.to_string(), "019b76da-a87b-75e2-8863-70521643f67c");
}

#[test]
fn neighbours_do_not_look_alike() {
    let ids = [1, 2].map(|seq| RequestId::from_parts(0, 1, seq));
    let differing = ids[0].as_bytes().iter().zip(ids[1].as_bytes()).map(|(a, b)| (a ^ b).count_ones());
    assert!(differing.sum::<u32>() > 15);
}

#[test]
fn what_is_no_id_is_refused() {
    assert!(matches!(RequestId::parse("42"), Err(IdError::NotUuid(_))));
    let random = "9b2ec6b5-62a0-4f3e-9a5c-0d6f1a3f6f3e";
    assert!(matches!(RequestId::parse(random), Err(IdError::NotVersion7(_))));
    let other_variant = "019b7000-0000-7000-4000-000000000000";
    assert!(matches!(RequestId::parse(other_variant), Err(IdError::NotVersion7(_))));
}

#[test]
fn what_is_no_producer_is_refused() {
    let error = |text: &str| ProducerName::parse(text).unwrap_err();
    assert!(matches!(error("gate-1/1"), ProducerError::Parts(_)));
    assert!(matches!(error("gate-1/1/0/0"), ProducerError::Parts(_)));
    assert!(matches!(error("gate 1/1/0"), ProducerError::NodeId(_)));
    assert!(matches!(error("/1/0"), ProducerError::NodeId(_)));
    for start in ["", "01", "A", "+1", "-1g", "10000000000000000"] {
        assert!(matches!(error(&format!("n/{start}/0")), ProducerError::Start(_)), "{start}");
    }
    for worker in ["", "00", "-1", "+1", "4294967296"] {
        assert!(matches!(error(&format!("n/1/{worker}")), ProducerError::Worker(_)), "{worker}");
    }
}
