//! Listeners: sockets, TLS and networks, as they are read and as their faults are told.

use crate::base::serve::{Access, TlsSettings};
use crate::config::Config;
use crate::source::http::{Forwarded, Listen};

use super::support::{check, check_warnings, sound};

const REST: &str =
    "[stream.a]\ndestinations = [\"d\"]\n[destination.d]\ntype = \"directory\"\npath = \"out\"\n";

fn with(http: &str) -> Config {
    sound(&format!("[http.lan]\n{http}\n{REST}")).config
}

#[test]
fn tls_is_read_with_paths_and_credentials() {
    let config = with(
        "listen = \"127.0.0.1:8443\"\ntls = { cert = \"tls.crt\", key = \"credential:tls.key\", \
         client_ca = \"devices-ca.pem\", client_cert = \"optional\", min_version = \"1.3\" }",
    );

    let right = TlsSettings {
        cert: "/etc/weir/tls.crt".into(),
        key: "/run/credentials/weir/tls.key".into(),
        client_ca: Some("/etc/weir/devices-ca.pem".into()),
        client_cert_optional: true,
        tls12: false,
    };
    assert_eq!(config.http[0].tls, Some(right));
}

#[test]
fn sockets_of_all_kinds_are_read() {
    let config = with(
        "listen = [\"127.0.0.1:1\", \"unix:in.sock\", \"systemd:https\"]\n\
         socket = { mode = \"0600\", owner = \"weir\", group = \"4\" }",
    );

    let access = Access { mode: 0o600, owner: Some("weir".into()), group: Some("4".into()) };
    let right = [
        Listen::Tcp("127.0.0.1:1".parse().unwrap()),
        Listen::Unix("/etc/weir/in.sock".into(), access),
        Listen::Systemd("https".into()),
    ];
    assert_eq!(config.http[0].listen, right);
}

#[test]
fn networks_and_proxies_are_read() {
    let config = with(
        "listen = \"127.0.0.1:1\"\nallow = [\"10.0.0.0/8\", \"fd00::/8\"]\ndeny = \"10.0.0.1\"\n\
         trusted_proxies = [\"unix\", \"127.0.0.1\"]\nforwarded = \"forwarded\"",
    );

    let http = &config.http[0];
    let nets = |nets: &crate::base::nets::Nets| {
        nets.0.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(nets(&http.allow), "10.0.0.0/8 fd00::/8");
    assert_eq!(nets(&http.deny), "10.0.0.1");
    assert_eq!(nets(&http.proxies.nets), "127.0.0.1");
    assert!(http.proxies.unix && http.proxies.header == Forwarded::Standard);
}

#[test]
fn files_of_tls_that_do_not_fit_are_told() {
    check(
        r#"
[http.a]
listen = "127.0.0.1:1"
tls = { cert = "tls.crt", key = "other.key" }
[http.b]
listen = "127.0.0.1:2"
tls = { cert = "none.crt", key = "credential:tls.key" }
[http.c]
listen = "127.0.0.1:3"
tls = { cert = "tls.crt", client_cert = "required" }
"#,
        r#"
error: `key` of TLS: `/etc/weir/other.key` is not the key of the certificate
 --> /etc/weir/weir.toml:3:33
  |
3 | tls = { cert = "tls.crt", key = *** }
  |                                 ^^^ cannot be used

error: `cert` of TLS: `/etc/weir/none.crt` does not exist
 --> /etc/weir/weir.toml:6:16
  |
6 | tls = { cert = "none.crt", key = "credential:tls.key" }
  |                ^^^^^^^^^^ cannot be used

error: [http.c.tls] has no `key`
 --> /etc/weir/weir.toml:9:7
  |
9 | tls = { cert = "tls.crt", client_cert = "required" }
  |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ `key` is missing
hint: for example: key = "credential:tls.key"

error: `client_cert` is "required", but nobody could check a certificate
 --> /etc/weir/weir.toml:9:41
  |
9 | tls = { cert = "tls.crt", client_cert = "required" }
  |                                         ^^^^^^^^^^ without `client_ca`
hint: for example: client_ca = "/etc/weir/devices-ca.pem"

4 problems in /etc/weir/weir.toml; nothing was started"#,
    );
}

#[test]
fn an_expired_certificate_is_a_warning() {
    check_warnings(
        &format!(
            "[http.a]\nlisten = \"127.0.0.1:1\"\ntls = {{ cert = \"expired.crt\", key = \"expired.key\" }}\n{REST}"
        ),
        r#"
warning: the certificate expired: it is valid until 2020-01-01T00:00:00.000Z
 --> /etc/weir/weir.toml:3:16
  |
3 | tls = { cert = "expired.crt", key = *** }
  |                ^^^^^^^^^^^^^ expired
hint: renew it; weir notices the new file by itself"#,
    );
}

#[test]
fn what_is_no_network_no_mode_and_no_name_is_told() {
    check(
        r#"
[http.a]
listen = ["systemd:", "127.0.0.1:1"]
allow = ["10.1.0.0/8", "lan"]
socket = { mode = "0999" }
"#,
        r#"
error: `listen` names no socket of systemd
 --> /etc/weir/weir.toml:2:11
  |
2 | listen = ["systemd:", "127.0.0.1:1"]
  |           ^^^^^^^^^^ no name
hint: for example: "systemd:https"

error: `allow` has "10.1.0.0/8", whose address lies inside its network
 --> /etc/weir/weir.toml:3:10
  |
3 | allow = ["10.1.0.0/8", "lan"]
  |          ^^^^^^^^^^^^ bits behind the prefix
hint: did you mean "10.0.0.0/8"?

error: `allow` has "lan", but it should be a network, like "10.0.0.0/8", or an address
 --> /etc/weir/weir.toml:3:24
  |
3 | allow = ["10.1.0.0/8", "lan"]
  |                        ^^^^^ not a network

error: `mode` is "0999", but it should be permission bits, octal
 --> /etc/weir/weir.toml:4:19
  |
4 | socket = { mode = "0999" }
  |                   ^^^^^^ not 0000 to 0777
hint: leave the line out for the default: mode = "0660"

4 problems in /etc/weir/weir.toml; nothing was started"#,
    );
}
