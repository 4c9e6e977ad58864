use super::*;
use proptest::prelude::*;

fn ask(permits: &Arc<Permits>, limit: u64, queue: usize) -> Admission {
    permits.ask(Space::Live, "m", "s", limit, queue)
}

fn granted(admission: Admission) -> Admitted {
    let Admission::Granted(permit) = admission else { panic!("not granted") };
    permit
}

fn queued(admission: Admission) -> Queued {
    let Admission::Queued(queued) = admission else { panic!("not queued") };
    queued
}

fn poll(queued: &mut Queued) -> Option<Admitted> {
    match Pin::new(queued).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(permit) => Some(permit.expect("nobody is refused who has a place in line")),
        Poll::Pending => None,
    }
}

#[test]
fn no_more_than_the_limit_are_out_and_each_subject_has_its_own() {
    let permits = Arc::new(Permits::new());
    let first = granted(ask(&permits, 2, 0));
    let _second = granted(ask(&permits, 2, 0));
    assert!(matches!(ask(&permits, 2, 0), Admission::Refused));
    let _other = granted(permits.ask(Space::Live, "m", "other", 2, 0));
    let _shadow = granted(permits.ask(Space::Shadow, "m", "s", 2, 0));
    drop(first);
    let _third = granted(ask(&permits, 2, 0));
    assert!(matches!(ask(&permits, 2, 0), Admission::Refused));
    let _raised = granted(ask(&permits, 3, 0));
    assert_eq!(permits.out(Space::Live, "m", "s"), 3);
}

#[test]
fn the_line_is_served_in_order_and_not_overtaken() {
    let permits = Arc::new(Permits::new());
    let first = granted(ask(&permits, 1, 2));
    let (mut one, mut two) = (queued(ask(&permits, 1, 2)), queued(ask(&permits, 1, 2)));
    assert!(matches!(ask(&permits, 1, 2), Admission::Refused), "the line is full");
    assert!(poll(&mut one).is_none() && poll(&mut two).is_none());
    drop(first);
    assert!(poll(&mut two).is_none());
    let first = poll(&mut one).unwrap();
    let mut late = queued(ask(&permits, 1, 2));
    drop(first);
    assert!(poll(&mut late).is_none());
    drop(poll(&mut two).unwrap());
    assert!(poll(&mut late).is_some());
}

#[test]
fn who_leaves_the_line_holds_up_nobody() {
    let permits = Arc::new(Permits::new());
    let first = granted(ask(&permits, 1, 9));
    let (gone, mut served, mut last) =
        (queued(ask(&permits, 1, 9)), queued(ask(&permits, 1, 9)), queued(ask(&permits, 1, 9)));
    drop(gone);
    drop(first);
    // Served, and gone before it came for it.
    drop(poll(&mut last));
    drop(served);
    assert!(poll(&mut last).is_some());
    drop(last);
    assert_eq!(permits.subjects(), 0, "nothing is kept of an idle subject");
    served = queued(match ask(&permits, 0, 1) {
        Admission::Queued(queued) => Admission::Queued(queued),
        _ => panic!("a limit of none lets nobody in"),
    });
    drop(served);
    assert_eq!(permits.subjects(), 0);
}

proptest! {
    /// Whatever comes and goes in whatever order: never more out than the limit, nobody forgotten, nothing left behind.
    #[test]
    fn never_more_than_the_limit_and_nothing_is_lost(
        limit in 1u64..4,
        queue in 0usize..4,
        steps in proptest::collection::vec((0u8..4, any::<prop::sample::Index>()), 1..60),
    ) {
        let permits = Arc::new(Permits::new());
        let (mut held, mut waiting): (Vec<Admitted>, Vec<Queued>) = (Vec::new(), Vec::new());
        for (step, index) in steps {
            match step {
                0 | 1 => match ask(&permits, limit, queue) {
                    Admission::Granted(permit) => held.push(permit),
                    Admission::Queued(queued) => waiting.push(queued),
                    Admission::Refused => prop_assert!(held.len() as u64 >= limit),
                },
                2 if !held.is_empty() => drop(held.swap_remove(index.index(held.len()))),
                3 if !waiting.is_empty() => drop(waiting.remove(index.index(waiting.len()))),
                _ => {}
            }
            let mut still = Vec::new();
            for mut queued in waiting {
                match poll(&mut queued) {
                    Some(permit) => held.push(permit),
                    None => still.push(queued),
                }
            }
            waiting = still;
            prop_assert!(held.len() as u64 <= limit);
            prop_assert!(waiting.is_empty() || held.len() as u64 == limit, "a permit lies idle while one waits");
            prop_assert_eq!(permits.out(Space::Live, "m", "s"), held.len() as u64);
        }
        drop((held, waiting));
        prop_assert_eq!(permits.subjects(), 0);
    }
}
