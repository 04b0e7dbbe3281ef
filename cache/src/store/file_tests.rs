//! Files of objects: what goes in comes out, what was never finished is cut, what is damaged is seen.

use std::os::unix::fs::FileExt;

use super::*;

fn opaque(parts: &[&'static str]) -> Object {
    let part = |(at, text): (usize, &&'static str)| {
        Arc::new(Part { version: 3 + at as u64, data: Blob::from(Bytes::from_static(text.as_bytes())) })
    };
    Object {
        key: ObjectKey::parse("a/s/o").unwrap(),
        data_type: Arc::from("raw"),
        created_ms: 12,
        base_version: 3,
        content: Content::Opaque(parts.iter().enumerate().map(part).collect()),
    }
}

fn native() -> Object {
    let message = |head: &'static str, body: &'static str| ArrowMessage {
        head: Bytes::from_static(head.as_bytes()),
        body: Bytes::from_static(body.as_bytes()),
    };
    let messages = vec![message("schema", ""), message("dictionary", "words"), message("batch", "numbers")];
    Object { content: Content::Native(Arc::new(messages)), ..opaque(&["x"]) }
}

fn written(object: &Object) -> (File, u64) {
    let mut file = tempfile::tempfile().unwrap();
    let bytes = write(&mut file, object).unwrap();
    assert_eq!(file.metadata().unwrap().len(), bytes);
    (file, bytes)
}

#[test]
fn what_is_written_is_read_again() {
    for object in [opaque(&["base"]), opaque(&["", "one", ""]), native()] {
        let (file, bytes) = written(&object);
        let scanned = scan(&file).unwrap();
        assert_eq!((&scanned.info, scanned.bytes, scanned.is_torn), (&object.info(), bytes, false));
        assert_eq!(scanned.recorded, None);
        for generation in [0, 7] {
            mark_recorded(&file, generation, object.version()).unwrap();
            assert_eq!(scan(&file).unwrap().recorded, Some(generation));
        }
        assert_eq!(read(&file, bytes).unwrap(), object);
    }
}

#[test]
fn patches_are_written_behind_what_is_there() {
    let whole = opaque(&["base", "one", "two"]);
    let Content::Opaque(parts) = &whole.content else { unreachable!() };
    let base = opaque(&["base"]);
    let (file, bytes) = written(&base);
    mark_recorded(&file, 7, base.version()).unwrap();
    let end = append(&file, bytes, &parts[1..]).unwrap();
    assert_eq!(scan(&file).unwrap().recorded, None, "it was an earlier version");
    assert_eq!(read(&file, end).unwrap(), whole);
    assert_eq!(read(&file, bytes).unwrap(), opaque(&["base"]), "who knows the old length reads the old version");
    assert_eq!(scan(&file).unwrap().info, whole.info());
}

#[test]
fn a_patch_that_was_never_finished_is_cut_off_wherever_it_ended() {
    let before = opaque(&["base", "one"]);
    let whole = opaque(&["base", "one", "a longer patch"]);
    let (file, bytes) = written(&before);
    let Content::Opaque(parts) = &whole.content else { unreachable!() };
    let end = append(&file, bytes, &parts[2..]).unwrap();
    for length in bytes + 1..end {
        file.set_len(length).unwrap();
        let scanned = scan(&file).unwrap();
        assert_eq!((&scanned.info, scanned.bytes, scanned.is_torn), (&before.info(), bytes, true), "{length}");
        // The length of what was written, and not its bytes.
        file.set_len(end).unwrap();
        let scanned = scan(&file).unwrap();
        assert_eq!((scanned.bytes, scanned.is_torn), (bytes, true), "{length}, then zeros");
        append(&file, bytes, &parts[2..]).unwrap();
    }
    assert_eq!(read(&file, end).unwrap(), whole);
}

#[test]
fn every_flipped_bit_is_seen() {
    for object in [opaque(&["base", "one"]), native()] {
        let (file, bytes) = written(&object);
        for at in (0..bytes).filter(|at| !(RECORDED_AT..HEAD_LEN_AT).contains(&(*at as usize))) {
            let mut byte = [0];
            file.read_exact_at(&mut byte, at).unwrap();
            file.write_all_at(&[byte[0] ^ 4], at).unwrap();
            assert!(read(&file, bytes).is_err(), "byte {at}");
            file.write_all_at(&byte, at).unwrap();
        }
        assert_eq!(read(&file, bytes).unwrap(), object);
    }
}

#[test]
fn what_is_no_object_is_refused() {
    for text in ["", "short", "this is some text that is no object at all, but long enough"] {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        assert!(scan(&file).is_err(), "{text:?}");
    }
    let (file, _) = written(&opaque(&["base"]));
    file.write_all_at(&9_u16.to_le_bytes(), 8).unwrap();
    assert!(scan(&file).unwrap_err().to_string().contains("format 9"));
}
