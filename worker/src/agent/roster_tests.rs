//! What frames and reports do to executors and tokens.

use std::cell::RefCell;
use std::rc::Rc;

use super::*;
use crate::agent::outbox::Outgoing;

/// An executor without a process: remembers what it was told.
#[derive(Debug, Default)]
struct Fake {
    queue: RefCell<Vec<u64>>,
    running: RefCell<Option<u64>>,
    told: Rc<RefCell<Vec<String>>>,
}

#[derive(Debug, Default, Clone)]
struct FakeStarter {
    told: Rc<RefCell<Vec<String>>>,
}

impl Starts for FakeStarter {
    type Executor = Fake;

    fn start(&self, start: ha::Start) -> Fake {
        self.told.borrow_mut().push(format!("start {} {}", start.executor, start.session));
        Fake { told: Rc::clone(&self.told), ..Fake::default() }
    }
}

impl Runs for Fake {
    fn push(&self, tasks: Vec<ha::Task>) -> Vec<Token> {
        for ha::Task { token, .. } in tasks {
            self.told.borrow_mut().push(format!("run {token}"));
            let mut running = self.running.borrow_mut();
            match *running {
                None => *running = Some(token),
                Some(_) => self.queue.borrow_mut().push(token),
            }
        }
        Vec::new()
    }

    fn recall(&self, token: Token) -> Revoked {
        if *self.running.borrow() == Some(token.0) {
            return Revoked::Started;
        }
        let mut queue = self.queue.borrow_mut();
        let before = queue.len();
        queue.retain(|waiting| *waiting != token.0);
        if queue.len() < before { Revoked::Returned } else { Revoked::Unknown }
    }

    fn cancel(&self, token: Token) -> Revoked {
        self.told.borrow_mut().push(format!("cancel {token}"));
        self.recall(token)
    }

    fn rebind(&self, start: ha::Start) -> Vec<Token> {
        self.told.borrow_mut().push(format!("rebind {}", start.session));
        self.queue.borrow_mut().drain(..).map(Token).collect()
    }

    fn stop(&self, grace: Duration) -> Vec<Token> {
        self.told.borrow_mut().push(format!("stop {grace:?}"));
        self.queue.borrow_mut().drain(..).map(Token).collect()
    }
}

struct Bench {
    roster: Roster<FakeStarter>,
    outbox: Outbox,
    told: Rc<RefCell<Vec<String>>>,
}

const EXECUTOR: ExecutorKey = ExecutorKey(1);
const SESSION: SessionKey = SessionKey(10);

impl Bench {
    /// Attached, with one executor that has entered its session.
    fn new() -> Self {
        let starter = FakeStarter::default();
        let told = Rc::clone(&starter.told);
        let roster = Roster::new(starter, Limits::default(), Held::new(1 << 20));
        let mut bench = Self { roster, outbox: Outbox::default(), told };
        bench.roster.on_welcome(&ha::Welcome::default(), &mut bench.outbox);
        bench.start(SESSION);
        bench.report(Report::Ready { executor: EXECUTOR, session: SESSION, attributes: None });
        assert!(matches!(&bench.sent()[..], [Frame::Ready(ready)] if ready.session == SESSION.0));
        bench.told();
        bench
    }

    fn start(&mut self, session: SessionKey) {
        let start = ha::Start { executor: EXECUTOR.0, session: session.0, ..ha::Start::default() };
        self.roster.on_start(start, &mut self.outbox);
    }

    fn assign(&mut self, tokens: &[u64]) {
        let task =
            |token: &u64| ha::Task { token: *token, executor: EXECUTOR.0, session: SESSION.0, ..ha::Task::default() };
        self.roster.on_assign(tokens.iter().map(task).collect(), &mut self.outbox);
    }

    fn done(&mut self, token: u64) {
        let completion = ha::Completion { token, succeed: true, ..ha::Completion::default() };
        self.report(Report::Done { executor: EXECUTOR, completions: vec![completion] });
    }

    fn report(&mut self, report: Report) {
        self.roster.on_report(report, &mut self.outbox);
    }

    fn reattach(&mut self, settled: &[u64]) -> ha::Hello {
        self.outbox.clear();
        self.roster.on_detached();
        let hello = self.hello();
        let welcome = ha::Welcome { settled: settled.to_vec(), ..ha::Welcome::default() };
        self.roster.on_welcome(&welcome, &mut self.outbox);
        hello
    }

