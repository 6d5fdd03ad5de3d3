//! What is counted or sent away before anybody is asked who it is.

use super::*;
use crate::admission::{Pattern, Period, Quota};

fn rule(name: &str, mode: Mode) -> RuleSettings {
    RuleSettings {
        name: name.into(),
        mode,
        addresses: Nets::default(),
        methods: Vec::new(),
        path: None,
        header: None,
        rate: None,
    }
}

async fn with(rules: Vec<RuleSettings>) -> Open {
    Wanted { rules, ..Wanted::default() }.open().await
}

fn met(open: &Open, rule: &str, mode: &str) -> u64 {
    let label = format!(
        "weir_http_rule_matches_total{{listener=\"lan\",rule=\"{rule}\",mode=\"{mode}\"}} "
    );
    let numbers = open.metrics.encode();
    let line = numbers.lines().find_map(|line| line.strip_prefix(&label));
    line.map_or(0, |count| count.parse().unwrap())
}

#[tokio::test]
async fn a_rule_counts_before_it_blocks() {
    let path = Some(Pattern::new("/v1/*", None));
    for (mode, word, status) in [(Mode::Count, "count", 202), (Mode::Block, "block", 403)] {
        let open = with(vec![RuleSettings { path: path.clone(), ..rule("r", mode) }]).await;

        let reply = open.post(&[], "x").await;

        assert_eq!(reply.status, status);
        if status == 403 {
            check_problem(&reply, 403, "blocked-by-rule");
        }
        assert_eq!(met(&open, "r", word), 1);
        assert_eq!(open.ask(Method::GET, "/livez", &[], "").await.status, 200);
        assert_eq!(met(&open, "r", word), 1);
    }
}

#[tokio::test]
async fn a_rule_meets_only_what_all_its_settings_fit() {
    let nets = |net: &str| Nets(vec![net.parse().unwrap()]);
    let header = |name: &str, value: Option<&str>| {
        Some(HeaderRule { name: name.into(), value: value.map(|v| Pattern::new(v, None)) })
    };
    let block = || rule("r", Mode::Block);
    for (rule, is_met) in [
        (RuleSettings { addresses: nets("127.0.0.0/8"), ..block() }, true),
        (RuleSettings { addresses: nets("10.0.0.0/8"), ..block() }, false),
        (RuleSettings { methods: vec!["POST".into()], ..block() }, true),
        (RuleSettings { methods: vec!["PUT".into()], ..block() }, false),
        (RuleSettings { path: Some(Pattern::new("/v1/*/access", None)), ..block() }, true),
        (RuleSettings { path: Some(Pattern::new("/v1", None)), ..block() }, false),
        (RuleSettings { header: header("x-a", Some("*can*")), ..block() }, true),
        (RuleSettings { header: header("x-a", Some("can")), ..block() }, false),
        (RuleSettings { header: header("x-a", None), ..block() }, false),
        (RuleSettings { header: header("x-b", None), ..block() }, true),
        (RuleSettings { header: header("x-b", Some("*")), ..block() }, false),
        (
            RuleSettings { methods: vec!["POST".into()], addresses: nets("10.0.0.0/8"), ..block() },
            false,
        ),
    ] {
        let open = with(vec![rule.clone()]).await;
        let reply = open.post(&[("x-a", "a scanner"), ("x-a", "scanner")], "x").await;
        assert_eq!(reply.status, if is_met { 403 } else { 202 }, "{rule:?}");
    }
}

#[tokio::test]
async fn a_rate_lets_so_many_of_one_address_through() {
    let rate = Some(CountRate { count: 2, per: Duration::from_hours(1) });
    let open = with(vec![RuleSettings { rate, ..rule("pace", Mode::Block) }]).await;

    for _ in 0..2 {
        check_accepted(&open.post(&[], "x").await, 1);
    }
    check_problem(&open.post(&[], "x").await, 429, "rate-limited");
    assert_eq!((met(&open, "pace", "block"), open.stored()), (1, 2));
}

#[tokio::test]
async fn guesses_too_fast_and_over_quota_have_answers_of_their_own() {
    let quota = Some(Quota { limit: 1, period: Period::Month });
    let plan = PlanSettings { quota, ..PlanSettings::default() };
    let guesses = Some(CountRate { count: 2, per: Duration::from_mins(1) });
    let open = Wanted { keys: vec![key("a")], plan, guesses, ..Wanted::default() }.open().await;
    let own = [("x-api-key", open.secrets[0].as_str())];

    check_accepted(&open.post(&own, "x").await, 1);
    let over = open.post(&own, "x").await;
    check_problem(&over, 429, "over-quota");
    // From 2026-11-22T06:05:19 to the first of December.
    let wait: u64 = over.header("retry-after").unwrap().parse().unwrap();
    assert!((755_600..=755_681).contains(&wait), "{wait}");
    for _ in 0..3 {
        check_problem(&open.post(&[("x-api-key", "guess")], "x").await, 401, "unknown-caller");
    }
    check_problem(&open.post(&own, "x").await, 429, "too-many-guesses");
    assert_eq!(open.stored(), 1);
}
