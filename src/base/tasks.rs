//! Named tasks: the first failure is reported to the owner, and a panic is a failure.

use std::fmt;
use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use tokio::task::JoinSet;

/// The tasks of one part of the process. Dropping it aborts what still runs.
#[derive(Debug, Default)]
pub struct Tasks(JoinSet<(String, Result<(), String>)>);

/// Why a task ended that should not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// The name it was spawned with.
    pub task: String,
    /// Its own words, or those of its panic.
    pub why: String,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task `{}` failed: {}", self.task, self.why)
    }
}

impl Tasks {
    /// No tasks yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a task that ends by itself, with or without a complaint.
    pub fn spawn<F, E>(&mut self, name: impl Into<String>, work: F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display + Send + 'static,
    {
        let name = name.into();
        self.0.spawn(async move {
            let end = guarded(work).await;
            (name, end)
        });
    }

    /// Waits for the next task to end; `None` when there is none left.
    ///
    /// # Errors
    /// The failure of the task that ended.
    pub async fn next_end(&mut self) -> Option<Result<String, Failed>> {
        poll_fn(|context| self.poll_next_end(context)).await
    }

    /// The same, for who waits for several of these at once.
    pub fn poll_next_end(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<String, Failed>>> {
        let ended = ready!(self.0.poll_join_next(context));
        Poll::Ready(ended.map(|ended| match ended {
            Ok((task, Ok(()))) => Ok(task),
            Ok((task, Err(why))) => Err(Failed { task, why }),
            Err(error) => Err(Failed { task: "unnamed".into(), why: error.to_string() }),
        }))
    }

    /// Waits for all of them.
    ///
    /// # Errors
    /// The first failure; the others are aborted then.
    pub async fn finish(&mut self) -> Result<(), Failed> {
        while let Some(ended) = self.next_end().await {
            ended?;
        }
        Ok(())
    }
}

/// Work under way that ends with a value. Dropping it aborts what still runs.
#[derive(Debug)]
pub struct Jobs<T>(JoinSet<T>);

impl<T: Send + 'static> Default for Jobs<T> {
    fn default() -> Self {
        Self(JoinSet::new())
    }
}

impl<T: Send + 'static> Jobs<T> {
    /// Starts one.
    pub fn spawn(&mut self, work: impl Future<Output = T> + Send + 'static) {
        self.0.spawn(work);
    }

    /// How many did not end yet, or were not taken note of.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of the next one that ends; waits for ever while there are none. Dropping the
    /// future loses nothing.
    ///
    /// # Errors
    /// In words, when one panicked.
    pub async fn next_value(&mut self) -> Result<T, String> {
        match self.0.join_next().await {
            Some(Ok(value)) => Ok(value),
            Some(Err(error)) => Err(format!("it panicked: {error}")),
            None => std::future::pending().await,
        }
    }
}

/// Turns a panic of the work into its complaint, so that the name is not lost with it.
async fn guarded<F, E>(work: F) -> Result<(), String>
where
    F: Future<Output = Result<(), E>> + Send + 'static,
    E: fmt::Display + Send + 'static,
{
    let mut one = JoinSet::new();
    one.spawn(work);
    match one.join_next().await {
        Some(Ok(Ok(()))) | None => Ok(()),
        Some(Ok(Err(error))) => Err(error.to_string()),
        Some(Err(error)) => Err(format!("it panicked: {error}")),
    }
}

/// Runs work that blocks (disk, compression) away from the async threads and waits for its end.
///
/// # Panics
/// If the work itself panicked; the panic goes on in the caller, whose task reports it.
#[expect(clippy::disallowed_methods, reason = "the one place that looks after the panic")]
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The runtime is going away; nobody will look at the answer any more.
        Err(_) => std::future::pending().await,
    }
}

/// Runs work that turned out to be long where it is, and lets others go on elsewhere if this is one
/// of several async threads.
pub fn aside<T>(work: impl FnOnce() -> T) -> T {
    let runtime = tokio::runtime::Handle::try_current().map(|runtime| runtime.runtime_flavor());
    match runtime {
        Ok(tokio::runtime::RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

/// Starts blocking work nobody waits for; it must not panic, it has nobody to tell.
#[expect(clippy::disallowed_methods, reason = "the work takes care of itself")]
pub fn blocking_detached(work: impl FnOnce() + Send + 'static) {
    drop(tokio::task::spawn_blocking(work));
}

/// Starts work nobody waits for; it must not panic. `false`, and nothing is started, where no
/// runtime runs (a tool that looks into files without being the agent).
pub fn detached(work: impl Future<Output = ()> + Send + 'static) -> bool {
    let runtime = tokio::runtime::Handle::try_current();
    runtime.map(|runtime| drop(runtime.spawn(work))).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_and_an_error_are_failures_with_the_name_of_their_task() {
        let mut tasks = Tasks::new();
        tasks.spawn("quiet", async { Ok::<(), String>(()) });
        assert_eq!(tasks.next_end().await, Some(Ok("quiet".into())));

        tasks.spawn("loud", async { Err("no room") });
        let failed = tasks.finish().await.unwrap_err();
        assert_eq!(failed.to_string(), "task `loud` failed: no room");

        tasks.spawn("broken", async {
            let empty: Vec<u8> = Vec::new();
            assert!(!empty.is_empty(), "it held nothing");
            Ok::<(), String>(())
        });
        let failed = tasks.finish().await.unwrap_err();
        assert_eq!(failed.task, "broken");
        assert!(failed.why.contains("it held nothing"), "{}", failed.why);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn others_go_on_beside_long_work() {
        let (said, heard) = std::sync::mpsc::sync_channel(1);
        let mut tasks = Tasks::new();
        tasks.spawn("outer", async move {
            let mut others = Tasks::new();
            others.spawn("other", async move { said.send(7).map_err(|_| "nobody listens") });
            // The only thread is taken until the other one has spoken.
            let answer = aside(|| heard.recv_timeout(std::time::Duration::from_secs(60)));
            others.finish().await.map_err(|failed| failed.to_string())?;
            if answer == Ok(7) { Ok(()) } else { Err(format!("{answer:?}")) }
        });
        tasks.finish().await.unwrap();
    }

    #[tokio::test]
    async fn where_there_is_one_thread_long_work_is_done_all_the_same() {
        assert_eq!(aside(|| 7), 7);
    }
}
