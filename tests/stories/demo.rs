//! The newcomer's minute: no configuration, no cloud, a record in by HTTP and out into a file.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::agent::Agent;
use crate::support::scratch::Scratch;
use crate::support::wait_for;

#[test]
fn a_record_of_the_demo_lands_in_a_file_below_its_folder() {
    let scratch = Scratch::new("demo");
    let agent = Agent::demo(&scratch, "here");
    // The words come a moment after the addresses.
    wait_for("the words", || {
        agent.log().contains("curl -d 'hello weir' http://127.0.0.1:").then_some(())
    });

    let answer = agent.client("local").post("demo", b"hello weir").unwrap();

    assert_eq!(answer.status, 202);
    let objects = wait_for("the record to arrive", || {
        let found = objects(&scratch.join("here/out"));
        (!found.is_empty()).then_some(found)
    });
    assert_eq!(fs::read_to_string(&objects[0]).unwrap(), "hello weir\n");
    assert_eq!(agent.terminate().code(), Some(0));
}

/// Finished objects below a folder; those still open are hidden.
fn objects(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("the folder can be listed").path();
        let name = path.file_name().expect("what is listed has a name");
        let is_hidden = name.as_encoded_bytes().starts_with(b".");
        match path.is_dir() {
            _ if is_hidden => {}
            true => found.extend(objects(&path)),
            false => found.push(path),
        }
    }
    found
}
