//! "Did you mean": only when near, for a wild guess is worse than none.

/// The nearest of `known` within an edit distance of 1 + a quarter of the length, with a letter in common.
pub(super) fn nearest<'a>(
    written: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let length = written.chars().count();
    let most = 1 + length / 4;
    known
        .into_iter()
        // A difference in length is a lower bound of the distance, and cheap.
        .filter(|word| word.chars().count().abs_diff(length) <= most)
        .map(|word| (strsim::damerau_levenshtein(written, word), word))
        .filter(|(distance, _)| *distance <= most && *distance < length)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_name_is_suggested_only_when_it_is_near() {
        let known = ["max_body", "max_unpacked", "auth", "listen"];

        assert_eq!(nearest("max_bdy", known), Some("max_body"));
        assert_eq!(nearest("lisetn", known), Some("listen"), "a swap of neighbours is one slip");
        assert_eq!(nearest("ath", known), Some("auth"));
        assert_eq!(nearest("oauth2", known), Some("auth"), "two slips in six letters");
        assert_eq!(nearest("port", known), None);
        assert_eq!(nearest("", known), None);
        assert_eq!(nearest("b", ["a"]), None, "nothing is left of the one letter");
    }
}
