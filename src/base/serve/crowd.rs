//! How many connections each sender has.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::base::nets::sender_of;

/// It remembers only those who are connected, so it is as small as the connections are few.
#[derive(Debug)]
pub(super) struct Crowd {
    max_each: usize,
    senders: Mutex<HashMap<IpAddr, usize>>,
}

/// A place among the connections of a sender, given back when dropped. The default holds none.
#[derive(Debug, Default)]
pub(super) struct Place(Option<(Arc<Crowd>, IpAddr)>);

impl Crowd {
    pub(super) fn new(max_each: usize) -> Arc<Self> {
        Arc::new(Self { max_each, senders: Mutex::default() })
    }

    /// `None` if this sender has as many as it may have.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let sender = sender_of(address);
        let mut senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        let count = senders.entry(sender).or_default();
        if *count >= self.max_each {
            return None;
        }
        *count += 1;
        Some(Place(Some((self.clone(), sender))))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some((crowd, sender)) = self.0.take() else { return };
        let mut senders = crowd.senders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = senders.get_mut(&sender) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                senders.remove(&sender);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_has_so_many_places_and_nobody_is_remembered_who_left() {
        let crowd = Crowd::new(2);
        let enter = |address: &str| crowd.enter(address.parse().unwrap());

        let (first, second) = (enter("10.0.0.1"), enter("::ffff:10.0.0.1"));
        assert!(first.is_some() && second.is_some());
        assert!(enter("10.0.0.1").is_none());
        let other = enter("10.0.0.2");
        assert!(other.is_some());
        drop(first);
        let again = enter("10.0.0.1");
        assert!(again.is_some());
        drop((second, other, again));

        assert!(crowd.senders.lock().unwrap().is_empty());
    }
}
