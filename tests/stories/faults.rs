//! An upstream that fails in every way delays records and loses none; what it can never take ends
//! as a dead letter, and comes back by replay.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::runtime::Runtime;

use crate::support::agent::{Agent, configure, orders_to_kinesis, weir};
use crate::support::books::{Books, Row, compare};
use crate::support::fake_upstream::{Answer, FakeUpstream, Request};
use crate::support::scratch::Scratch;
use crate::support::wait_for;

const RECORDS: usize = 2_000;
const POISON: [usize; 2] = [500, 1_500];
/// After so many requests the upstream is well.
const MOODY_REQUESTS: usize = 40;

/// What the upstream does with its requests, in turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    EveryThirdFails,
    Throttled,
    Broken,
    ResetBefore,
    ResetAfter,
    Slow,
    Well,
}

fn mood(request: usize) -> Mood {
    const TURNS: [Mood; 7] = [
        Mood::EveryThirdFails,
        Mood::Throttled,
        Mood::Broken,
        Mood::ResetBefore,
        Mood::ResetAfter,
        Mood::Slow,
        Mood::Well,
    ];
    if request < MOODY_REQUESTS { TURNS[request % TURNS.len()] } else { Mood::Well }
}

fn carries_poison(request: &Request) -> bool {
    request.records.iter().any(|sent| sent.data.starts_with(b"poison"))
}

fn moody(request: &Request) -> Answer {
    if carries_poison(request) {
        return Answer::refuse(400, "ValidationException", "a record is not valid");
    }
    match mood(request.number) {
        Mood::EveryThirdFails => {
            let code = "ProvisionedThroughputExceededException";
            Answer::fail_entries(request, code, |place, _| place % 3 == 0)
        }
        Mood::Throttled => {
            let code = "ProvisionedThroughputExceededException";
            Answer::refuse(400, code, "too many requests")
        }
        Mood::Broken => Answer::refuse(500, "InternalFailure", "try again"),
        Mood::ResetBefore => Answer::Reset,
        Mood::ResetAfter => Answer::TakeAndReset,
        Mood::Slow => Answer::After(Duration::from_millis(300), Box::new(Answer::Take)),
        Mood::Well => Answer::Take,
    }
}

fn payload(number: usize) -> String {
    let word = if POISON.contains(&number) { "poison" } else { "order" };
    format!("{word} {number}")
}

#[test]
fn only_what_failed_goes_again_and_poison_ends_as_letters() {
    let runtime = Runtime::new().unwrap();
    let fake = runtime.block_on(FakeUpstream::start());
    fake.script(moody);
    let scratch = Scratch::new("faults");
    let config = orders_to_kinesis(&fake.url(), "");
    let agent = Agent::start(&scratch, &config);

    let client = agent.client("local");
    let payloads: Vec<String> = (0..RECORDS).map(payload).collect();
    for part in payloads.chunks(50) {
        assert_eq!(client.post_lines("orders", part).unwrap().status, 202);
    }
    let books = Books::settled(&agent);

    println!("{books}\n{} requests", fake.request_count());
    let row = books.row("orders", "cloud");
    let (all, dead) = (RECORDS as u64, POISON.len() as u64);
    assert_eq!(row, Row { accepted: all, delivered: all - dead, dead, ..Row::default() });
    let healthy: BTreeSet<String> =
        payloads.iter().filter(|payload| !payload.starts_with("poison")).cloned().collect();
    let taken = fake.taken().into_iter().map(|taken| taken.data);
    let ambiguous: usize = fake
        .requests()
        .iter()
        .filter(|request| mood(request.number) == Mood::ResetAfter && !carries_poison(request))
        .map(|request| request.records.len())
        .sum();
    compare(&healthy, &BTreeSet::new(), taken).complete("the upstream", ambiguous as u64);
    assert_eq!(sent_in_vain(&fake.requests()), [""; 0]);

    letters_are_listed_shown_and_replayed(&scratch, &agent, &fake, &config);
    assert_eq!(agent.terminate().code(), Some(0));
}

/// Records that were sent again although an answer had said that they were taken.
fn sent_in_vain(requests: &[Request]) -> Vec<String> {
    let mut taken_by: BTreeMap<&[u8], usize> = BTreeMap::new();
    let mut in_vain = Vec::new();
    for request in requests {
        for (place, sent) in request.records.iter().enumerate() {
            if let Some(earlier) = taken_by.get(sent.data.as_slice()) {
                in_vain.push(format!(
                    "{} in request {} was taken by request {earlier}",
                    String::from_utf8_lossy(&sent.data),
                    request.number
                ));
            }
            let is_taken = match mood(request.number) {
                Mood::EveryThirdFails => place % 3 != 0,
                Mood::Slow | Mood::Well => true,
                Mood::Throttled | Mood::Broken | Mood::ResetBefore | Mood::ResetAfter => false,
            };
            if is_taken && !carries_poison(request) {
                taken_by.insert(&sent.data, request.number);
            }
        }
    }
    in_vain
}

fn letters_are_listed_shown_and_replayed(
    scratch: &Scratch,
    agent: &Agent,
    fake: &FakeUpstream,
    config: &str,
) {
    let file = configure(scratch, config);
    let file = file.to_str().unwrap();

    let listed = weir(scratch, &["dead", "ls", "--config", file]);
    assert_eq!(listed.code, Some(0), "{listed:?}");
    assert!(listed.stdout.contains("orders") && listed.stdout.contains("cloud"), "{listed:?}");

    let shown = weir(scratch, &["dead", "show", "--config", file, "--json"]);
    assert_eq!(shown.code, Some(0), "{shown:?}");
    let letters: Vec<serde_json::Value> =
        shown.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(letters.len(), POISON.len(), "{shown:?}");
    for letter in &letters {
        assert_eq!(letter["stream"], "orders");
        assert_eq!(letter["destination"], "cloud");
        assert_eq!(letter["class"], "poison");
        assert_eq!(letter["code"], "ValidationException");
        assert!(letter.to_string().contains("poison "), "the payload is in it: {letter}");
    }

    fake.script(|_| Answer::Take);
    let replayed = weir(scratch, &["dead", "replay", "--config", file]);
    assert_eq!(replayed.code, Some(0), "{replayed:?}");
    wait_for("the replayed records to arrive", || {
        let taken = fake.taken();
        POISON
            .iter()
            .all(|number| taken.iter().any(|taken| taken.data == payload(*number).as_bytes()))
            .then_some(())
    });
    let books = Books::settled(agent);
    let (all, dead) = (RECORDS as u64, POISON.len() as u64);
    let expected = Row { accepted: all + dead, delivered: all, dead, ..Row::default() };
    assert_eq!(books.row("orders", "cloud"), expected);
    let listed = weir(scratch, &["dead", "show", "--config", file, "--json"]);
    assert_eq!(listed.stdout, "", "what was replayed is no dead letter any more");
}
