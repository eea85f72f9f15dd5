use std::sync::Mutex;

use super::*;

type Seen = Arc<Mutex<Vec<u32>>>;
type Sent = std::future::Ready<Result<(), Vec<u32>>>;

fn collector() -> (Seen, impl FnMut(Vec<u32>) -> Sent) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&seen);
    (seen, move |batch| {
        into.lock().unwrap().extend(batch);
        std::future::ready(Ok(()))
    })
}

#[tokio::test]
async fn a_full_outbox_drops_and_counts_and_never_waits() {
    let (outbox, sending) = Outbox::new(2);
    assert_eq!((0..5).map(|n| outbox.push(n)).filter(|accepted| *accepted).count(), 2);
    assert_eq!((outbox.dropped(), outbox.waiting()), (3, 2));
    drop(sending);
    assert!(!outbox.push(9), "a closed outbox takes nothing");
}

#[tokio::test(start_paused = true)]
async fn what_was_not_acknowledged_is_sent_again() {
    let (outbox, sending) = Outbox::new(10);
    let (seen, mut deliver) = collector();
    let mut failures = 3;
    let send = move |batch: Vec<u32>| {
        if failures > 0 {
            failures -= 1;
            std::future::ready(Err(batch))
        } else {
            deliver(batch)
        }
    };
    (0..4).for_each(|n| assert!(outbox.push(n)));
    assert_eq!(outbox.waiting(), 4);
    let counts = Arc::clone(&outbox.counts);
    drop(outbox);
    let (_handle, shutdown) = Shutdown::manual();
    sending.run(send, shutdown).await;
    assert_eq!(*seen.lock().unwrap(), [0, 1, 2, 3]);
    assert_eq!(counts.waiting.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_in_flight_when_asked_to_stop_still_goes_out() {
    let (outbox, sending) = Outbox::new(10);
    let (seen, mut deliver) = collector();
    let (handle, shutdown) = Shutdown::manual();
    let (started, has_started) = tokio::sync::oneshot::channel();
    let mut started = Some(started);
    let send = move |batch: Vec<u32>| {
        let hang = started.take().map(|started| started.send(()).is_ok()).unwrap_or(false);
        let answer = deliver(if hang { Vec::new() } else { batch });
        async move {
            if hang {
                std::future::pending::<()>().await;
            }
            answer.await
        }
    };
    assert!(outbox.push(1));
    let running = tokio::spawn(sending.run(send, shutdown));
    has_started.await.expect("the first send begins");
    assert!(outbox.push(2));
    handle.request();
    running.await.expect("ends");
    assert_eq!(*seen.lock().unwrap(), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_never_answers_does_not_keep_the_process() {
    let (outbox, sending) = Outbox::new(10);
    let (handle, shutdown) = Shutdown::manual();
    assert!(outbox.push(1));
    handle.request();
    sending.run(|_| std::future::pending::<Result<(), Vec<u32>>>(), shutdown).await;
    assert_eq!(outbox.dropped(), 1);
}
