//! Secrets are followed, and never printed.

use crate::config::Destination;

use super::support::{check, check_warnings, read, slips, sound};

const AROUND: &str = "[http.a]\nlisten = \"127.0.0.1:1\"\n[stream.s]\ndestinations = [\"k\"]\n\
                      [destination.k]\ntype = \"kinesis\"\nstream_name = \"x\"\n";

#[track_caller]
fn check_secret(written: &str) {
    let text = format!("{AROUND}access_key_id = \"${{KEY_ID}}\"\nsecret_access_key = {written}\n");
    let config = sound(&text).config;
    let Destination::Kinesis(settings) = &config.destinations["k"] else { panic!() };
    let credentials = settings.aws.credentials.as_ref().unwrap();
    assert_eq!(credentials.access_key_id.reveal(), "AKIAHUSH");
    assert_eq!(credentials.secret_access_key.reveal(), "hush");
    assert!(!format!("{config:?}{}", config.summary()).to_lowercase().contains("hush"));
}

#[test]
fn secrets_come_from_environment_files_and_systemd() {
    check_secret("\"file:/etc/weir/secret\"");
    check_secret("\"file:secret\"");
    check_secret("\"credential:telemetry_secret\"");
}

#[test]
fn a_secret_in_the_file_itself_is_taken_with_a_warning() {
    check_secret("\"hush\"");
    check_warnings(
        &format!("{AROUND}access_key_id = \"${{KEY_ID}}\"\nsecret_access_key = \"hush\" # mine\n"),
        "
warning: `secret_access_key` stands in the file itself, for all who can read it
 --> /etc/weir/weir.toml:9:21
  |
9 | secret_access_key = *** # mine
  |                     ^^^ a secret in clear
hint: refer to it: \"${NAME}\", \"file:PATH\" or \"credential:NAME\"",
    );
}

#[test]
fn a_secret_that_leads_nowhere_is_a_fault_that_shows_the_reference() {
    check(
        &format!(
            "{AROUND}access_key_id = \"${{NOPE}}\"\nsecret_access_key = \"file:nope\"\n\
             session_token = \"file:empty\"\n"
        ),
        "
error: `access_key_id` cannot be had: the environment has no variable `NOPE`
 --> /etc/weir/weir.toml:8:17
  |
8 | access_key_id = \"${NOPE}\"
  |                 ^^^^^^^^^ leads nowhere
hint: a secret is \"${NAME}\", \"file:PATH\" or \"credential:NAME\"

error: `secret_access_key` cannot be had: `/etc/weir/nope` cannot be read: entity not found
 --> /etc/weir/weir.toml:9:21
  |
9 | secret_access_key = \"file:nope\"
  |                     ^^^^^^^^^^^ leads nowhere
hint: a secret is \"${NAME}\", \"file:PATH\" or \"credential:NAME\"

error: `session_token` is empty
  --> /etc/weir/weir.toml:10:17
   |
10 | session_token = \"file:empty\"
   |                 ^^^^^^^^^^^^ nothing in it
hint: for example: session_token = \"file:/run/weir/session_token\"

3 problems in /etc/weir/weir.toml; nothing was started",
    );
}

#[test]
fn half_a_pair_of_keys_and_keys_beside_a_profile_are_faults() {
    check(
        &format!(
            "{AROUND}secret_access_key = \"hush\"\n[destination.f]\ntype = \"firehose\"\n\
                  delivery_stream = \"x\"\nprofile = \"edge\"\naccess_key_id = \"hush\"\n\
                  secret_access_key = \"hush\"\n"
        ),
        "
error: `secret_access_key` stands without `access_key_id`
 --> /etc/weir/weir.toml:8:21
  |
8 | secret_access_key = ***
  |                     ^^^ half of the credentials
hint: for example: access_key_id = \"${EDGE_ACCESS_KEY_ID}\"

error: `access_key_id` and `profile` stand together, but only one can decide
  --> /etc/weir/weir.toml:13:17
   |
13 | access_key_id = ***
   |                 ^^^ credentials of its own
hint: take one out: the keys, or profile = \"edge\"

2 problems in /etc/weir/weir.toml; nothing was started",
    );
}

#[test]
fn secrets_are_hidden_under_misspelt_keys_in_wrong_places_and_wrong_types() {
    check(
        "secrt_acess_key = \"hush\"\n[destination.k]\ntype = \"kinesis\"\nstream_name = \"x\"\n\
         secret_access_key = [\"hush\", \"hush\"]\nsession_token.of = \"hush\"\n\
         endpoint_url = \"https://me:hush@example.com\"\n",
        "
error: unknown key `secrt_acess_key` at the top of the file
 --> /etc/weir/weir.toml:1:1
  |
1 | secrt_acess_key = ***
  | ^^^^^^^^^^^^^^^ not a setting of the process
hint: what may stand here: `state_dir`, `grace`, `log`, `traces`, `emf`, `reload_on_change`, `http`, `route`, `rule`, `auth`, `plan`, `tail`, `stdin`, \
         `stream`, `destination`, `encryption`, `uplink`, `dead_letters` and `admin`

error: `secret_access_key` is a list, but it should be a text in quotes
 --> /etc/weir/weir.toml:5:21
  |
5 | secret_access_key = [***, ***]
  |                     ^^^^^^^^^^ not a text
hint: for example: secret_access_key = \"credential:secret_access_key\"

error: `session_token` is a table, but it should be a text in quotes
 --> /etc/weir/weir.toml:6:1
  |
6 | session_token.of = ***
  | ^^^^^^^^^^^^^ not a text
hint: for example: session_token = \"file:/run/weir/session_token\"

error: `endpoint_url` has a user name in it
 --> /etc/weir/weir.toml:7:16
  |
7 | endpoint_url = ***
  |                ^^^ not just an address
hint: credentials belong into `access_key_id` and `secret_access_key`

4 problems in /etc/weir/weir.toml; nothing was started",
    );
}

#[test]
fn a_password_in_an_address_is_not_shown_however_it_is_mistyped() {
    let cloud = "[destination.k]\ntype = \"kinesis\"\nstream_name = \"x\"\nendpoint_url";
    let asked = "[auth.a]\ntype = \"authorizer\"\nurl";
    for setting in [cloud, asked] {
        for url in ["https://a:hush@c", "a:hush@c:1", "https://a:hu sh hush@c", "ftp://a:hush@c/"] {
            let told = read(&format!("{setting} = \"{url}\"\n")).unwrap_err().to_string();
            assert!(told.contains("has a user name in it") && !told.contains("hush"), "{told}");
        }
    }
}

#[test]
fn no_slip_of_one_key_brings_a_secret_to_light() {
    let text = "[destination.k]\nsecret_access_key = \"Hush7Hush7Hush7\"\nregion = 5\n";
    for text in slips(text, 0) {
        let told = read(&text).expect_err("never sound").to_string();
        assert!(!told.contains("Hush7"), "{text}\n{told}");
    }
}