    fn hello(&mut self) -> ha::Hello {
        let mut hello = ha::Hello::default();
        self.roster.describe(&mut hello);
        hello
    }

    /// Everything that would leave now, on heartbeat 5.
    fn sent(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(outgoing) = self.outbox.pop(self.roster.held()) {
            match outgoing {
                Outgoing::Frame(frame) => frames.push(*frame),
                Outgoing::End(executor) => frames.extend(self.roster.tell_end(executor, 5)),
                Outgoing::Heartbeat => {}
            }
        }
        frames
    }

    fn told(&self) -> Vec<String> {
        std::mem::take(&mut self.told.borrow_mut())
    }
}

fn answer(returned: &[u64], started: &[u64]) -> Frame {
    Frame::RevokeAnswer(ha::RevokeAnswer { returned: returned.to_vec(), started: started.to_vec() })
}

fn results(frames: &[Frame]) -> Vec<u64> {
    let complete = frames.iter().filter_map(|frame| match frame {
        Frame::Complete(complete) => Some(complete),
        _ => None,
    });
    complete.flat_map(|complete| complete.done.iter().map(|done| done.token)).collect()
}

#[test]
fn what_others_were_given_is_counted_and_what_is_only_recorded_is_not() {
    let mut bench = Bench::new();
    bench.assign(&[1, 2, 3]);
    bench.done(1);
    let welcome = |settled: &[u64], lapsed| ha::Welcome { settled: settled.to_vec(), lapsed, ..ha::Welcome::default() };
    assert_eq!(bench.roster.on_welcome(&welcome(&[1], false), &mut bench.outbox), 0);
    assert_eq!(bench.roster.on_welcome(&welcome(&[2, 3], true), &mut bench.outbox), 2);
    assert!(bench.hello().tokens.is_empty());
}

#[test]
fn nothing_known_is_done_twice() {
    let mut bench = Bench::new();
    bench.start(SESSION);
    bench.assign(&[1]);
    bench.assign(&[1]);
    assert_eq!(bench.told(), ["run 1"]);
    assert!(matches!(&bench.sent()[..], [Frame::Ready(_)]), "a Start of something ready is answered with Ready");
    bench.done(1);
    assert_eq!(results(&bench.sent()), [1]);
    bench.assign(&[1]);
    assert_eq!(bench.told(), [""; 0]);
    assert_eq!(results(&bench.sent()), [1], "an Assign of something done is answered with the result");
}

#[test]
fn a_task_for_nobody_is_given_back() {
    let mut bench = Bench::new();
    let task = ha::Task { token: 4, executor: 99, session: SESSION.0, ..ha::Task::default() };
    bench.roster.on_assign(vec![task], &mut bench.outbox);
    assert_eq!(bench.sent(), [answer(&[4], &[])]);
    let hello = bench.hello();
    assert_eq!((hello.seen, hello.tokens), (4, vec![]));
}

#[test]
fn recall_and_cancel_always_answer() {
    let mut bench = Bench::new();
    bench.assign(&[1, 2, 3]);
    bench.roster.on_recall(&[1, 2, 7], &mut bench.outbox);
    bench.roster.on_cancel(&[1, 3], &mut bench.outbox);
    assert_eq!(bench.sent(), [answer(&[2, 7], &[1]), answer(&[3], &[1])]);
    assert_eq!(bench.hello().tokens, [1]);
    bench.done(1);
    bench.roster.on_recall(&[1], &mut bench.outbox);
    let frames = bench.sent();
    assert_eq!((results(&frames), &frames[1]), (vec![1], &answer(&[], &[1])));
}

#[test]
fn results_are_held_until_recorded_and_sent_again_on_every_stream() {
    let mut bench = Bench::new();
    bench.assign(&[1, 2, 3]);
    bench.done(1);
    bench.done(2);
    let hello = bench.reattach(&[]);
    assert_eq!((hello.seen, hello.tokens), (3, vec![1, 2, 3]));
    assert_eq!(hello.executors.len(), 1);
    assert!(hello.executors[0].ready);
    assert_eq!(results(&bench.sent()), [1, 2]);
    bench.roster.on_recorded(&[1]);
    let hello = bench.reattach(&[2]);
    assert_eq!(hello.tokens, [2, 3]);
    assert_eq!(bench.sent(), [], "what is settled is forgotten");
    assert!(bench.roster.held().is_empty());
}

