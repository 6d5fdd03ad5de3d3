//! Randomness that protects nobody: jitter and ids. Secrets come from the system instead.

/// A number in `[0, 1)`.
pub fn fraction() -> f64 {
    fastrand::f64()
}

/// 128 random bits for an id.
pub fn bits() -> u128 {
    fastrand::u128(..)
}

/// Fills `buffer` from the system's generator, fit for secrets.
///
/// # Errors
/// If the system has no generator.
pub fn secret_bytes(buffer: &mut [u8]) -> std::io::Result<()> {
    use std::io::Read as _;
    std::fs::File::open("/dev/urandom")?.read_exact(buffer)
}
