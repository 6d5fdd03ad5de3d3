//! The queue's own insider tests, by the question they answer.

mod faults;
mod flips;
mod formats;
mod known_errors;
mod lapses;
mod levels;
mod limits;
mod live;
mod model;
mod recovery;
mod recycling;
mod reopened;
mod repeats;
pub(super) mod rig;
mod sealed;
mod second_looks;
mod sizes;
mod standing;
mod unreadable;
