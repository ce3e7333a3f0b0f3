//! A few threads for what may wait for a disk or a key management service and is not on the way of every command:
//! opening a group's pages, wrapping a new group's key. What waits for a service has threads of its own, so that one that
//! hangs keeps nobody waiting who has his keys. Beside the first, a thread starts when there is a job that nobody is free for.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// As many as may wait for the disk at once.
pub(crate) const DISK_THREADS: usize = 4;
/// As many as may wait for a slow provider at once before others that need it wait for them.
pub(crate) const PROVIDER_THREADS: usize = 8;

/// The threads. Dropping this ends them after what was begun.
#[derive(Debug)]
pub(crate) struct Workers {
    name: &'static str,
    most: usize,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// There is a job, or no more will come.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    /// Threads that wait for a job, or are about to begin.
    free: usize,
    threads: Vec<JoinHandle<()>>,
    ended: bool,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { jobs, free, threads, ended } = self;
        write!(f, "{} jobs, {free} of {} threads free, ended: {ended}", jobs.len(), threads.len())
    }
}

impl Workers {
    /// At most so many threads of this name, of which one is there from now on.
    ///
    /// # Errors
    /// That of the operating system, which starts no thread.
    pub(crate) fn start(name: &'static str, most: usize) -> io::Result<Self> {
        let this = Self { name, most, shared: Arc::default() };
        this.add_thread(&mut this.shared.lock())?;
        Ok(this)
    }

    /// Runs `job` on one of the threads; the answer does not come if it panics.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> oneshot::Receiver<T> {
        let (done, answer) = oneshot::channel();
        let mut state = self.shared.lock();
        state.jobs.push_back(Box::new(move || drop(done.send(job()))));
        if state.free < state.jobs.len()
            && state.threads.len() < self.most
            && let Err(error) = self.add_thread(&mut state)
        {
            // Those that there are do it, one after the other.
            tracing::warn!(%error, name = self.name, "no further thread could be started");
        }
        self.shared.changed.notify_one();
        answer
    }

    fn add_thread(&self, state: &mut State) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let thread = thread::Builder::new().name(format!("{}-{}", self.name, state.threads.len()));
        state.threads.push(thread.spawn(move || shared.work())?);
        state.free += 1;
        Ok(())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut state = self.lock();
        state.free -= 1;
        loop {
            match state.jobs.pop_front() {
                Some(job) => {
                    drop(state);
                    // Whoever waits for its answer notices that none comes; the thread goes on.
                    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
                    state = self.lock();
                }
                None if state.ended => return,
                None => {
                    state.free += 1;
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                    state.free -= 1;
                }
            }
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        let threads = {
            let mut state = self.shared.lock();
            state.ended = true;
            std::mem::take(&mut state.threads)
        };
        self.shared.changed.notify_all();
        for thread in threads {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;
    use crate::store::block_on;

    #[test]
    fn as_many_jobs_run_at_once_as_there_may_be_threads_and_the_rest_waits_its_turn() {
        let workers = Workers::start("test", 3).unwrap();
        // Passed only if three are there at once, each time.
        let barrier = Arc::new(Barrier::new(3));
        let jobs: Vec<_> = (0..9)
            .map(|number| {
                let barrier = Arc::clone(&barrier);
                workers.run(move || {
                    barrier.wait();
                    number
                })
            })
            .collect();
        let answers: Vec<_> = jobs.into_iter().map(|job| block_on(job).unwrap()).collect();
        assert_eq!(answers, (0..9).collect::<Vec<_>>());
        assert_eq!(workers.shared.lock().threads.len(), 3);
    }

    #[test]
    fn a_thread_that_is_free_takes_the_next_job() {
        let workers = Workers::start("test", 3).unwrap();
        for number in 0..20 {
            assert_eq!(block_on(workers.run(move || number)), Ok(number));
            while workers.shared.lock().free == 0 {
                thread::yield_now();
            }
        }
        assert_eq!(workers.shared.lock().threads.len(), 1);
    }

    #[test]
    fn a_job_that_panics_has_no_answer_and_the_next_one_has() {
        let workers = Workers::start("test", 1).unwrap();
        assert!(block_on(workers.run(|| panic!("as the test wants"))).is_err());
        assert_eq!(block_on(workers.run(|| 7)), Ok(7));
    }

    #[test]
    fn what_was_begun_is_done_before_the_threads_end() {
        let workers = Workers::start("test", 2).unwrap();
        let jobs: Vec<_> = (0..50).map(|number| workers.run(move || number)).collect();
        drop(workers);
        assert!(jobs.into_iter().enumerate().all(|(number, job)| block_on(job) == Ok(number)));
    }
}
