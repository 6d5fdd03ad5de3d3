//! What `weir keys` does to the file.

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::admission::keys::{KeysError, add, list, revoke};
use crate::base::disk::{Open, beside};

fn names(door: &Door) -> Vec<String> {
    let listed = list(door.disk.as_ref(), &door.clock, &door.keys_path()).unwrap();
    listed.into_iter().map(|key| key.name).collect()
}

#[tokio::test(start_paused = true)]
async fn a_new_key_is_listed_as_it_was_asked_for_and_its_secret_stands_nowhere() {
    let door = Door::new();
    let new = keys::NewKey {
        name: "device-1".into(),
        plan: Some("gate\"way".into()),
        streams: Some(vec!["access".into(), "audit".into()]),
        expires: Some("2027-01-01T00:00:00Z".into()),
    };

    let secret = door.add_key(&new);
    let listed = list(door.disk.as_ref(), &door.clock, &door.keys_path()).unwrap();
    let text = std::fs::read_to_string(door.keys_path()).unwrap();
    let mode = std::fs::metadata(door.keys_path()).unwrap().permissions().mode();

    let [only] = listed.as_slice() else { panic!("{listed:?}") };
    assert_eq!((&only.name, &only.plan, &only.streams), (&new.name, &new.plan, &new.streams));
    assert_eq!(only.expires, new.expires);
    assert_eq!(only.created.as_deref(), Some("2026-11-22T06:05:19.123Z"));
    assert!(!only.is_expired && only.id.starts_with("sha256:") && only.id.len() == 19);
    let letters = secret.strip_prefix("weir_").unwrap();
    assert!(letters.len() == 43 && letters.chars().all(|c| c.is_ascii_alphanumeric()), "{secret}");
    assert!(!text.contains(letters));
    assert_eq!(mode & 0o777, 0o640);
}

#[tokio::test(start_paused = true)]
async fn a_third_key_of_one_caller_is_refused_and_the_file_stays() {
    let door = Door::new();
    door.add_key(&key("device-1"));
    door.add_key(&key("device-2"));
    door.add_key(&key("device-1"));
    let before = std::fs::read(door.keys_path()).unwrap();

    let words = add(door.disk.as_ref(), &door.clock, &door.keys_path(), &key("device-1"));

    assert!(words.unwrap_err().to_string().starts_with("`device-1` has 2 keys already"));
    assert_eq!(std::fs::read(door.keys_path()).unwrap(), before);
}

#[tokio::test(start_paused = true)]
async fn comments_and_other_keys_stay_when_keys_come_and_go() {
    let door = Door::new();
    let hash = |digit: &str| digit.repeat(64);
    let (a, b, c) = (hash("a"), hash("b"), hash("c"));
    let head = "# our keys\n\n# the gateway in the hall\n";
    let first = format!("[[key]]\nname = \"hall\" # upstairs\nhash = \"sha256:{a}\"\n");
    let middle = format!("\n[[key]]\nname = \"yard\"\n\nhash = \"sha256:{b}\"\n");
    let rest = format!(
        "\n# the one in the cellar\n[[key]]\nname = \"cellar\"\nhash = \"sha256:{c}\"\n# end\n"
    );
    std::fs::write(door.keys_path(), format!("{head}{first}{middle}{rest}")).unwrap();

    let ids = revoke(door.disk.as_ref(), &door.keys_path(), "yard").unwrap();

    let text = std::fs::read_to_string(door.keys_path()).unwrap();
    assert_eq!(ids, [format!("sha256:{}", "b".repeat(12))]);
    assert_eq!(text, format!("{head}{first}\n{rest}"));
    door.add_key(&key("attic"));
    assert!(std::fs::read_to_string(door.keys_path()).unwrap().starts_with(&text));
    assert_eq!(names(&door), ["hall", "cellar", "attic"]);
}

