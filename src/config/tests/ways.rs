//! Ways to a service, credentials and key templates: what is read, and what is said of what is wrong.

use std::time::Duration;

use crate::base::secret::Secret;
use crate::config::Destination;
use crate::record::{KeySource, KeyTemplate};
use crate::sink::{AwsSettings, InstanceCredentials, IotSettings, Proxy, RoleSettings};

use super::support::{check, read, sound};

fn kinesis(lines: &str) -> String {
    format!(
        "[http.local]\nlisten = \"127.0.0.1:0\"\n[stream.a]\ndestinations = [\"k\"]\n\
         [destination.k]\ntype = \"kinesis\"\nstream_name = \"x\"\n{lines}"
    )
}

#[track_caller]
fn aws(lines: &str) -> AwsSettings {
    match sound(&kinesis(lines)).config.destinations.remove("k") {
        Some(Destination::Kinesis(settings)) => settings.aws,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn messages(lines: &str) -> Vec<String> {
    let findings = read(&kinesis(lines)).unwrap_err();
    findings.shown().iter().map(|finding| finding.message().to_owned()).collect()
}

#[test]
fn every_way_to_a_service_is_read() {
    let found = aws("fips = true\ndual_stack = true\nproxy = \"http://me:word@proxy:3128\"\n\
         ca_bundle = \"ca.pem\"\ninstance_credentials = \"off\"\n\
         assume_role = { arn = \"arn:aws:iam::123456789012:role/a/b\", external_id = \"x\", \
         session_name = \"gw\", duration = \"15 min\", endpoint_url = \"https://sts\" }\n\
         iot = { endpoint = \"c1.credentials.iot.eu-west-1.amazonaws.com\", role_alias = \"r\", \
         thing_name = \"t\", cert = \"d.pem\", key = \"/k/d.key\" }\n");

    let expected = AwsSettings {
        fips: true,
        dual_stack: true,
        proxy: Proxy::Through(Secret::new("http://me:word@proxy:3128")),
        ca_bundle: Some("/etc/weir/ca.pem".into()),
        instance_credentials: InstanceCredentials::Off,
        assume_role: Some(RoleSettings {
            arn: "arn:aws:iam::123456789012:role/a/b".into(),
            external_id: Some(Secret::new("x")),
            session_name: "gw".into(),
            duration: Duration::from_mins(15),
            endpoint_url: Some("https://sts".into()),
        }),
        iot: Some(IotSettings {
            endpoint: "c1.credentials.iot.eu-west-1.amazonaws.com".into(),
            role_alias: "r".into(),
            thing_name: Some("t".into()),
            cert: "/etc/weir/d.pem".into(),
            key: "/k/d.key".into(),
            ca: None,
        }),
        ..AwsSettings::default()
    };
    assert_eq!(found, expected);
    assert_eq!(aws("proxy = \"off\"\n").proxy, Proxy::Off);
    assert_eq!(aws(""), AwsSettings::default());
}

#[test]
fn an_endpoint_of_ones_own_excludes_the_variants_of_the_regions() {
    let url = "endpoint_url = \"http://127.0.0.1:1\"\n";
    let told = messages(&format!("{url}fips = true\ndual_stack = true\n"));
    assert_eq!(
        told,
        [
            "`fips` and `endpoint_url` stand together",
            "`dual_stack` and `endpoint_url` stand together"
        ]
    );
    aws(&format!("{url}fips = false\n"));
}

#[test]
fn a_proxy_that_is_none_is_told_without_its_password() {
    for wrong in ["proxy:3128", "socks5://me:hush@x", "http://", "http://:3128", "http://a b"] {
        let findings = read(&kinesis(&format!("proxy = \"{wrong}\"\n"))).unwrap_err().to_string();
        assert!(findings.contains("`proxy` is no address of a proxy"), "{findings}");
        assert!(!findings.contains("hush"), "{findings}");
    }
}

#[test]
fn a_device_certificate_needs_all_its_parts_and_stands_alone() {
    let whole = "endpoint = \"h\", role_alias = \"r\", cert = \"c\", key = \"k\"";
    let told = messages("iot = { endpoint = \"h\" }\n");
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told.iter().all(|message| message.contains("has no `")), "{told:?}");
    for other in ["profile = \"p\"\n", "access_key_id = \"a\"\nsecret_access_key = \"b\"\n"] {
        let told = messages(&format!("{other}iot = {{ {whole} }}\n"));
        let expected = "`iot` stands together with other credentials, but only one can decide";
        assert!(told.iter().any(|message| message == expected), "{told:?}");
    }
    for (name, wrong) in [("endpoint", "https://h/x"), ("role_alias", "a/b"), ("thing_name", "a b")]
    {
        let rest = whole.split(", ").filter(|row| !row.starts_with(name));
        let rows: Vec<_> =
            rest.map(str::to_owned).chain([format!("{name} = \"{wrong}\"")]).collect();
        let told = messages(&format!("iot = {{ {} }}\n", rows.join(", ")));
        assert_eq!(told, [format!("`{wrong}` cannot be the {name}")]);
    }
}

#[test]
fn a_role_must_be_one() {
    for wrong in ["ingest", "arn:aws:iam::123:role/x", "arn:aws:iam::123456789012:user/x"] {
        let told = messages(&format!("assume_role = {{ arn = \"{wrong}\" }}\n"));
        assert_eq!(told, [format!("`{wrong}` cannot be the arn")]);
    }
    let arn = "arn = \"arn:aws-cn:iam::123456789012:role/x\"";
    assert!(aws(&format!("assume_role = {{ {arn} }}\n")).assume_role.is_some());
    for wrong in ["a", "with blank"] {
        let told = messages(&format!("assume_role = {{ {arn}, session_name = \"{wrong}\" }}\n"));
        assert_eq!(told, [format!("`{wrong}` cannot be the session_name")]);
    }
}

#[test]
fn a_key_template_is_compiled_and_a_fault_in_it_has_a_caret() {
    let text = "[http.local]\nlisten = \"127.0.0.1:0\"\n[stream.a]\ndestinations = [\"d\"]\n\
                partition_key = \"{json:/a}|x\"\n[destination.d]\ntype = \"directory\"\npath = \"p\"\n";
    let config = sound(text).config;
    let template: &KeyTemplate =
        config.admission.streams["a"].partition_key.as_ref().expect("it is set");
    let from = |payload| KeySource { payload, origin: None, caller: "", source: "" };
    assert_eq!(template.key(&from(br#"{"a":"1"}"#)).as_deref(), Some("1"));
    assert_eq!(template.key(&from(b"")).as_deref(), Some("x"));

    check(
        &text.replace("{json:/a}|x", "{json:/a}-{fil}"),
        r#"
error: `partition_key` is no template
 --> /etc/weir/weir.toml:5:29
  |
5 | partition_key = "{json:/a}-{fil}"
  |                             ^^^^ there is no such field; there are json:/POINTER, header:NAME, route:NAME, file, caller, source, hash and random
hint: for example: partition_key = "{json:/user/id}|{file}"

1 problem in /etc/weir/weir.toml; nothing was started
"#,
    );
}
