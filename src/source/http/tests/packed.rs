//! Packed bodies: what is understood, what is not, and what is a bomb.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

use super::*;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn bare_deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap()
}

async fn post(open: &Open, encoding: &str, body: impl Into<bytes::Bytes>) -> Reply {
    open.post(&[LINES, ("content-encoding", encoding)], body).await
}

#[tokio::test]
async fn each_packing_is_understood_at_any_size() {
    let open = Wanted::default().open().await;

    // The larger one is unpacked away from the async threads.
    for count in [3, 5_000] {
        let lines = (0..count).fold(String::new(), |text, n| text + &n.to_string() + "\n");
        let lines = lines.as_bytes();
        for (encoding, body) in [
            ("gzip", gzip(lines)),
            ("X-GZIP", gzip(lines)),
            ("identity, gzip", gzip(lines)),
            ("deflate", zlib(lines)),
            ("deflate", bare_deflate(lines)),
            ("zstd", zstd(lines)),
        ] {
            check_accepted(&post(&open, encoding, body).await, count);
        }
    }
    let members = [gzip(b"1\n2\n"), gzip(b"3\n")].concat();
    check_accepted(&post(&open, "gzip", members).await, 3);
    check_accepted(&post(&open, "identity", "1\n").await, 1);
}

#[tokio::test]
async fn what_is_cut_or_is_something_else_is_refused() {
    let open = Wanted::default().open().await;
    let text = "a line of some length that is not all the same\n".repeat(20);

    for (encoding, whole) in [
        ("gzip", gzip(text.as_bytes())),
        ("deflate", zlib(text.as_bytes())),
        ("zstd", zstd(text.as_bytes())),
    ] {
        for cut in [1, 4, whole.len() / 2] {
            let body = whole[..whole.len() - cut].to_vec();
            check_problem(&post(&open, encoding, body).await, 400, "bad-compression");
        }
        check_problem(&post(&open, encoding, "plain").await, 400, "bad-compression");
    }
    // What stands behind the end is never lost unnoticed.
    for (encoding, body) in [
        ("deflate", [zlib(b"1\n"), zlib(b"2\n")].concat()),
        ("deflate", [zlib(b"1\n"), b"garbage".to_vec()].concat()),
        ("deflate", [bare_deflate(b"1\n"), b"g".to_vec()].concat()),
        ("deflate", [bare_deflate(text.as_bytes()), bare_deflate(b"2\n")].concat()),
        ("gzip", [gzip(b"1\n"), b"garbage".to_vec()].concat()),
        ("zstd", [zstd(b"1\n"), b"garbage".to_vec()].concat()),
    ] {
        check_problem(&post(&open, encoding, body).await, 400, "bad-compression");
    }
    let mut flipped = gzip(text.as_bytes());
    let place = flipped.len() - 6;
    flipped[place] ^= 1;
    check_problem(&post(&open, "gzip", flipped).await, 400, "bad-compression");
    assert_eq!(open.stored(), 0);
}

#[tokio::test]
async fn packings_that_are_not_known_or_stacked_are_refused() {
    let open = Wanted::default().open().await;

    for encoding in ["br", "gzip, gzip", "gzip, zstd", "compress", "*"] {
        let reply = post(&open, encoding, gzip(b"1\n")).await;
        check_problem(&reply, 415, "unknown-encoding");
        assert_eq!(reply.header("accept-encoding"), Some("gzip, zstd, deflate, identity"));
    }
    let twice = [LINES, ("content-encoding", "gzip"), ("content-encoding", "gzip")];
    check_problem(&open.post(&twice, gzip(b"1\n")).await, 415, "unknown-encoding");
}

#[tokio::test]
async fn what_unpacks_is_bounded_in_size() {
    let open = Wanted { max_unpacked_bytes: 20_000, ..Wanted::default() }.open().await;

    for (bytes, status) in [(19_999, 202), (20_000, 202), (20_001, 413)] {
        for (encoding, pack) in
            [("gzip", gzip as fn(&[u8]) -> Vec<u8>), ("deflate", zlib), ("zstd", zstd)]
        {
            let body = pack("x".repeat(bytes).as_bytes());
            let reply = open.post(&[("content-encoding", encoding)], body).await;
            assert_eq!(reply.status, status, "{bytes} {encoding}");
            if status == 413 {
                check_problem(&reply, 413, "unpacked-too-large");
            }
        }
    }
}

#[tokio::test]
async fn a_bomb_is_refused_by_its_ratio_before_it_is_large() {
    let wanted = Wanted { max_unpacked_bytes: 1 << 30, ..Wanted::default() };
    let open = wanted.open().await;
    let zeros = vec![0; 16 << 20];

    for (encoding, body) in [("gzip", gzip(&zeros)), ("zstd", zstd(&zeros))] {
        assert!(body.len() < 32 << 10, "{encoding}: {} bytes", body.len());
        let reply = post(&open, encoding, body).await;
        check_problem(&reply, 413, "unpacked-too-large");
        let detail = "A body may unpack to at most 512 times its size. Nothing was stored; send it plain or in parts.";
        assert_eq!(json(&reply)["detail"], detail);
    }
    assert_eq!(open.stored(), 0);
}

#[tokio::test]
async fn a_zstd_window_beyond_the_standard_is_refused() {
    let open = Wanted::default().open().await;
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(24).unwrap();
    encoder.include_contentsize(false).unwrap();
    encoder.write_all(b"1\n").unwrap();
    let body = encoder.finish().unwrap();

    check_problem(&post(&open, "zstd", body).await, 400, "bad-compression");
}
