//! Binding, and what is left behind.

use std::os::unix::fs::PermissionsExt as _;

use hyper::Method;

use super::*;
use crate::base::http_call::{Call, CallError, call};
use crate::base::scratch::Scratch;

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

    let listener = bind(&Address::Unix(path.clone())).await.unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    assert_eq!(listener.address(), format!("unix:{}", path.display()));

    drop(listener);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_leftover_socket_is_replaced_and_a_living_one_or_a_file_is_not() {
    let scratch = Scratch::new();
    let path = scratch.join("in.sock");
    let address = Address::Unix(path.clone());
    // Dropping the standard library's listener leaves the file, as a kill would.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());

    let living = bind(&address).await.unwrap();
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

    let missing = bind(&Address::Unix(scratch.join("none/in.sock"))).await.unwrap_err().to_string();
    let long = bind(&Address::Unix(scratch.join(&"x".repeat(120)))).await.unwrap_err().to_string();

    assert!(missing.contains("its folder does not exist"), "{missing}");
    assert!(long.contains("at most 107 bytes"), "{long}");
}

#[tokio::test]
async fn both_kinds_of_listener_answer_calls_until_asked_to_stop() {
    let scratch = Scratch::new();
    let unix = bind(&Address::Unix(scratch.join("in.sock"))).await.unwrap();
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
