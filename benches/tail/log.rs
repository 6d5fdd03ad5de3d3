//! An access log as nginx writes it, about 185 bytes a line, the same at every run.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

const PATHS: [&str; 6] =
    ["/", "/api/v1/items", "/static/app.3f2a9c.js", "/login", "/api/v1/orders", "/healthz"];
const AGENTS: [&str; 3] = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15",
    "kube-probe/1.31",
];

/// Writes lines until the file has so many bytes; gives the number of lines.
pub(crate) fn write(path: &Path, bytes: u64) -> u64 {
    let mut random = fastrand::Rng::with_seed(7);
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path).expect("a scratch file"));
    let (mut written, mut lines) = (0, 0);
    while written < bytes {
        let line = line(lines, &mut random);
        file.write_all(line.as_bytes()).expect("room for the log");
        written += line.len() as u64;
        lines += 1;
    }
    file.flush().expect("room for the log");
    lines
}

fn line(number: u64, random: &mut fastrand::Rng) -> String {
    let second = number / 2_000;
    let (path, agent) = (PATHS[random.usize(..6)], AGENTS[random.usize(..3)]);
    format!(
        "10.{}.{}.{} - - [24/Nov/2026:{:02}:{:02}:{:02} +0000] \"GET {path}?id={:07} HTTP/1.1\" {} {} \
         \"https://shop.example.com/p/{:05}\" \"{agent}\" {}.{:03} {number:08}\n",
        random.u8(..),
        random.u8(..),
        random.u8(..),
        second / 3600 % 24,
        second / 60 % 60,
        second % 60,
        random.u32(..10_000_000),
        if random.u8(..20) == 0 { 404 } else { 200 },
        random.u32(100..90_000),
        random.u32(..100_000),
        random.u8(..3),
        random.u16(..1000),
    )
}
