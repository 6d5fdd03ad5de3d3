//! Without credentials nothing is lost: the destination is held, says why, and goes on once a
//! profile has some.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::runtime::Runtime;

use crate::support::agent::{Agent, orders_to_kinesis, weir};
use crate::support::books::{Books, Row};
use crate::support::fake_upstream::{Answer, FakeUpstream};
use crate::support::peers::{Kinesis, REGION};
use crate::support::scratch::Scratch;
use crate::support::tls_peer::{ALWAYS, Authority, IotAnswer, IotStub};
use crate::support::wait_for;

#[test]
fn without_credentials_records_wait_until_there_are_some() {
    let scratch = Scratch::new("credentials");
    let kinesis = Kinesis::start();
    kinesis.create_stream("orders", 1);
    let config = format!(
        r#"
        grace = "0 s"
        [http.local]
        listen = "127.0.0.1:0"
        [stream.orders]
        destinations = ["cloud"]
        {}
        "#,
        kinesis.destination("cloud", "orders"),
    );
    let agent = Agent::start_without_credentials(&scratch, &config);

    assert_eq!(agent.client("local").post("orders", b"waits").unwrap().status, 202);
    let hold = wait_for("the hold", || {
        let hold = agent.status()["streams"]["orders"]["destinations"]["cloud"]["hold"].take();
        (!hold.is_null()).then_some(hold)
    });

    assert_eq!((&hold["class"], &hold["code"]), (&"auth".into(), &"no-credentials".into()));
    let ready = agent.admin("/readyz");
    assert_eq!(ready.status, 200, "records are still taken");
    let words = "ready\nheld: orders to cloud (auth): cloud does not know or does not allow weir; \
                 mend the credentials or the policy; it says: no-credentials: ";
    assert!(ready.body.starts_with(words), "{}", ready.body);
    // The agent's home is the scratch folder; nobody starts it again.
    let profile = "[default]\naws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = example\n";
    scratch.folder(".aws");
    scratch.write(".aws/credentials", profile);
    wait_for("the record to be delivered", || {
        (agent.status()["streams"]["orders"]["destinations"]["cloud"]["delivered"] == 1)
            .then_some(())
    });
    assert_eq!(kinesis.payloads("orders"), [b"waits".to_vec()]);
    wait_for("the hold to be over", || (agent.admin("/readyz").body == "ready\n").then_some(()));
    let log = agent.log();
    let ended = log.lines().find(|line| line.contains("the destination takes records again"));
    assert!(ended.is_some_and(|line| line.contains("\"lasted\":")), "{log}");
}

#[test]
fn keys_in_files_are_exchanged_while_the_destination_is_held_for_them() {
    let (scratch, runtime) = (Scratch::new("key-files"), Runtime::new().unwrap());
    let fake = runtime.block_on(FakeUpstream::start());
    fake.script(|request| match request.scope.starts_with("AKIAOLD/") {
        true => Answer::refuse(403, "UnrecognizedClientException", "no such key"),
        false => Answer::Take,
    });
    let (id, key) = (scratch.write("id", "AKIAOLD\n"), scratch.write("key", "old\n"));
    let config = format!(
        "{}\naccess_key_id = \"file:{}\"\nsecret_access_key = \"file:{}\"\n",
        orders_to_kinesis(&fake.url(), ""),
        id.display(),
        key.display(),
    );
    let agent = Agent::start_without_credentials(&scratch, &config);
    assert_eq!(agent.client("local").post("orders", b"waits").unwrap().status, 202);
    wait_for("the hold", || {
        let hold = agent.status()["streams"]["orders"]["destinations"]["cloud"]["hold"].take();
        (hold["code"] == "UnrecognizedClientException" && hold["class"] == "auth").then_some(())
    });

    scratch.write("key", "new\n");
    scratch.write("id", "AKIANEW\n");
    let row = Books::settled(&agent).row("orders", "cloud");

    assert_eq!(row, Row { accepted: 1, delivered: 1, ..Row::default() });
    let last = fake.requests().pop().unwrap();
    assert!(last.scope.starts_with("AKIANEW/"), "{}", last.scope);
    assert!(agent.terminate().success());
}

