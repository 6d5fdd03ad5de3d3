//! Stories: the real binary between real peers, one story a file; its first line says what the
//! operator would see.

#[cfg(test)]
#[path = "../support/mod.rs"]
pub mod support;

#[cfg(test)]
mod aggregates;
#[cfg(test)]
mod audited;
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod batch;
#[cfg(test)]
mod booted;
#[cfg(test)]
mod callers;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod clients;
#[cfg(test)]
mod consumed;
#[cfg(test)]
mod containers;
#[cfg(test)]
mod credentials;
#[cfg(test)]
mod dashboard;
#[cfg(test)]
mod dead_letters;
#[cfg(test)]
mod demo;
#[cfg(test)]
mod device;
#[cfg(test)]
mod disk_full;
#[cfg(test)]
mod doctor;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod fuzzed;
#[cfg(test)]
mod hushed;
#[cfg(test)]
mod idempotency;
#[cfg(test)]
mod idle;
#[cfg(test)]
mod image;
#[cfg(test)]
mod jammed;
#[cfg(test)]
mod killed;
#[cfg(test)]
mod listeners;
#[cfg(test)]
mod manual;
#[cfg(test)]
mod many_streams;
#[cfg(test)]
mod metered;
#[cfg(test)]
mod ordered;
#[cfg(test)]
mod packaged;
#[cfg(test)]
mod peers_answer;
#[cfg(test)]
mod polled;
#[cfg(test)]
mod put_away;
#[cfg(test)]
mod queue_at_start;
#[cfg(test)]
mod queue_tools;
#[cfg(test)]
mod quiet_log;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod reloaded;
#[cfg(test)]
mod remembered;
#[cfg(test)]
mod roles;
#[cfg(test)]
mod rotated;
#[cfg(test)]
mod scraped;
#[cfg(test)]
mod sealed;
#[cfg(test)]
mod sealed_faults;
#[cfg(test)]
mod slow_uplink;
#[cfg(test)]
mod soak;
#[cfg(test)]
mod state_store;
#[cfg(test)]
mod stop;
#[cfg(test)]
mod supervised;
#[cfg(test)]
mod suspected;
#[cfg(test)]
mod sync_levels;
#[cfg(test)]
mod tailed;
#[cfg(test)]
mod traced;
#[cfg(test)]
mod transforms;
#[cfg(test)]
mod unsure_size;
#[cfg(test)]
mod uplink;
#[cfg(test)]
mod watched;
#[cfg(test)]
mod whole_path;
