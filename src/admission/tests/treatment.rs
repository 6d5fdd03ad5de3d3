//! Schemas and programs at work: what comes in, what is stored, where, and what is said about the
//! rest.

use std::collections::BTreeSet;

use super::*;
use crate::record::{Origin, decode};

/// A program that may lead to `audit`.
fn program(text: &str) -> Transform {
    let outlets = Outlets {
        to: BTreeSet::from(["audit".to_owned()]),
        when_wrong: WhenWrong::Reject,
        time: Duration::from_secs(1),
    };
    compiled(text, outlets)
}

fn compiled(text: &str, outlets: Outlets) -> Transform {
    Transform::compile(text, outlets).unwrap_or_else(|faults| panic!("{text}: {faults:?}")).0
}

fn by_program(text: &str) -> Treatment {
    Treatment { schema: None, transform: Some(program(text)) }
}

fn by_schema(text: &str) -> Treatment {
    Treatment { schema: Some(Schema::parse(text, true).unwrap()), transform: None }
}

/// A door to `access`, treated so, and to `audit`.
struct Treated {
    admission: Arc<Admission>,
    _door: Door,
}

impl Treated {
    fn open(access: Treatment, audit: Treatment) -> Self {
        let door = Door::new();
        let metrics = Metrics::default();
        let (mut settings, mut queues) = (Settings::default(), BTreeMap::new());
        for (name, treatment) in [("access", access), ("audit", audit)] {
            let stream = StreamSettings { treatment, ..open_stream(1_000) };
            settings.streams.insert(name.into(), stream);
            queues.insert(name.into(), door.queue(name, &metrics));
        }
        let (disk, clock) = (door.disk.clone(), door.clock.clone());
        let below = Below { disk, clock, queues, lambdas: BTreeMap::new(), quotas: None };
        let admission = Admission::open(below, settings, &metrics).unwrap();
        Self { admission, _door: door }
    }

    fn admit(&self, raw: Vec<RawRecord>) -> (Admitted, Vec<Rejection>) {
        self.admission.admit(&walk_in(&self.admission), raw).unwrap()
    }

    /// What one record becomes: its bytes and its key, or what is wrong with it.
    fn one(&self, raw: RawRecord) -> Result<Option<(String, Option<String>)>, String> {
        let (admitted, rejections) = self.admit(vec![raw]);
        if let Some(rejection) = rejections.first() {
            return Err(rejection.in_words());
        }
        let stored = admitted.encoded().pop();
        Ok(stored.map(|stored| {
            let record = decode(stored).unwrap();
            let key = record.partition_key.as_deref().map(str::to_owned);
            (String::from_utf8(record.payload.to_vec()).unwrap(), key)
        }))
    }
}

