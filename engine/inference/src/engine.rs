//! The threads of one model: texts come in through a bounded queue, are run in batches, and go back one by one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::queue::Queue;
use crate::session::{Model, Row};
use crate::{Error, Options};

/// Turns what the model said of one text into the answer; an error is a model that is not what its manifest says.
pub(crate) type Head<T> = Arc<dyn Fn(Row<'_>) -> Result<T, String> + Send + Sync>;

/// A model at work. Dropping it ends its threads, once what waits is answered.
pub(crate) struct Engine<T> {
    name: Arc<str>,
    queue: Arc<Queue<Job<T>>>,
}

struct Job<T> {
    ids: Vec<u32>,
    reply: oneshot::Sender<Result<T, Error>>,
}

impl<T: Send + 'static> Engine<T> {
    /// Starts a thread for each model given, after each has answered `warm_up` once.
    pub(crate) fn start(
        name: &str,
        mut models: Vec<Model>,
        head: Head<T>,
        warm_up: &[u32],
        options: &Options,
    ) -> Result<Self, Error> {
        let fault = |cause: String| Error::Load { name: name.to_owned(), cause };
        for model in &mut models {
            let answers = model.run(&[warm_up], |row| head(row)).map_err(fault)?;
            answers.into_iter().collect::<Result<Vec<T>, String>>().map_err(fault)?;
        }
        let engine = Engine { name: name.into(), queue: Arc::new(Queue::new(options.queue)) };
        for (number, model) in models.into_iter().enumerate() {
            let worker = Worker {
                name: Arc::clone(&engine.name),
                queue: Arc::clone(&engine.queue),
                model,
                head: Arc::clone(&head),
                batch: options.batch.max(1),
                linger: options.linger,
            };
            std::thread::Builder::new()
                .name(format!("weir-{name}-{number}"))
                .spawn(move || worker.work())
                .map_err(|cause| fault(cause.to_string()))?;
        }
        Ok(engine)
    }

    /// The model's name.
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Hands token ids to the model, now; the future waits for the answer. A full queue is an error at once.
    pub(crate) fn ask(&self, ids: Vec<u32>) -> impl Future<Output = Result<T, Error>> + Send + use<T> {
        let (reply, answer) = oneshot::channel();
        let pushed = self.queue.push(Job { ids, reply });
        let name = Arc::clone(&self.name);
        async move {
            if let Err(waiting) = pushed {
                return Err(Error::QueueFull { name, waiting });
            }
            answer.await.unwrap_or(Err(Error::Stopped { name }))
        }
    }
}

impl<T> Drop for Engine<T> {
    fn drop(&mut self) {
        self.queue.close();
    }
}

struct Worker<T> {
    name: Arc<str>,
    queue: Arc<Queue<Job<T>>>,
    model: Model,
    head: Head<T>,
    batch: usize,
    linger: Duration,
}

impl<T> Worker<T> {
    /// Runs batches until the queue is closed.
    ///
    /// A text that comes alone is run at once: waiting for company would cost it the linger for nothing. Only where the
    /// last batch had company does the next one wait for more.
    fn work(mut self) {
        let mut crowded = false;
        while let Some(mut jobs) =
            self.queue.take(self.batch, if crowded { self.linger } else { Duration::ZERO })
        {
            jobs.retain(|job| !job.reply.is_closed());
            crowded = jobs.len() > 1;
            jobs.sort_by_key(|job| job.ids.len());
            while !jobs.is_empty() {
                let rest = jobs.split_off(alike(&jobs));
                self.answer(jobs);
                jobs = rest;
            }
        }
    }

    /// Runs jobs together and replies to each.
    fn answer(&mut self, jobs: Vec<Job<T>>) {
        let texts: Vec<&[u32]> = jobs.iter().map(|job| job.ids.as_slice()).collect();
        let head = &self.head;
        // A panic costs the texts at hand their answer, not the thread.
        let ran = catch_unwind(AssertUnwindSafe(|| self.model.run(&texts, |row| head(row))));
        let failed = |cause: String| Error::Run { name: Arc::clone(&self.name), cause: cause.into() };
        match ran {
            Ok(Ok(answers)) => {
                for (job, answer) in jobs.into_iter().zip(answers) {
                    let _ = job.reply.send(answer.map_err(failed));
                }
            }
            Ok(Err(cause)) => {
                let error = failed(cause);
                tracing::error!(%error, "a batch failed");
                for job in jobs {
                    let _ = job.reply.send(Err(error.clone()));
                }
            }
            Err(_) => tracing::error!(model = %self.name, "a batch panicked"),
        }
    }
}

/// How many of the jobs, shortest first, may run together: as long as the longest is not half as long again as the first,
/// or padding would cost more than the company saves.
fn alike<T>(jobs: &[Job<T>]) -> usize {
    let shortest = jobs.first().map_or(0, |job| job.ids.len());
    jobs.partition_point(|job| job.ids.len() <= shortest + shortest / 2 + 8).max(1)
}