#[test]
fn what_happens_between_hello_and_welcome_is_told_after_it() {
    let mut bench = Bench::new();
    bench.start(SessionKey(11));
    bench.assign(&[]);
    bench.outbox.clear();
    bench.roster.on_detached();
    assert!(!bench.hello().executors[0].ready);
    bench.report(Report::Ready { executor: EXECUTOR, session: SESSION, attributes: None });
    bench.report(Report::Ready { executor: EXECUTOR, session: SessionKey(11), attributes: None });
    assert!(bench.outbox.is_empty(), "there is no stream yet");
    bench.roster.on_welcome(&ha::Welcome::default(), &mut bench.outbox);
    assert!(matches!(&bench.sent()[..], [Frame::Ready(ready)] if ready.session == 11));
}

/// Told to enter session 11, with a task of it right behind.
fn entering() -> Bench {
    let mut bench = Bench::new();
    bench.start(SessionKey(11));
    bench.assign(&[1]);
    bench
}

fn entered(attributes: Option<ha::Attributes>) -> Report {
    Report::Ready { executor: EXECUTOR, session: SessionKey(11), attributes }
}

#[test]
fn a_result_that_comes_at_once_says_that_its_executor_is_ready() {
    let mut bench = entering();
    bench.report(entered(None));
    assert_eq!(bench.sent(), []);
    bench.done(1);
    let sent = bench.sent();
    assert!(matches!(&sent[..], [Frame::Complete(_)]), "{sent:?}");
    bench.roster.tell_ready(&mut bench.outbox);
    assert_eq!(bench.sent(), [], "nothing is left to be said");
    bench.start(SessionKey(11));
    assert!(matches!(&bench.sent()[..], [Frame::Ready(_)]), "who asks is answered");
}

#[test]
fn a_task_that_takes_longer_does_not_hide_that_its_executor_is_ready() {
    let mut bench = entering();
    bench.report(entered(None));
    assert!(bench.roster.has_ready_later());
    bench.roster.tell_ready(&mut bench.outbox);
    assert!(matches!(&bench.sent()[..], [Frame::Ready(ready)] if ready.session == 11));
    assert!(!bench.roster.has_ready_later());
    bench.done(1);
    assert!(matches!(&bench.sent()[..], [Frame::Complete(_)]));

    // What it publishes is of use to others at once.
    let mut bench = entering();
    let publish = vec![Bytes::from_static(b"model")];
    bench.report(entered(Some(ha::Attributes { publish, retract: Vec::new() })));
    assert!(matches!(&bench.sent()[..], [Frame::Ready(_)]));
}

#[test]
fn that_an_executor_was_ready_is_told_before_its_end_and_with_the_next_hello() {
    let mut bench = entering();
    bench.report(entered(None));
    let end = End::Crashed { started: vec![Token(1)], message: "it broke".into() };
    bench.report(Report::Ended { executor: EXECUTOR, end });
    let sent = bench.sent();
    assert!(matches!(&sent[..], [Frame::Ready(_), Frame::Failed(_)]), "{sent:?}");

    let mut bench = entering();
    bench.report(entered(None));
    let hello = bench.reattach(&[]);
    assert_eq!((hello.executors[0].session, hello.executors[0].ready), (11, true));
    assert!(!bench.roster.has_ready_later());
    assert_eq!(bench.sent(), []);
}

#[test]
fn what_a_service_gives_back_is_told_once() {
    let mut bench = Bench::new();
    let give_back = |bench: &mut Bench, token| bench.report(Report::Returned { tokens: vec![Token(token)] });
    bench.assign(&[1, 2, 3, 4]);
    give_back(&mut bench, 2);
    assert_eq!(bench.sent(), [answer(&[2], &[])]);
    bench.roster.on_detached();
    give_back(&mut bench, 3);
    assert_eq!(bench.hello().tokens, [1, 4], "the Hello says it");
    give_back(&mut bench, 4);
    assert!(bench.outbox.is_empty(), "there is no stream yet");
    bench.roster.on_welcome(&ha::Welcome::default(), &mut bench.outbox);
    assert_eq!(bench.sent(), [answer(&[4], &[])], "the Hello has named it");
}

