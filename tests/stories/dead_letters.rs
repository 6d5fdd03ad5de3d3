//! Dead letters through the real binary: looked at, filtered, copied out, removed, and put back by a
//! replay that is killed again and again.

use std::thread;

use serde_json::Value;
use tokio::runtime::Runtime;

use crate::support::agent::{Agent, configure, orders_to_kinesis, weir};
use crate::support::books::{Books, Row};
use crate::support::fake_upstream::{Answer, FakeUpstream};
use crate::support::scratch::Scratch;

const GOOD: u64 = 400;
const POISON: u64 = 40;

#[test]
fn dead_letters_are_found_copied_removed_and_put_back_once_however_often_the_agent_is_killed() {
    let runtime = Runtime::new().unwrap();
    let fake = runtime.block_on(FakeUpstream::start());
    fake.poisoned_by(|sent| sent.data.starts_with(b"poison"));
    let scratch = Scratch::new("dead-letters");
    let config = orders_to_kinesis(&fake.url(), "");
    let mut agent = Agent::start(&scratch, &config);
    let file = configure(&scratch, &config);
    let file = file.to_str().unwrap();
    let dead = |arguments: &[&str]| weir(&scratch, &[&["dead"], arguments, &["-c", file]].concat());

    let lines: Vec<String> = (0..GOOD + POISON)
        .map(|number| {
            let word = if number % 11 == 0 { "poison" } else { "order" };
            format!("{word} {number}")
        })
        .collect();
    assert_eq!(agent.client("local").post_lines("orders", &lines).unwrap().status, 202);
    let row = Books::settled(&agent).row("orders", "cloud");
    let accepted = GOOD + POISON;
    assert_eq!(row, Row { accepted, delivered: GOOD, dead: POISON, ..Row::default() });

    let listed: Value = serde_json::from_str(&dead(&["ls", "--json"]).succeeded()).unwrap();
    assert_eq!((&listed[0]["letters"], &listed[0]["aged_out"]), (&40.into(), &0.into()));
    let count = |arguments: &[&str]| dead(arguments).succeeded().lines().count();
    assert_eq!(count(&["show", "--class", "poison", "--code", "ValidationException"]), 40);
    assert_eq!(count(&["show", "--since", "1 h", "--stream", "orders"]), 40);
    assert_eq!(count(&["show", "--until", "1 h"]), 0);
    assert_eq!(count(&["show", "--key", "nobody's"]), 0);
    let copy = scratch.join("letters.ndjson");
    let told = dead(&["export", "--to", copy.to_str().unwrap()]).succeeded();
    assert!(told.starts_with("40 dead letters exported"), "{told}");
    let copied = std::fs::read_to_string(&copy).unwrap();
    let id = serde_json::from_str::<Value>(copied.lines().next().unwrap()).unwrap();
    let id = id["id"].as_str().unwrap().to_owned();

    assert_eq!(dead(&["purge", "--id", &id]).code, Some(64), "nobody is there to be asked");
    assert_eq!(count(&["show"]), 40);
    let told = dead(&["purge", "--id", &id, "--yes"]).succeeded();
    assert_eq!(told, "1 dead letter removed\n");
    assert_eq!(count(&["show"]), 39);

    // The deaths are to be on disk before the upstream changes its mind: what a kill takes from the
    // cursor is sent again, and would be taken now.
    assert_eq!(agent.terminate().code(), Some(0));
    agent = Agent::start(&scratch, &config);
    fake.script(|_| Answer::Take);
    for looks in 0..6 {
        thread::scope(|scope| {
            scope.spawn(|| dead(&["replay", "--code", "ValidationException"]));
            // Each look takes a moment, so that the kill comes a little later each time.
            (0..looks).for_each(|_| drop(agent.status()));
            agent.kill();
        });
        agent = Agent::start(&scratch, &config);
    }
    dead(&["replay"]).succeeded();
    assert_eq!(count(&["show"]), 0);
    let row = Books::settled(&agent).row("orders", "cloud");
    let put_back = POISON - 1;
    let (accepted, delivered) = (accepted + put_back, GOOD + put_back);
    assert_eq!(row, Row { accepted, delivered, dead: POISON, ..Row::default() });

    let copy = copy.to_str().unwrap();
    let arguments = ["send", "--stream", "orders", "--envelope", "-c", file, copy];
    weir(&scratch, &arguments).succeeded();
    let row = Books::settled(&agent).row("orders", "cloud");
    assert_eq!((row.delivered, row.dead), (delivered + POISON, POISON));
    assert_eq!(agent.terminate().code(), Some(0));
}

#[test]
fn letters_of_a_renamed_destination_stay_on_the_shelf_until_they_are_put_back_for_another() {
    let runtime = Runtime::new().unwrap();
    let fake = runtime.block_on(FakeUpstream::start());
    fake.poisoned_by(|sent| sent.data.starts_with(b"poison"));
    let scratch = Scratch::new("renamed");
    let before = orders_to_kinesis(&fake.url(), "");
    let agent = Agent::start(&scratch, &before);
    for number in 0..3 {
        let line = format!("poison {number}");
        assert_eq!(agent.client("local").post("orders", line.as_bytes()).unwrap().status, 202);
    }
    assert_eq!(Books::settled(&agent).row("orders", "cloud").dead, 3);
    assert_eq!(agent.terminate().code(), Some(0));

    let renamed = before.replace("cloud", "lake");
    let agent = Agent::start(&scratch, &renamed);
    let file = configure(&scratch, &renamed);
    let dead = |arguments: &[&str]| {
        let file = file.to_str().unwrap();
        weir(&scratch, &[&["dead"], arguments, &["-c", file]].concat())
    };
    fake.script(|_| Answer::Take);

    let refused = dead(&["replay"]);
    assert_eq!(refused.code, Some(69), "{refused:?}");
    assert!(refused.stderr.contains("no destination `cloud` any more"), "{refused:?}");
    assert!(refused.stderr.contains("it has `lake`"), "{refused:?}");
    assert!(refused.stderr.contains("--destination cloud --to lake"), "{refused:?}");
    let refused = dead(&["replay", "--to", "sea"]);
    assert!(refused.stderr.contains("no destination `sea`; it has `lake`"), "{refused:?}");
    assert_eq!(dead(&["show"]).succeeded().lines().count(), 3);

    let told = dead(&["replay", "--destination", "cloud", "--to", "lake"]).succeeded();
    assert_eq!(told, "3 dead letters are back in their queues\n");
    Books::settled(&agent);
    assert_eq!(dead(&["show"]).succeeded(), "");
    let mut taken: Vec<_> = fake.taken().into_iter().map(|one| one.data).collect();
    taken.sort_unstable();
    assert_eq!(taken, [b"poison 0", b"poison 1", b"poison 2"].map(|line| line.to_vec()));
    assert_eq!(agent.terminate().code(), Some(0));
}
