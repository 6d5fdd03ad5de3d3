//! A text that shares the bytes it was read from.

use std::fmt;
use std::ops::Deref;

use bytes::Bytes;

/// A text that is cheap to clone, and to read from a record's bytes: it has no memory of its own.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Text(Bytes);

impl Text {
    /// As a `str`.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("nothing but text is made a Text, see `try_from`")
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl TryFrom<Bytes> for Text {
    type Error = std::str::Utf8Error;

    fn try_from(bytes: Bytes) -> Result<Self, Self::Error> {
        std::str::from_utf8(&bytes)?;
        Ok(Self(bytes))
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_text_becomes_a_text_and_it_shares_its_bytes() {
        let bytes = Bytes::from_static("né".as_bytes());
        let text = Text::try_from(bytes.clone()).unwrap();
        assert_eq!((&*text, text.as_ptr()), ("né", bytes.as_ptr()));
        assert!(Text::try_from(bytes.slice(..2)).is_err());
        assert_eq!((Text::from("a"), Text::default().as_str()), (Text::from("a".to_owned()), ""));
    }
}
