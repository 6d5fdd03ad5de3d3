//! Binding, and what is left behind.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use hyper::Method;

use super::*;
use crate::base::http_call::{Call, CallError, call};
use crate::base::scratch::Scratch;

fn unix(path: PathBuf) -> Address {
    Address::Unix(path, Access::default())
}

#[tokio::test]
async fn a_taken_port_is_named_with_what_to_do() {
    let first = tcp().await;
    let taken = first.tcp_address().unwrap();

    let words = bind(&Address::Tcp(taken)).await.unwrap_err().to_string();

    let port = taken.port();
    assert_eq!(
        words,
        format!(
            "`{taken}` is taken by another program; choose another port, or see who holds it with `ss -ltnp 'sport = :{port}'`"
        )
    );
}

#[tokio::test]
async fn a_unix_socket_is_for_owner_and_group_and_goes_with_its_listener() {
    let scratch = Scratch::new();
    let path = scratch.join("in.sock");

    let listener = bound(&unix(path.clone())).await;
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    assert_eq!(listener.address(), format!("unix:{}", path.display()));

    drop(listener);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_unix_socket_has_the_mode_and_owner_that_were_asked_for() {
    let scratch = Scratch::new();
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    let own = |mode| Access { mode, owner: Some(uid.to_string()), group: Some(gid.to_string()) };

    let listener =
        bind(&Address::Unix(scratch.join("in.sock"), own(0o600))).await.unwrap().remove(0);
    let meta = std::fs::metadata(scratch.join("in.sock")).unwrap();
    assert_eq!(meta.permissions().mode() & 0o777, 0o600);
    let unknown = Access { owner: Some("nobody-at-all".into()), ..Access::default() };
    let error = bind(&Address::Unix(scratch.join("b.sock"), unknown)).await.unwrap_err();
    assert!(
        error.to_string().ends_with("`nobody-at-all`, which /etc/passwd does not have"),
        "{error}"
    );
    assert!(!scratch.join("b.sock").exists());

    let (stop, echo, served) = start(vec![listener], limits());
    let target = format!("unix:{}", scratch.join("in.sock").display());
    call(&target, Call::new(Method::GET, "/", "")).await.unwrap();
    let who = echo.process.lock().unwrap().unwrap();
    assert_eq!((who.uid, who.gid, who.pid), (uid, gid, std::process::id().try_into().ok()));
    stop.ask();
    served.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_leftover_socket_is_replaced_and_a_living_one_or_a_file_is_not() {
    let scratch = Scratch::new();
    let path = scratch.join("in.sock");
    let address = unix(path.clone());
    // Dropping the standard library's listener leaves the file, as a kill would.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());

    let living = bound(&address).await;
    let words = bind(&address).await.unwrap_err().to_string();
    assert!(words.contains("another program that answers on it"), "{words}");

    drop(living);
    std::fs::write(&path, "a diary").unwrap();
    let words = bind(&address).await.unwrap_err().to_string();
    assert!(words.contains("a file that is no socket"), "{words}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "a diary");
}

#[tokio::test]
async fn a_missing_folder_and_a_long_path_are_told_apart() {
    let scratch = Scratch::new();

    let missing = bind(&unix(scratch.join("none/in.sock"))).await.unwrap_err().to_string();
    let long = bind(&unix(scratch.join(&"x".repeat(120)))).await.unwrap_err().to_string();

    assert!(missing.contains("its folder does not exist"), "{missing}");
    assert!(long.contains("at most 107 bytes"), "{long}");
}

#[tokio::test]
async fn both_kinds_of_listener_answer_calls_until_asked_to_stop() {
    let scratch = Scratch::new();
    let unix = bound(&unix(scratch.join("in.sock"))).await;
    let tcp = tcp().await;
    let targets = [unix.address().to_owned(), format!("http://{}", tcp.address())];
    let (stop, echo, served) = start(vec![unix, tcp], limits());

    for target in &targets {
        let reply = call(target, Call::new(Method::POST, "/", "abcd")).await.unwrap();
        assert_eq!((reply.status, reply.body.as_ref()), (200, b"4".as_ref()));
        assert_eq!(reply.header("content-length"), Some("1"));
    }
    stop.ask();
    served.await.unwrap().unwrap();

    assert_eq!(echo.open.load(Ordering::Relaxed), 0);
    for target in &targets {
        let error = call(target, Call::new(Method::GET, "/", "")).await.unwrap_err();
        assert!(matches!(error, CallError::Away(_)), "{error}");
    }
}

#[tokio::test]
async fn a_call_is_bounded_in_size_and_time_and_knows_an_address() {
    let listener = tcp().await;
    let target = format!("http://{}", listener.address());
    let (_stop, _, _served) = start(vec![listener], limits());

    let small = Call { answer_bytes_max: 0, ..Call::new(Method::POST, "/", "abc") };
    let slow = Call { timeout: Duration::from_millis(20), ..Call::new(Method::GET, "/slow", "") };
    for broken in [small, slow] {
        assert!(matches!(call(&target, broken).await.unwrap_err(), CallError::Broken(_)));
    }
    for wrong in ["", "127.0.0.1:80", "https://a:1", "http://a", "http://a:1/path"] {
        let error = call(wrong, Call::new(Method::GET, "/", "")).await.unwrap_err();
        assert!(matches!(error, CallError::Malformed(_)), "{wrong}: {error}");
    }
}
