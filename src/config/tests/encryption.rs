//! Keys of queues: named once, followed like every secret, and never printed.

use crate::queue::Key;

use super::support::{check, check_warnings, sound};

const AROUND: &str = "[stream.s]\ndestinations = [\"d\"]\nqueue.encryption = \"at-rest\"\n\
                      [destination.d]\ntype = \"directory\"\npath = \"d\"\n";

#[test]
fn keys_come_from_files_and_from_systemd() {
    let text = format!(
        "{AROUND}[encryption.at-rest]\ntype = \"key\"\nkey = \"credential:queue_key\"\n\
         old_keys = [\"file:old.key\"]\n"
    );
    let config = sound(&text).config;
    let stream = &config.streams["s"];
    assert_eq!(stream.queue.keys.current(), Some(&Key::new([7; 32])));
    assert_eq!(stream.queue.keys.old(), [Key::new([8; 32])]);
    assert_eq!((stream.queue.compresses, &stream.kms), (false, &None));
    let printed = format!("{config:?}{}", config.summary());
    let id = Key::new([7; 32]).id().to_string();
    assert!(config.summary().contains(&format!("sealed with the key {id}")), "{printed}");
    assert!(!printed.contains("0707") && !printed.contains("7, 7") && !printed.contains("0808"));
}

#[test]
fn keys_of_kms_are_made_at_the_start() {
    let text = format!(
        "{AROUND}[encryption.at-rest]\ntype = \"kms\"\nkms_key = \"alias/weir\"\n\
         region = \"eu-west-1\"\nold_keys = \"file:old.key\"\nrotate_after = \"30 d\"\n"
    );
    let config = sound(&text).config;
    let stream = &config.streams["s"];
    assert_eq!(stream.queue.keys.current(), None);
    assert_eq!(stream.queue.keys.old(), [Key::new([8; 32])]);
    let kms = stream.kms.as_ref().unwrap();
    assert_eq!((kms.key.as_str(), kms.rotate_after.as_secs()), ("alias/weir", 30 * 86_400));
    assert_eq!(kms.aws.region.as_deref(), Some("eu-west-1"));
}

#[test]
fn what_is_no_key_and_a_table_that_is_not_there_are_faults() {
    check(
        &format!("{AROUND}[encryption.at-rst]\ntype = \"key\"\nkey = \"file:secret\"\n"),
        "
error: the queue of stream `s` is sealed by `at-rest`, but there is no [encryption.at-rest]
 --> /etc/weir/weir.toml:3:20
  |
3 | queue.encryption = \"at-rest\"
  |                    ^^^^^^^^^ no [encryption.at-rest]
hint: did you mean `at-rst`?

error: `key` leads to what is no key: it has 3 bytes, but a key has 32
 --> /etc/weir/weir.toml:9:7
  |
9 | key = \"file:secret\"
  |       ^^^^^^^^^^^^^ not a key
hint: `openssl rand -hex 32` makes one

2 problems in /etc/weir/weir.toml; nothing was started",
    );
}

#[test]
fn a_key_that_everybody_can_read_is_taken_with_a_warning() {
    check_warnings(
        &format!("{AROUND}[encryption.at-rest]\ntype = \"key\"\nkey = \"file:open.key\"\n"),
        "
warning: nothing feeds stream `s`
 --> /etc/weir/weir.toml:1:1
  |
1 | [stream.s]
  | ^^^^^^^^^^ no tail, and no listener
hint: add an [http.NAME], or a [tail.NAME] with this stream

warning: everybody on this machine can read /etc/weir/open.key
 --> /etc/weir/weir.toml:9:7
  |
9 | key = \"file:open.key\"
  |       ^^^^^^^^^^^^^^^ a key for all to see
hint: chmod o= /etc/weir/open.key",
    );
}
