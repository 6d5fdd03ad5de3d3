//! Without credentials nothing is lost: the destination is held, says why, and goes on once a
//! profile has some.

use crate::support::agent::Agent;
use crate::support::peers::Kinesis;
use crate::support::scratch::Scratch;
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
    assert_eq!(agent.admin("/readyz").status, 200, "records are still taken");
    // The agent's home is the scratch folder; nobody starts it again.
    let profile = "[default]\naws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = example\n";
    scratch.folder(".aws");
    scratch.write(".aws/credentials", profile);
    wait_for("the record to be delivered", || {
        (agent.status()["streams"]["orders"]["destinations"]["cloud"]["delivered"] == 1)
            .then_some(())
    });
    assert_eq!(kinesis.payloads("orders"), [b"waits".to_vec()]);
}
