//! The way in for the fuzz target `letters`: any bytes as a letter's line.

use super::letter;

/// What is read is written so that it reads the same.
pub fn letters(bytes: &[u8]) {
    if let Ok(read) = letter::decode(bytes) {
        let line = letter::encode(&read);
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1, "a letter is one line");
        assert_eq!(letter::decode(&line).as_ref(), Ok(&read));
    }
}
