//! What an executor publishes about itself: keys that tasks may ask for.

use std::collections::BTreeSet;

use bytes::Bytes;
use flame_proto::{ha, v1};
use flame_types::limits::{ATTRIBUTE_BYTES_MAX, ATTRIBUTE_KEY_BYTES_MAX, ATTRIBUTE_KEYS_MAX, EXECUTOR_ATTRIBUTES_MAX};

/// Why the attributes of a reply are not taken over. The reply itself counts.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("a key has {0} bytes, 1 to {ATTRIBUTE_KEY_BYTES_MAX} are allowed")]
    KeyLength(usize),
    #[error("it has {0} keys in one direction, at most {ATTRIBUTE_KEYS_MAX} are allowed")]
    Keys(usize),
    #[error("its keys have {0} bytes in one direction, at most {ATTRIBUTE_BYTES_MAX} are allowed")]
    Bytes(usize),
    #[error("a key is both published and retracted")]
    Both,
}

/// Checks what a service reported against the published limits.
pub(crate) fn check(reported: v1::ExecutorAttributes) -> Result<Option<ha::Attributes>, Unusable> {
    if reported.publish.is_empty() && reported.retract.is_empty() {
        return Ok(None);
    }
    check_direction(&reported.publish)?;
    check_direction(&reported.retract)?;
    let published: BTreeSet<&Bytes> = reported.publish.iter().collect();
    if reported.retract.iter().any(|key| published.contains(key)) {
        return Err(Unusable::Both);
    }
    Ok(Some(ha::Attributes { publish: reported.publish, retract: reported.retract }))
}

fn check_direction(keys: &[Bytes]) -> Result<(), Unusable> {
    if keys.len() > ATTRIBUTE_KEYS_MAX {
        return Err(Unusable::Keys(keys.len()));
    }
    if let Some(key) = keys.iter().find(|key| key.is_empty() || key.len() > ATTRIBUTE_KEY_BYTES_MAX) {
        return Err(Unusable::KeyLength(key.len()));
    }
    let bytes = keys.iter().map(Bytes::len).sum();
    if bytes > ATTRIBUTE_BYTES_MAX {
        return Err(Unusable::Bytes(bytes));
    }
    Ok(())
}

/// Applies a report to what an executor holds; answers how many keys did not fit any more.
pub(crate) fn apply(held: &mut BTreeSet<Bytes>, change: &ha::Attributes) -> usize {
    for key in &change.retract {
        held.remove(key);
    }
    let mut left_out = 0;
    for key in &change.publish {
        if held.len() < EXECUTOR_ATTRIBUTES_MAX || held.contains(key) {
            held.insert(key.clone());
        } else {
            left_out += 1;
        }
    }
    left_out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(texts: &[&'static str]) -> Vec<Bytes> {
        texts.iter().map(|text| Bytes::from_static(text.as_bytes())).collect()
    }

    fn report(publish: Vec<Bytes>, retract: Vec<Bytes>) -> v1::ExecutorAttributes {
        v1::ExecutorAttributes { publish, retract }
    }

    #[test]
    fn the_published_limits_hold() {
        assert_eq!(check(report(vec![], vec![])), Ok(None));
        assert!(check(report(keys(&["a"]), keys(&["b"]))).unwrap().is_some());
        assert_eq!(check(report(keys(&["a"]), keys(&["a"]))), Err(Unusable::Both));
        assert_eq!(check(report(keys(&[""]), vec![])), Err(Unusable::KeyLength(0)));
        assert_eq!(check(report(vec![], vec![Bytes::from(vec![0; 257])])), Err(Unusable::KeyLength(257)));
        assert_eq!(check(report(vec![Bytes::from_static(b"k"); 1025], vec![])), Err(Unusable::Keys(1025)));
        assert_eq!(check(report(vec![Bytes::from(vec![0; 256]); 300], vec![])), Err(Unusable::Bytes(76_800)));
    }

    #[test]
    fn a_report_changes_what_is_held() {
        let mut held = BTreeSet::new();
        assert_eq!(apply(&mut held, &ha::Attributes { publish: keys(&["a", "b"]), retract: vec![] }), 0);
        assert_eq!(apply(&mut held, &ha::Attributes { publish: keys(&["c"]), retract: keys(&["a"]) }), 0);
        assert_eq!(held.into_iter().collect::<Vec<_>>(), keys(&["b", "c"]));
    }

    #[test]
    fn an_executor_holds_a_limited_number() {
        let mut held: BTreeSet<Bytes> =
            (0..EXECUTOR_ATTRIBUTES_MAX).map(|n| Bytes::from(n.to_string().into_bytes())).collect();
        assert_eq!(apply(&mut held, &ha::Attributes { publish: keys(&["0", "new"]), retract: vec![] }), 1);
    }
}
