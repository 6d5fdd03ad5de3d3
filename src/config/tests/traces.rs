//! `traces`: what a collector is shown is a secret, and what cannot be sent is told at its place.

use super::support::{check, check_warnings, read, slips, sound};

const AROUND: &str = "[http.a]\nlisten = \"127.0.0.1:1\"\n[stream.s]\ndestinations = [\"k\"]\n\
                      [destination.k]\ntype = \"kinesis\"\nstream_name = \"x\"\n[traces]\n";

#[test]
fn headers_are_secrets_under_names_in_lower_case() {
    let config = sound(&format!(
        "{AROUND}endpoint = \"https://traces.example\"\nca_bundle = \"ca.pem\"\n\
         headers.Authorization = \"credential:traces_authorization\"\n\
         headers.x-api-key = \"file:secret\"\n"
    ))
    .config;

    let traces = config.traces.as_ref().unwrap();
    let shown = traces.headers.iter().map(|(name, value)| (name.as_str(), value.reveal()));
    assert_eq!(
        shown.collect::<Vec<_>>(),
        [("authorization", "Bearer hush"), ("x-api-key", "hush")]
    );
    assert_eq!(traces.ca_bundle.as_deref(), Some("/etc/weir/ca.pem".as_ref()));
    assert!(!format!("{config:?}{}", config.summary()).contains("hush"));
}

#[test]
fn headers_that_cannot_be_sent_are_faults_at_their_places() {
    check(
        &format!(
            "{AROUND}endpoint = \"http://127.0.0.1:4318\"\n[traces.headers]\n\
             \"x y\" = \"${{KEY_ID}}\"\nContent-Type = \"${{KEY_ID}}\"\nx-a = \"file:two_lines\"\n\
             x-b = \"${{NOPE}}\"\nx-c = \"file:empty\"\nx-d = [\"hush\"]\nX-A = \"${{KEY_ID}}\"\n"
        ),
        r#"
error: `x y` cannot be the name of a header
  --> /etc/weir/weir.toml:11:1
   |
11 | "x y" = "${KEY_ID}"
   | ^^^^^ not a name
hint: letters, digits and dashes, like authorization or "x-api-key"

error: header `Content-Type` is not for you to set
  --> /etc/weir/weir.toml:12:1
   |
12 | Content-Type = "${KEY_ID}"
   | ^^^^^^^^^^^^ weir writes it
hint: take it out

error: the value of header `x-a` has something in it that no header may have
  --> /etc/weir/weir.toml:13:7
   |
13 | x-a = "file:two_lines"
   |       ^^^^^^^^^^^^^^^^ not one line of plain text
hint: one line of visible ASCII; only the final newline of a file is left out

error: `x-b` cannot be had: the environment has no variable `NOPE`
  --> /etc/weir/weir.toml:14:7
   |
14 | x-b = "${NOPE}"
   |       ^^^^^^^^^ leads nowhere
hint: a secret is "${NAME}", "file:PATH" or "credential:NAME"

error: `x-c` is empty
  --> /etc/weir/weir.toml:15:7
   |
15 | x-c = "file:empty"
   |       ^^^^^^^^^^^^ nothing in it
hint: for example: headers = { authorization = "credential:traces_authorization" }

error: `x-d` is a list, but it should be a text in quotes
  --> /etc/weir/weir.toml:16:7
   |
16 | x-d = [***]
   |       ^^^^^ not a text
hint: for example: headers = { authorization = "credential:traces_authorization" }

error: header `X-A` stands there twice
  --> /etc/weir/weir.toml:17:1
   |
17 | X-A = "${KEY_ID}"
   | ^^^ a second time
hint: names of headers are the same in capitals; take one of them out

7 problems in /etc/weir/weir.toml; nothing was started"#,
    );
    check(
        &format!("{AROUND}endpoint = \"http://a:hush@127.0.0.1\"\nheaders = \"hush\"\n"),
        r#"
error: `endpoint` has a user name in it
 --> /etc/weir/weir.toml:9:12
  |
9 | endpoint = ***
  |            ^^^ not just an address
hint: write it as a header: headers = { authorization = "credential:traces_authorization" }

error: `headers` is a text, but it should be a table of texts in quotes, like { NAME = "${…}" }
  --> /etc/weir/weir.toml:10:11
   |
10 | headers = ***
   |           ^^^ not a table
hint: for example: headers = { authorization = "credential:traces_authorization" }

2 problems in /etc/weir/weir.toml; nothing was started"#,
    );
}

#[test]
fn a_password_in_an_address_is_not_shown_however_it_is_mistyped() {
    for endpoint in
        ["http://a:hush@c", "a:hush@c:4318", "https://a:hu sh hush@c", "ftp://a:hush@c/"]
    {
        let told = read(&format!("{AROUND}endpoint = \"{endpoint}\"\n")).unwrap_err().to_string();
        assert!(told.contains("has a user name in it") && !told.contains("hush"), "{told}");
    }
    let path = read(&format!("{AROUND}endpoint = \"http://127.0.0.1:4318/v1?mail=a@b\"\n"));
    assert!(path.is_ok(), "{path:?}");
}

#[test]
fn there_are_so_many_headers_and_no_longer_ones() {
    let many: String =
        (0..17).map(|number| format!("headers.x-{number} = \"${{KEY_ID}}\"\n")).collect();
    let told = read(&format!("{AROUND}endpoint = \"http://127.0.0.1:1\"\n{many}")).unwrap_err();
    assert!(told.to_string().contains("has 17, but at most 16 are sent"), "{told}");
    let long = format!("headers.x-a = \"{}\"\n", "a".repeat(4_097));
    let told = read(&format!("{AROUND}endpoint = \"http://127.0.0.1:1\"\n{long}")).unwrap_err();
    assert!(told.to_string().contains("`x-a` has more than 4096 bytes"), "{told}");
}

#[test]
fn headers_in_the_file_itself_or_over_the_network_in_clear_are_doubtful() {
    check_warnings(
        &format!(
            "{AROUND}endpoint = \"http://traces.example:4318\"\nheaders = {{ x-team = \"hush\" }}\n"
        ),
        r#"
warning: `headers` go to the collector in clear text
 --> /etc/weir/weir.toml:9:12
  |
9 | endpoint = "http://traces.example:4318"
  |            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^ not https, and not this host
hint: whoever is on the way could read them: use https

warning: `x-team` stands in the file itself, for all who can read it
  --> /etc/weir/weir.toml:10:22
   |
10 | headers = { x-team = *** }
   |                      ^^^ a secret in clear
hint: refer to it: "${NAME}", "file:PATH" or "credential:NAME""#,
    );
}

#[test]
fn no_slip_of_one_key_brings_a_header_to_light() {
    for name in ["authorization", "x-team"] {
        let text =
            format!("[traces]\nheaders.{name} = \"Hush7Hush7Hush7\"\nsample_percent = \"\"\n");
        // Of other names nothing but the one before them tells.
        let from = if name == "authorization" { 0 } else { text.find('.').unwrap() + 1 };
        for text in slips(&text, from) {
            let told = read(&text).expect_err("never sound").to_string();
            assert!(!told.contains("Hush7"), "{text}\n{told}");
        }
    }
}
