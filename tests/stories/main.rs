//! Stories: the real binary between real peers, one story a file; its first line says what the
//! operator would see.

#[cfg(test)]
#[path = "../support/mod.rs"]
pub mod support;

#[cfg(test)]
mod peers_answer;
