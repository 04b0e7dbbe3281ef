//! Messages of cache nodes into the words of the machine, and back.

use flame_machine::command::{CacheHello, HeldObject, Host};
use flame_machine::refusal::ObjectRefusal;
use flame_proto::ha;
use flame_proto::ha::object_refused::Reason;
use flame_types::{
    DataType, Generation, HelloNo, Incarnation, NodeName, ObjectKey, ObjectVersion, WallMs, kept_text, limits,
};

/// The Hello of a cache node; the error says what is wrong with it.
pub(super) fn hello(hello: ha::CacheHello) -> Result<CacheHello, String> {
    if hello.endpoint.is_empty() || hello.endpoint.len() > limits::ENDPOINT_BYTES_MAX {
        return Err(format!("the endpoint of a cache node has 1 to {} bytes", limits::ENDPOINT_BYTES_MAX));
    }
    let host = hello.host.unwrap_or_default();
    Ok(CacheHello {
        cache: NodeName::parse(&hello.cache).map_err(|error| error.to_string())?,
        incarnation: Incarnation { started_ms: hello.started_ms, nonce: hello.nonce },
        hello: HelloNo(hello.hello),
        host: Host {
            name: kept_text(host.name),
            boot_id: kept_text(host.boot_id),
            arch: kept_text(host.arch),
            os: kept_text(host.os),
        },
        endpoint: hello.endpoint,
        memory_bytes: hello.memory_bytes,
        disk_bytes: hello.disk_bytes,
    })
}

/// An object that a cache node has; the error says what is wrong with it.
pub(super) fn held(held: ha::HeldObject) -> Result<HeldObject, String> {
    Ok(HeldObject {
        key: ObjectKey::parse(&held.key).map_err(|error| error.to_string())?,
        version: ObjectVersion(held.version),
        size: held.size,
        data_type: DataType::parse(&held.data_type).map_err(|error| error.to_string())?,
        created: WallMs(held.created_ms),
        recorded: held.recorded.map(Generation),
        acknowledged: held.acknowledged,
        copies: held.copies,
    })
}

/// An object in a version; the error says what is wrong with it.
pub(super) fn version(object: &ha::ObjectVersion) -> Result<(ObjectKey, ObjectVersion), String> {
    let key = ObjectKey::parse(&object.key).map_err(|error| error.to_string())?;
    Ok((key, ObjectVersion(object.version)))
}

/// Why an object is not in the directory. `at`: its place in what the node has sent.
pub(super) fn refused(at: u32, why: &ObjectRefusal) -> ha::ObjectRefused {
    let reason = match why {
        ObjectRefusal::Deleted => Reason::Deleted,
        ObjectRefusal::Stale { .. } => Reason::Stale,
        ObjectRefusal::Surplus => Reason::Surplus,
        ObjectRefusal::Quota { .. } => Reason::Quota,
        ObjectRefusal::Limit { .. } => Reason::Limit,
        ObjectRefusal::DiskShort => Reason::DiskShort,
        ObjectRefusal::Invalid(_) => Reason::Invalid,
    };
    let present = if let ObjectRefusal::Stale { present } = why { present.0 } else { 0 };
    ha::ObjectRefused { at, reason: reason.into(), message: why.to_string(), present }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent() -> ha::HeldObject {
        ha::HeldObject {
            key: "app/s/o".into(),
            version: 3,
            size: 5,
            data_type: "raw".into(),
            created_ms: 7,
            recorded: Some(0),
            acknowledged: true,
            copies: 2,
        }
    }

    #[test]
    fn every_field_of_an_object_arrives() {
        let read = held(sent()).unwrap();
        assert_eq!((read.key.as_str(), read.version, read.size), ("app/s/o", ObjectVersion(3), 5));
        assert_eq!((read.data_type.as_str(), read.created), ("raw", WallMs(7)));
        assert_eq!((read.recorded, read.acknowledged, read.copies), (Some(Generation(0)), true, 2));
        assert_eq!(held(ha::HeldObject { recorded: None, ..sent() }).unwrap().recorded, None, "never is not the first");
    }

    #[test]
    fn what_is_wrong_is_said() {
        let wrong = |object: ha::HeldObject| held(object).unwrap_err();
        assert!(wrong(ha::HeldObject { key: "app/s".into(), ..sent() }).contains("application/session/object"));
        assert!(wrong(ha::HeldObject { data_type: String::new(), ..sent() }).contains("data type"));
        let nobody = ha::CacheHello { cache: "c1".into(), ..ha::CacheHello::default() };
        assert!(hello(nobody.clone()).unwrap_err().contains("endpoint"));
        let nameless = ha::CacheHello { cache: String::new(), endpoint: "grpc://a:1".into(), ..nobody };
        assert!(hello(nameless).unwrap_err().contains("node name"));
    }

    #[test]
    fn a_refusal_says_where_why_and_which_version_there_is() {
        let stale = refused(4, &ObjectRefusal::Stale { present: ObjectVersion(9) });
        assert_eq!((stale.at, stale.reason(), stale.present), (4, Reason::Stale, 9));
        assert!(stale.message.contains("version 9"), "{}", stale.message);
        assert_eq!(refused(0, &ObjectRefusal::Deleted).present, 0);
    }
}
