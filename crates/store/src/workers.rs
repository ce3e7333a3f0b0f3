//! A few threads for what may wait for a disk or a key management service and is not on the way of every command:
//! opening a group's pages, wrapping a new group's key. What waits for a service has threads of its own, so that one that
//! hangs keeps nobody waiting who has his keys.

use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// As many as may wait for the disk at once.
pub(crate) const DISK_THREADS: usize = 4;
/// As many as may wait for a slow provider at once before others that need it wait for them.
pub(crate) const PROVIDER_THREADS: usize = 8;

/// The threads. Dropping this ends them after what was begun.
#[derive(Debug)]
pub(crate) struct Workers {
    jobs: Option<Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// So many threads of this name.
    pub(crate) fn start(name: &str, count: usize) -> std::io::Result<Self> {
        let (jobs, waiting) = mpsc::channel::<Job>();
        let waiting = Arc::new(Mutex::new(waiting));
        let mut threads = Vec::with_capacity(count);
        for index in 0..count {
            let waiting = Arc::clone(&waiting);
            let thread = std::thread::Builder::new().name(format!("{name}-{index}"));
            threads.push(thread.spawn(move || work(&waiting))?);
        }
        Ok(Self { jobs: Some(jobs), threads })
    }

    /// Runs `job` on one of the threads; the answer does not come if it panics.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> oneshot::Receiver<T> {
        let (done, answer) = oneshot::channel();
        if let Some(jobs) = &self.jobs {
            let _ = jobs.send(Box::new(move || drop(done.send(job()))));
        }
        answer
    }
}

fn work(waiting: &Mutex<Receiver<Job>>) {
    loop {
        // The lock is held while waiting for a job, not while doing it.
        let job = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match job {
            Ok(job) => job(),
            Err(_) => return,
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // A job that panicked has told its caller by not answering.
            let _ = thread.join();
        }
    }
}