#[tokio::test(start_paused = true)]
async fn a_file_in_another_shape_is_written_anew_with_the_same_keys() {
    let door = Door::new();
    let (a, b) = ("a".repeat(64), "b".repeat(64));
    let text = format!(
        "key = [{{ name = \"hall\", hash = \"sha256:{a}\" }}, {{ name = \"yard\", hash = \"sha256:{b}\", plan = \"p\" }}]\n"
    );
    std::fs::write(door.keys_path(), text).unwrap();

    door.add_key(&key("attic"));
    assert_eq!(names(&door), ["hall", "yard", "attic"]);
    revoke(door.disk.as_ref(), &door.keys_path(), &format!("sha256:{}", "a".repeat(12))).unwrap();
    assert_eq!(names(&door), ["yard", "attic"]);
}

#[tokio::test(start_paused = true)]
async fn one_key_goes_by_its_id_and_all_of_a_caller_by_name() {
    let door = Door::new();
    for name in ["device-1", "device-1", "device-2"] {
        door.add_key(&key(name));
    }
    let id = list(door.disk.as_ref(), &door.clock, &door.keys_path()).unwrap()[0].id.clone();

    assert_eq!(revoke(door.disk.as_ref(), &door.keys_path(), &id).unwrap(), [id]);
    assert_eq!(names(&door), ["device-1", "device-2"]);
    revoke(door.disk.as_ref(), &door.keys_path(), "device-1").unwrap();
    assert_eq!(names(&door), ["device-2"]);
    let words = revoke(door.disk.as_ref(), &door.keys_path(), "device-1").unwrap_err().to_string();
    assert!(words.contains("has the name or id `device-1`"), "{words}");
}

#[tokio::test(start_paused = true)]
async fn what_makes_no_sense_is_refused_and_no_file_is_made() {
    let door = Door::new();
    let soon = |text: &str| keys::NewKey { expires: Some(text.into()), ..key("a") };
    let nothing = keys::NewKey { streams: Some(Vec::new()), ..key("a") };

    for wrong in [key("a b"), key(""), soon("tomorrow"), soon("2026-11-22T06:05:19Z"), nothing] {
        assert!(add(door.disk.as_ref(), &door.clock, &door.keys_path(), &wrong).is_err());
    }
    let words = revoke(door.disk.as_ref(), &door.keys_path(), "a").unwrap_err().to_string();
    assert!(words.starts_with("there is no file `"), "{words}");
    assert!(!door.keys_path().exists());
}

#[tokio::test(start_paused = true)]
async fn a_malformed_file_is_left_alone_with_its_fault_named() {
    let door = Door::new();
    std::fs::write(door.keys_path(), "[[key]]\nname = 3\n").unwrap();

    let words =
        add(door.disk.as_ref(), &door.clock, &door.keys_path(), &key("a")).unwrap_err().to_string();

    assert!(words.contains("is malformed: line 2:"), "{words}");
    assert_eq!(std::fs::read_to_string(door.keys_path()).unwrap(), "[[key]]\nname = 3\n");
}

#[tokio::test(start_paused = true)]
async fn a_file_under_change_is_not_changed_by_another() {
    let door = Door::new();
    door.add_key(&key("a"));
    let held = door.disk.open(&beside(&door.keys_path(), ".lock"), Open::Create).unwrap();
    assert!(held.try_lock().unwrap());

    let error = add(door.disk.as_ref(), &door.clock, &door.keys_path(), &key("b")).unwrap_err();

    assert!(matches!(error, KeysError::Busy(_)), "{error}");
    assert_eq!(names(&door), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_link_to_the_file_stays_a_link_and_the_mode_stays_too() {
    let door = Door::new();
    let real = door.scratch.join("real.toml");
    std::fs::write(&real, "").unwrap();
    std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o604)).unwrap();
    std::os::unix::fs::symlink(&real, door.keys_path()).unwrap();

    let secret = door.add_key(&key("a"));

    assert!(std::fs::symlink_metadata(door.keys_path()).unwrap().is_symlink());
    assert_eq!(std::fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o604);
    assert!(knock(&door.open(), Some(&secret), "access").await.is_ok());
}