#[test]
fn credentials_that_expire_in_an_outage_are_fetched_anew_when_it_is_over_and_nothing_dies() {
    let (scratch, runtime) = (Scratch::new("expiring"), Runtime::new().unwrap());
    let is_out = Arc::new(AtomicBool::new(false));
    let (services, devices) = (Authority::new("services"), Authority::new("devices"));
    let stub = runtime.block_on(IotStub::start(&services.issue("localhost", ALWAYS), &devices, {
        let is_out = Arc::clone(&is_out);
        move |before| match is_out.load(Ordering::SeqCst) {
            true => IotAnswer::Raw(503, "{}".into()),
            false => session(if before == 0 { "ASIAFIRST" } else { "ASIASECOND" }, before == 0),
        }
    }));
    let upstream = runtime.block_on(FakeUpstream::start());
    let address = upstream.address();
    let device = devices.issue("gateway-7", ALWAYS);
    let files =
        [("device.pem", &device.cert), ("device.key", &device.key), ("ca.pem", &services.pem)];
    for (name, text) in files {
        scratch.write(name, text);
    }
    let config = format!(
        r#"
        [http.local]
        listen = "127.0.0.1:0"
        [stream.orders]
        destinations = ["cloud"]
        [destination.cloud]
        type = "firehose"
        delivery_stream = "orders"
        region = "{REGION}"
        endpoint_url = "http://{address}"
        linger = "10 ms"
        retry_max = "200 ms"
        iot = {{ endpoint = "localhost:{port}", role_alias = "ingest", cert = "device.pem", key = "device.key", ca = "ca.pem" }}
        "#,
        port = stub.address.port(),
    );
    let agent = Agent::start_without_credentials(&scratch, &config);
    let client = agent.client("local");
    assert_eq!(client.post("orders", b"before").unwrap().status, 202);
    Books::settled(&agent);
    assert!(upstream.requests()[0].scope.starts_with("ASIAFIRST/"));
    let destination = || agent.status()["streams"]["orders"]["destinations"]["cloud"].take();
    assert!(destination()["credentials_end_unix_ms"].as_u64().is_some(), "{}", destination());
    let file = scratch.join("weir.toml").display().to_string();
    let shown = weir(&scratch, &["status", "--config", &file]).succeeded();
    assert!(shown.contains("orders to cloud: its credentials are good for "), "{shown}");

    // The uplink goes, and with it both services; the credentials end while it is gone.
    is_out.store(true, Ordering::SeqCst);
    runtime.block_on(upstream.stop());
    for number in 0..20 {
        let line = format!("during {number}");
        assert_eq!(client.post("orders", line.as_bytes()).unwrap().status, 202);
    }
    wait_for("the credentials to be over", || {
        let hold = destination()["hold"].take();
        assert_ne!(hold["class"], "auth", "there is nothing to mend but the uplink: {hold}");
        (hold["code"] == "credentials-out-of-reach" && hold["class"] == "transient").then_some(())
    });
    let upstream = runtime.block_on(FakeUpstream::start_at(address));
    is_out.store(false, Ordering::SeqCst);
    let books = Books::settled(&agent);

    let delivered = Row { accepted: 21, delivered: 21, ..Row::default() };
    assert_eq!(books.row("orders", "cloud"), delivered);
    let scopes: Vec<_> = upstream.requests().into_iter().map(|request| request.scope).collect();
    assert!(scopes.iter().all(|scope| scope.starts_with("ASIASECOND/")), "{scopes:?}");
    assert!(agent.terminate().success());
}

/// A session that is over for weir in three seconds, as it counts a minute early, or in a day.
fn session(access_key_id: &str, is_short: bool) -> IotAnswer {
    let life = time::Duration::seconds(if is_short { 63 } else { 86_400 });
    let ends = (OffsetDateTime::now_utc() + life).format(&Rfc3339).unwrap();
    IotAnswer::Credentials { access_key_id: access_key_id.into(), ends }
}