#[test]
fn a_settled_task_that_still_waits_never_runs() {
    let mut bench = Bench::new();
    bench.assign(&[1, 2]);
    bench.reattach(&[1, 2]);
    assert_eq!(bench.told(), ["run 1", "run 2", "cancel 1", "cancel 2"]);
    bench.done(1);
    assert_eq!(bench.sent(), [], "nobody wants the result");
}

#[test]
fn the_end_of_an_executor_is_told_until_it_is_heard() {
    let mut bench = Bench::new();
    bench.assign(&[1, 2, 3]);
    bench.done(1);
    let end = End::Crashed { started: vec![Token(2)], message: "boom".into() };
    bench.report(Report::Ended { executor: EXECUTOR, end });
    let frames = bench.sent();
    assert_eq!(results(&frames[..1]), [1], "results go before the failure");
    assert!(matches!(&frames[1], Frame::Failed(failed) if failed.started == [2]));

    let hello = bench.reattach(&[1]);
    assert_eq!((hello.executors.len(), hello.tokens), (1, vec![1, 2, 3]));
    assert!(matches!(&bench.sent()[..], [Frame::Failed(_)]));
    bench.assign(&[9]);
    assert_eq!(bench.sent(), [answer(&[9], &[])], "a dead executor takes no task");
    bench.start(SESSION);
    assert!(matches!(&bench.sent()[..], [Frame::Failed(_)]), "nor a second life");

    bench.roster.on_lease_ack(5);
    assert_eq!(bench.hello().executors.len(), 1, "a heartbeat sent before it says nothing");
    bench.roster.on_lease_ack(6);
    let hello = bench.hello();
    assert_eq!((hello.executors.len(), hello.tokens), (0, vec![]));
    bench.roster.on_stop(EXECUTOR, &mut bench.outbox);
    assert_eq!(bench.sent(), [Frame::Left(ha::ExecutorLeft { executor: EXECUTOR.0 })]);
}

#[test]
fn a_new_session_on_the_same_process() {
    let mut bench = Bench::new();
    bench.assign(&[1, 2]);
    bench.start(SessionKey(11));
    assert_eq!(bench.told(), ["run 1", "run 2", "rebind 11"]);
    assert_eq!(bench.sent(), [answer(&[2], &[])]);
    let hello = bench.hello();
    assert_eq!((hello.executors[0].session, hello.executors[0].ready), (11, false));
}

#[test]
fn a_stopping_worker_starts_nothing() {
    let mut bench = Bench::new();
    bench.assign(&[1, 2]);
    bench.roster.stop_all(Duration::ZERO, &mut bench.outbox);
    assert_eq!(bench.sent(), [Frame::Stopping(ha::Stopping {}), answer(&[2], &[])], "nothing new is given out first");
    bench.told();
    let start = ha::Start { executor: 2, session: 12, ..ha::Start::default() };
    bench.roster.on_start(start, &mut bench.outbox);
    assert_eq!(bench.told(), [""; 0]);
    assert_eq!(bench.sent(), [Frame::Left(ha::ExecutorLeft { executor: 2 })]);
    bench.reattach(&[]);
    assert_eq!(bench.sent(), [Frame::Stopping(ha::Stopping {})], "every leader hears it");
    assert!(!bench.roster.is_quiet(), "its service still runs");
    bench.report(Report::Ended { executor: EXECUTOR, end: End::Left });
    assert!(bench.roster.is_quiet());
    assert_eq!(bench.sent(), [Frame::Left(ha::ExecutorLeft { executor: EXECUTOR.0 })]);
}

#[test]
fn attributes_are_told_complete() {
    let mut bench = Bench::new();
    let keys = |text: &'static str| vec![Bytes::from_static(text.as_bytes())];
    bench.assign(&[1]);
    let attributes = Some(ha::Attributes { publish: keys("model"), retract: vec![] });
    let completion = ha::Completion { token: 1, succeed: true, attributes, ..ha::Completion::default() };
    bench.report(Report::Done { executor: EXECUTOR, completions: vec![completion] });
    assert_eq!(bench.hello().executors[0].attributes, keys("model"));
    bench.sent();
    bench.start(SESSION);
    let [Frame::Ready(ready)] = &bench.sent()[..] else { panic!("Ready expected") };
    assert_eq!(ready.attributes.as_ref().unwrap().publish, keys("model"));
}
