//! A value that comes later, from another thread: for one who waits.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

/// A value that comes later.
#[derive(Debug)]
pub(crate) struct Promise<T>(Mutex<Progress<T>>);

#[derive(Debug)]
struct Progress<T> {
    came: Option<T>,
    waker: Option<Waker>,
}

impl<T> Default for Promise<T> {
    fn default() -> Self {
        Self(Mutex::new(Progress { came: None, waker: None }))
    }
}

impl<T> Promise<T> {
    /// Here it is.
    pub(crate) fn come(&self, value: T) {
        let waker = {
            let mut progress = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            progress.came = Some(value);
            progress.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Takes it, if it has come.
    pub(crate) fn poll(&self, context: &mut Context<'_>) -> Poll<T> {
        let mut progress = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match progress.came.take() {
            Some(value) => Poll::Ready(value),
            None => {
                progress.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Waits until it has come.
    pub(crate) fn wait(&self) -> impl Future<Output = T> + Send + '_
    where
        T: Send,
    {
        Kept(self)
    }
}

struct Kept<'a, T>(&'a Promise<T>);

impl<T> Future for Kept<'_, T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        self.0.poll(context)
    }
}