/// What this program makes of this payload.
#[track_caller]
fn check(text: &str, payload: &str, expected: &str) {
    let door = Treated::open(by_program(text), Treatment::default());
    let made = door.one(raw(payload, None));
    assert_eq!(made, Ok(Some((expected.to_owned(), None))), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_program_maps_normalises_flattens_and_redacts() {
    check(
        r#".user = del(.u); .level = downcase(string!(.level))"#,
        r#"{"u":7,"level":"WARN"}"#,
        r#"{"level":"warn","user":7}"#,
    );
    check(r#". = flatten(object!(.))"#, r#"{"a":{"b":1,"c":[1,2]}}"#, r#"{"a.b":1,"a.c":[1,2]}"#);
    check(
        r#".at = parse_timestamp!(.at, "%d/%b/%Y:%T %z")"#,
        r#"{"at":"22/Nov/2026:07:05:19 +0100"}"#,
        r#"{"at":"2026-11-22T06:05:19Z"}"#,
    );
    check(
        r#". = redact(object!(.), filters: [r'\d{3}-\d{4}'])"#,
        r#"{"a":"call 555-1234","b":["555-9999"]}"#,
        r#"{"a":"call [REDACTED]","b":["[REDACTED]"]}"#,
    );
    check(
        r#".id = sha2(string!(.id), variant: "SHA-256")"#,
        r#"{"id":"abc"}"#,
        r#"{"id":"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}"#,
    );
    // RFC 4231, case 2.
    check(
        r#".id = encode_base16(hmac(string!(.id), "Jefe"))"#,
        r#"{"id":"what do ya want for nothing?"}"#,
        r#"{"id":"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"}"#,
    );
    check(
        r#". = parse_regex!(string!(.), r'^(?P<method>\S+) (?P<path>\S+)$')"#,
        "GET /index.html",
        r#"{"method":"GET","path":"/index.html"}"#,
    );
    check(r#". = parse_json!(string!(.message))"#, r#"{"message":"{\"a\":1}"}"#, r#"{"a":1}"#);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_no_program_touches_keeps_its_bytes() {
    for payload in ["{ \"a\" : 1 }", "\u{feff}x", "7", "\"text\"", " {broken", ""] {
        let door = Treated::open(by_schema("true"), Treatment::default());
        if serde_json::from_str::<serde_json::Value>(payload).is_ok() {
            assert_eq!(door.one(raw(payload, None)).unwrap().unwrap().0, payload);
        }
        // Texts stay as they are also behind a program.
        if !payload.trim_start().starts_with('{') {
            check(".", payload, payload);
        }
    }
    check(".", "{ \"b\" : 1, \"a\":[ ] }", r#"{"a":[],"b":1}"#);
    check(". = upcase(string!(.))", "7b", "7B");
}

#[tokio::test(start_paused = true)]
async fn a_schema_stands_before_the_program_and_names_every_fault() {
    let schema = r#"{"type":"object","required":["id"],"properties":{"n":{"type":"integer"}}}"#;
    let treatment = Treatment { transform: Some(program(".n = 1")), ..by_schema(schema) };
    let door = Treated::open(treatment, Treatment::default());

    let all = [r#"{"id":1}"#, r#"{"n":"x"}"#, "no json", &"[".repeat(200)];
    let (admitted, rejections) = door.admit(all.iter().map(|payload| raw(payload, None)).collect());

    assert_eq!(decode(admitted.encoded().remove(0)).unwrap().payload, r#"{"id":1,"n":1}"#);
    let told: Vec<_> = rejections.iter().map(|one| (one.index, one.in_words())).collect();
    assert_eq!(
        told,
        [
            (1, "/n: \"x\" is not of type \"integer\"; /id: missing".to_owned()),
            (2, "not JSON: expected ident at line 1 column 2".to_owned()),
            (3, "nested deeper than 128 values".to_owned()),
        ]
    );
    assert!(rejections.iter().all(|one| one.raw.payload == all[one.index] && !one.too_large));
}

#[tokio::test(start_paused = true)]
async fn what_a_program_drops_is_counted_and_keeps_its_place_in_the_row_of_ids() {
    let door = Treated::open(by_program("if .level == \"debug\" { abort }"), Treatment::default());
    let all =
        ["debug", "info", "debug"].map(|level| raw(&format!(r#"{{"level":"{level}"}}"#), None));

    let (admitted, rejections) = door.admit(all.to_vec());
    assert_eq!((admitted.count(), rejections), (1, vec![]));
    let stored = decode(admitted.encoded().remove(0)).unwrap();
    let receipt = door.admission.store(admitted).await.unwrap();

    let first = receipt.first.unwrap();
    assert_eq!((receipt.accepted, receipt.dropped), (3, 2));
    assert_eq!((receipt.last, stored.id), (Some(first.plus(2)), first.plus(1)));
    assert_eq!(door.admission.dropped("access"), 2);

    let (admitted, _) = door.admit(vec![all[0].clone()]);
    let receipt = door.admission.store(admitted).await.unwrap();
    assert_eq!((receipt.accepted, receipt.dropped, door.admission.dropped("access")), (1, 1, 3));
}

#[tokio::test(start_paused = true)]
async fn a_repetition_hears_the_same_numbers_also_of_what_was_dropped_and_led_elsewhere() {
    let text = "if .n == 1 { abort }\nif .n == 2 { %stream = \"audit\" }";
    let door = Treated::open(by_program(text), Treatment::default());
    let pass = walk_in(&door.admission);
    for records in [&[0, 1, 2][..], &[1], &[2]] {
        let all: Vec<_> = records.iter().map(|n| raw(&format!("{{\"n\":{n}}}"), None)).collect();
        let key = format!("{records:?}");
        let content: &[&[u8]] = &[b"a"];
        let mut receipts = Vec::new();
        for _ in 0..2 {
            let (admitted, _) = door.admission.admit(&pass, all.clone()).unwrap();
            let once = Once { key: &key, content };
            receipts.push(door.admission.store(admitted.once(&pass, &once)).await.unwrap());
        }

        let [first, again] = &receipts[..] else { panic!() };
        assert!(!first.is_repeated && again.is_repeated, "{records:?}");
        assert_eq!((again.accepted, again.dropped), (first.accepted, first.dropped));
        assert_eq!((again.first, again.last), (first.first, first.last));
    }
    assert_eq!(door.admission.last_place("access"), 1);
    assert_eq!(door.admission.last_place("audit"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_program_leads_records_to_streams_it_may_lead_to_and_those_treat_them_too() {
    let text = "if exists(.user) { %stream = \"audit\" }\nif .bad == true { %stream = \"other\" }";
    let door = Treated::open(by_program(text), by_program(".seen = %stream"));

    let all = [r#"{"a":1}"#, r#"{"user":1}"#, r#"{"bad":true}"#];
    let (admitted, rejections) = door.admit(all.iter().map(|payload| raw(payload, None)).collect());

    assert_eq!(admitted.by_stream(), [("audit".to_owned(), 1), ("access".to_owned(), 1)]);
    let payloads: Vec<_> =
        admitted.encoded().into_iter().map(|one| decode(one).unwrap().payload).collect();
    assert_eq!(payloads, [r#"{"seen":"audit","user":1}"#, r#"{"a":1}"#]);
    let words: Vec<_> = rejections.iter().map(Rejection::in_words).collect();
    assert_eq!(
        words,
        ["the transform leads to stream `other`, which is not one of its `transform_to`"]
    );

    let receipt = door.admission.store(admitted).await.unwrap();
    assert_eq!((receipt.accepted, receipt.place), (2, 1));
    assert_eq!(door.admission.last_place("audit"), 1);
}

#[tokio::test(start_paused = true)]
async fn hand_ins_of_which_nothing_stays_have_turns_that_grow() {
    let text = "if exists(.user) { %stream = \"audit\" }\nif exists(.drop) { abort }";
    let dropping = {
        let to = BTreeSet::from(["audit".to_owned()]);
        let time = Duration::from_secs(1);
        let outlets = Outlets { to, when_wrong: WhenWrong::Drop, time };
        Treatment { schema: None, transform: Some(compiled(text, outlets)) }
    };
    let door = Treated::open(dropping, Treatment::default());
    let mut numbers = Vec::new();
    for payload in [
        r#"{"a":1}"#,
        r#"{"user":1}"#,
        r#"{"user":2}"#,
        r#"{"drop":1}"#,
        r#"{"a":2}"#,
        r#"{"drop":1}"#,
    ] {
        let (admitted, rejections) = door.admit(vec![raw(payload, None)]);
        assert_eq!(rejections, []);
        let receipt = door.admission.store(admitted).await.unwrap();
        numbers.push((receipt.place, receipt.turn));
    }

    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    let is_kept = |at: usize| numbers[at].1 == 0;
    assert_eq!([0, 1, 2, 3, 4, 5].map(is_kept), [true, false, false, false, true, false]);
}

#[tokio::test(start_paused = true)]
async fn records_that_are_led_in_circles_come_back() {
    let door = Treated::open(by_program("%stream = \"audit\""), {
        let to = BTreeSet::from(["access".to_owned()]);
        let outlets = Outlets { to, when_wrong: WhenWrong::Reject, time: Duration::from_secs(1) };
        let transform = Some(compiled("%stream = \"access\"", outlets));
        Treatment { schema: None, transform }
    });

    let told = door.one(raw("{}", None)).unwrap_err();
    assert!(told.ends_with("where nothing can stay"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_route_treats_records_before_their_stream_does() {
    let door =
        Treated::open(by_program(".stream = .route"), by_schema(r#"{"required":["stream"]}"#));
    let route = Some(Arc::new(by_program(".route = %route.device")));
    let pass = walk_in(&door.admission).by_route(route);
    let origin = Origin { route: vec![("device".into(), "d-1".into())], ..Origin::default() };
    let record = RawRecord { origin: Some(Arc::new(origin)), ..raw("{}", None) };

    let (admitted, _) = door.admission.admit(&pass, vec![record]).unwrap();

    let payload = decode(admitted.encoded().remove(0)).unwrap().payload;
    assert_eq!(payload, r#"{"route":"d-1","stream":"d-1"}"#);
}

#[tokio::test(start_paused = true)]
async fn a_program_may_set_the_partition_key() {
    for (text, sent, expected) in [
        ("%partition_key = string!(.id)", None, Ok(Some("7".to_owned()))),
        ("%partition_key = string!(.id)", Some("own"), Ok(Some("7".to_owned()))),
        ("del(%partition_key)", Some("own"), Ok(None)),
        (".a = %partition_key", Some("own"), Ok(Some("own".to_owned()))),
        (
            "%partition_key = \"\"",
            None,
            Err("the partition key has 0 characters; it should have 1 to 256".to_owned()),
        ),
        ("%partition_key = 7", None, Err("`%partition_key` is no text".to_owned())),
        ("%stream = 7", None, Err("`%stream` is no text".to_owned())),
    ] {
        let door = Treated::open(by_program(text), Treatment::default());
        let key = door.one(raw(r#"{"id":"7"}"#, sent)).map(|made| made.unwrap().1);
        assert_eq!(key, expected, "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_that_a_program_fails_on_comes_back_or_is_dropped_as_asked() {
    let text = ".n = to_int!(.n)";
    let door = Treated::open(by_program(text), Treatment::default());
    let told = door.one(raw(r#"{"n":"x"}"#, None)).unwrap_err();
    assert!(told.starts_with("the transform fails: function call error for \"to_int\""), "{told}");

    let time = Duration::from_secs(1);
    let outlets = Outlets { to: BTreeSet::new(), when_wrong: WhenWrong::Drop, time };
    let transform = Some(compiled(text, outlets));
    let door = Treated::open(Treatment { schema: None, transform }, Treatment::default());
    assert_eq!(door.one(raw(r#"{"n":"x"}"#, None)), Ok(None));
    assert_eq!(door.one(raw(r#"{"n":"7"}"#, None)), Ok(Some((r#"{"n":7}"#.into(), None))));
}

#[tokio::test(start_paused = true)]
async fn what_a_program_makes_is_bounded_in_size_at_the_limit() {
    let text = ". = truncate(string!(.), 1001)";
    let door = Treated::open(by_program("x = string!(.); . = x + x"), Treatment::default());
    assert!(door.one(raw(&"x".repeat(499), None)).is_ok());
    assert!(door.one(raw(&"x".repeat(500), None)).is_ok());
    assert_eq!(
        door.one(raw(&"x".repeat(501), None)),
        Err("the record has 1002 bytes; this stream takes at most 1000".into())
    );
    // What comes in is judged before a program sees it.
    let door = Treated::open(by_program(text), Treatment::default());
    assert!(door.one(raw(&"x".repeat(1001), None)).is_err());
}

#[tokio::test]
async fn a_program_that_takes_too_long_is_stopped() {
    let text = "n = 0; for_each(array!(.)) -> |_i, _v| { for_each(array!(.)) -> |_i, _v| { n = n + 1 } }\n. = n";
    let slow = |time| {
        let outlets = Outlets { to: BTreeSet::new(), when_wrong: WhenWrong::Reject, time };
        let transform = Some(compiled(text, outlets));
        Treated::open(Treatment { schema: None, transform }, Treatment::default())
    };
    let payload = format!("[{}1]", "1,".repeat(400));

    let stopped = slow(Duration::ZERO).one(raw(&payload, None));
    assert_eq!(stopped, Err("the transform takes too long".into()));
    let done = slow(Duration::from_secs(60)).one(raw(&payload, None));
    assert_eq!(done, Ok(Some(("160801".into(), None))));
}

#[test]
fn a_program_sees_nothing_but_its_record() {
    let outlets =
        || Outlets { to: BTreeSet::new(), when_wrong: WhenWrong::Reject, time: Duration::ZERO };
    for text in [
        "get_env_var(\"HOME\")",
        ".host = get_hostname!()",
        "dns_lookup!(\"localhost\")",
        "http_request!(\"http://127.0.0.1\")",
        "log(\"x\")",
        "%source = \"me\"",
        "%caller = \"me\"",
        "%route.device = \"d\"",
    ] {
        assert!(Transform::compile(text, outlets()).is_err(), "{text}");
    }
}

#[test]
fn every_fault_of_a_program_is_told_with_its_place() {
    let outlets =
        Outlets { to: BTreeSet::new(), when_wrong: WhenWrong::Reject, time: Duration::ZERO };
    let text = ".a = downcase(.b)\n.c = nothing(1)";

    let faults = Transform::compile(text, outlets).unwrap_err();

    let told: Vec<_> = faults
        .iter()
        .map(|fault| (text.get(fault.at.clone()).unwrap(), fault.words.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            ("downcase(.b)", "unhandled fallible assignment"),
            ("nothing", "call to undefined function"),
        ]
    );
}
