//! The threads that read and count long texts, so that the proxy's threads need not.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::Error;
use crate::queue::Queue;

/// How many threads: few, because each keeps a memo of about a megabyte for each vocabulary.
const THREADS: usize = 2;

/// How many texts may wait.
const WAITING: usize = 256;

const NAME: &str = "text";

type Work = Box<dyn FnOnce() + Send>;

static QUEUE: OnceLock<Arc<Queue<Work>>> = OnceLock::new();

/// Runs `work` on a text thread. The threads start with the first call and stay; work whose answer nobody waits for any
/// more is skipped.
pub(crate) fn run<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> impl Future<Output = Result<T, Error>> + Send + 'static {
    let queue = QUEUE.get_or_init(|| start(Arc::new(Queue::new(WAITING))));
    let (sender, receiver) = oneshot::channel();
    let pushed = queue.push(Box::new(move || {
        if !sender.is_closed() {
            let _ = sender.send(work());
        }
    }));
    async move {
        pushed.map_err(|waiting| Error::QueueFull { name: NAME.into(), waiting })?;
        receiver.await.map_err(|_| Error::Stopped { name: NAME.into() })
    }
}

fn start(queue: Arc<Queue<Work>>) -> Arc<Queue<Work>> {
    for number in 0..THREADS {
        let own = Arc::clone(&queue);
        let started = std::thread::Builder::new().name(format!("weir-text-{number}")).spawn(move || {
            while let Some(batch) = own.take(1, Duration::ZERO) {
                for work in batch {
                    // A panic in a tokenizer costs the text at hand its answer, not the thread.
                    let _ = catch_unwind(AssertUnwindSafe(work));
                }
            }
        });
        if let Err(cause) = started {
            tracing::error!(%cause, "a text thread could not start");
            if number == 0 {
                queue.close();
            }
        }
    }
    queue
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::block_on;

    #[test]
    fn a_panic_costs_its_own_text_the_answer_and_no_other() {
        for _ in 0..THREADS * 2 {
            let stopped = block_on(run(|| -> u32 { panic!("a broken text") }));
            assert_eq!(stopped, Err(Error::Stopped { name: NAME.into() }));
        }
        assert_eq!(block_on(run(|| 7)), Ok(7));
    }
}
