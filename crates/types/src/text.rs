//! Texts for people that are kept: of bounded length, whoever wrote them.

use crate::limits::MESSAGE_TEXT_BYTES_MAX;

/// Cuts a text to what is kept of one, at a character, with a mark where it was cut.
#[must_use]
pub fn kept_text(mut text: String) -> String {
    const MARK: &str = "…";
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
    fn a_text_within_the_limit_stays_as_it_is() {
        let longest = "x".repeat(MESSAGE_TEXT_BYTES_MAX);
        assert_eq!(kept_text(longest.clone()), longest);
    }

    #[test]
    fn a_longer_one_is_cut_between_characters_and_stays_within_the_limit() {
        for width in ["x", "ä", "€", "🔥"] {
            let cut = kept_text(width.repeat(MESSAGE_TEXT_BYTES_MAX + 1));
            assert!(cut.len() <= MESSAGE_TEXT_BYTES_MAX && cut.len() > MESSAGE_TEXT_BYTES_MAX - 8, "{}", cut.len());
            assert!(cut.ends_with('…') && cut.trim_end_matches('…').chars().all(|each| width.starts_with(each)));
        }
    }
}
