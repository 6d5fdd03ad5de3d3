//! Tasks in groups that are asked to stop together, one group or all of them.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::task::Poll;

use tokio::time::{Instant, timeout_at};
use tracing::{error, warn};

use crate::base::shutdown::{self, Stop, Stopping};
use crate::base::tasks::{Failed, Tasks};

/// Tasks that are asked to stop together.
pub(super) struct Group {
    pub(super) tasks: Tasks,
    stop: Stop,
    stopping: Stopping,
}

impl Group {
    pub(super) fn new() -> Self {
        let (stop, stopping) = shutdown::channel();
        Self { tasks: Tasks::new(), stop, stopping }
    }

    /// What its tasks watch.
    pub(super) fn stopping(&self) -> Stopping {
        self.stopping.clone()
    }

    /// An end of any of these tasks is a failure as long as nobody asked; none at all is not.
    pub(super) async fn failure(&mut self) -> Failed {
        match self.tasks.next_end().await {
            Some(ended) => unasked(ended),
            None => std::future::pending().await,
        }
    }

    /// The end of all of them, or the first failure; never, if there are none.
    pub(super) async fn end(&mut self) -> Result<(), Failed> {
        let first = self.tasks.next_end().await;
        match first {
            Some(first) => first?,
            None => return std::future::pending().await,
        };
        self.tasks.finish().await
    }

    /// Asks all to stop and waits for them; cuts off those that are not done in time.
    pub(super) async fn finish(&mut self, what: &str, until: Instant) {
        self.stop.ask();
        match timeout_at(until, self.tasks.finish()).await {
            Ok(Ok(())) => {}
            Ok(Err(failed)) => {
                error!(task = failed.task, why = failed.why, "failed while stopping");
            }
            Err(_) => warn!(what, "did not stop in time and were cut off"),
        }
        self.tasks = Tasks::new();
    }
}

/// Groups by name, each of which can be exchanged while the others go on.
#[derive(Default)]
pub(super) struct Crew(BTreeMap<String, Group>);

impl Crew {
    /// The group of this name; a new one if there is none yet.
    pub(super) fn group(&mut self, name: &str) -> &mut Group {
        self.0.entry(name.to_owned()).or_insert_with(Group::new)
    }

    /// Like [`Group::failure`], of any of them.
    pub(super) async fn failure(&mut self) -> Failed {
        poll_fn(|context| {
            for group in self.0.values_mut() {
                if let Poll::Ready(Some(ended)) = group.tasks.poll_next_end(context) {
                    return Poll::Ready(unasked(ended));
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Stops these groups, the others go on.
    pub(super) async fn dismiss<'n>(
        &mut self,
        names: impl IntoIterator<Item = &'n String>,
        until: Instant,
    ) {
        let names: Vec<_> = names.into_iter().collect();
        names.iter().filter_map(|name| self.0.get(*name)).for_each(|group| group.stop.ask());
        for name in names {
            if let Some(mut group) = self.0.remove(name) {
                group.finish(name, until).await;
            }
        }
    }

    /// Stops all of them.
    pub(super) async fn finish(&mut self, until: Instant) {
        let names: Vec<_> = self.0.keys().cloned().collect();
        self.dismiss(&names, until).await;
    }

    /// Lets go of whatever is under way.
    pub(super) fn cut_off(&mut self) {
        self.0.clear();
    }
}

fn unasked(ended: Result<String, Failed>) -> Failed {
    match ended {
        Err(failed) => failed,
        Ok(task) => Failed { task, why: "it ended by itself".into() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn until_asked(mut stopping: Stopping) -> Result<(), String> {
        stopping.asked().await;
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn a_group_that_is_dismissed_ends_and_the_others_go_on() {
        let mut crew = Crew::default();
        for name in ["a", "b"] {
            let group = crew.group(name);
            let stopping = group.stopping();
            group.tasks.spawn(name, until_asked(stopping));
        }
        let soon = Instant::now() + std::time::Duration::from_secs(1);

        crew.dismiss(&["a".to_owned(), "nobody".to_owned()], soon).await;
        let quiet = timeout_at(soon, crew.failure()).await;
        assert!(quiet.is_err(), "the other one goes on: {quiet:?}");

        let group = crew.group("c");
        group.tasks.spawn("c", async { Err::<(), _>("broken") });
        let failed = crew.failure().await;
        assert_eq!((failed.task.as_str(), failed.why.as_str()), ("c", "broken"));
    }
}
