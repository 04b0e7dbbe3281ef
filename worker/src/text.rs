//! Texts for people, cut to the size that the cluster keeps.

use flame_types::limits::MESSAGE_TEXT_BYTES_MAX;

/// Cuts a text to what the cluster keeps of an error, with a mark where it was cut.
pub(crate) fn cut(mut text: String) -> String {
    const MARK: &str = " …";
    if text.len() > MESSAGE_TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(MESSAGE_TEXT_BYTES_MAX - MARK.len()));
        text.push_str(MARK);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(cut("short".into()), "short");
        let long = cut("ä".repeat(10_000));
        assert!(long.len() <= MESSAGE_TEXT_BYTES_MAX && long.ends_with(" …"), "{}", long.len());
    }
}
