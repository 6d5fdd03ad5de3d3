//! `man` and the shells know every command and every setting.

use std::fs;
use std::process::Command;

use crate::support::agent::weir;
use crate::support::run;
use crate::support::scratch::Scratch;

/// The commands of `weir COMMAND… --help`.
fn commands(scratch: &Scratch, of: &[&str]) -> Vec<String> {
    let help = weir(scratch, &[of, &["--help"]].concat()).succeeded();
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = listed.take_while(|line| !line.is_empty());
    let names = listed.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = names.filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

#[test]
fn every_command_and_the_configuration_have_a_page() {
    let scratch = Scratch::new("manual");
    let folder = scratch.folder("pages");
    let path = folder.display().to_string();

    weir(&scratch, &["man", &path]).succeeded();

    let mut pages = vec!["weir.1".to_owned(), "weir.toml.5".to_owned()];
    for command in commands(&scratch, &[]) {
        pages.push(format!("weir-{command}.1"));
        for below in commands(&scratch, &[&command]) {
            pages.push(format!("weir-{command}-{below}.1"));
        }
    }
    assert!(pages.contains(&"weir-queue-verify.1".to_owned()), "{pages:?}");
    for page in &pages {
        let text = fs::read_to_string(folder.join(page)).unwrap_or_else(|e| panic!("{page}: {e}"));
        assert!(text.contains(".SH NAME"), "{page}: {text}");
        // Whatever troff has to say of a page is a fault of it.
        let mut groff = Command::new("groff");
        let groff =
            groff.args(["-man", "-Kutf8", "-Tutf8", "-ww", "-z", "-rHY=0"]).arg(folder.join(page));
        let told = groff.output().expect("groff, which ./tests/run installs");
        let complaints = String::from_utf8_lossy(&told.stderr).into_owned();
        assert!(told.status.success() && complaints.is_empty(), "{page}: {complaints}");
    }
    assert_eq!(fs::read_dir(&folder).unwrap().count(), pages.len());
    let page = fs::read_to_string(folder.join("weir-run.1")).unwrap();
    assert!(page.contains("WEIR_CONFIG") && page.contains("\\-\\-once"), "{page}");

    let nowhere = weir(&scratch, &["man", "no/such/folder"]);
    assert_eq!(nowhere.code, Some(74), "{nowhere:?}");
    assert!(nowhere.stderr.contains("no/such/folder"), "{nowhere:?}");
}

#[test]
fn shells_complete_commands_and_flags() {
    let scratch = Scratch::new("completions");
    let script = |shell| {
        let text = weir(&scratch, &["completions", shell]).succeeded();
        scratch.write(&format!("weir.{shell}"), &text).display().to_string()
    };

    let bash = format!(
        "source {}; COMP_WORDS=(weir queue ver); COMP_CWORD=2; _weir weir ver queue; echo ${{COMPREPLY[@]}}",
        script("bash")
    );
    assert_eq!(run(Command::new("bash").args(["--norc", "-c", &bash])).trim(), "verify");
    let fish = format!("source {}; complete --do-complete 'weir status --li'", script("fish"));
    let offered = run(Command::new("fish").args(["--no-config", "-c", &fish]));
    assert!(offered.starts_with("--live"), "{offered}");
    let zsh = script("zsh");
    run(Command::new("zsh").args(["-f", "-n", &zsh]));
    let text = fs::read_to_string(&zsh).unwrap();
    assert!(text.starts_with("#compdef weir\n") && text.contains("'--live["), "{text}");

    let unknown = weir(&scratch, &["completions", "tcl"]);
    assert_eq!((unknown.code, unknown.stdout.as_str()), (Some(64), ""), "{unknown:?}");
}
