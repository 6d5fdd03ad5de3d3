//! A disk in memory that fails on request, for tests.

/// Placeholder until the faults are written.
#[derive(Debug)]
pub struct FaultyDisk;
/// Placeholder until the faults are written.
#[derive(Debug)]
pub struct Faults;
