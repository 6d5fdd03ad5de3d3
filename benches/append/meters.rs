//! What the kernel says of this process and of a device.

use std::path::Path;

/// Seconds of CPU this process has used.
pub(crate) fn cpu_seconds() -> f64 {
    let stat = read("/proc/self/stat");
    let behind_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: f64 = behind_name.split_whitespace().skip(11).take(2).map(number).sum();
    ticks / TICKS_PER_SECOND
}

/// What Linux has told programs for decades, on every machine.
const TICKS_PER_SECOND: f64 = 100.0;

/// Forgets the peak of memory so far.
pub(crate) fn forget_peak() {
    // Where it cannot be forgotten, the peak is that of the whole run.
    drop(std::fs::write("/proc/self/clear_refs", "5"));
}

/// The most memory held since then.
pub(crate) fn peak_mib() -> f64 {
    field("/proc/self/status", "VmHWM:") / 1024.0
}

/// Bytes this process caused to be written to disks.
pub(crate) fn written_bytes() -> f64 {
    field("/proc/self/io", "write_bytes:")
}

/// Flushes a block device has done.
pub(crate) fn flushes(device: &Path) -> f64 {
    let stat = read(device.join("stat").to_str().unwrap_or_default());
    stat.split_whitespace().nth(15).map_or(0.0, number)
}

/// Smallest, middle and largest.
pub(crate) fn spread(values: &mut [f64]) -> String {
    values.sort_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    let (middle, last) = (values.len() / 2, values.len().saturating_sub(1));
    format!("{:.2} / {:.2} / {:.2}", at(0), at(middle), at(last))
}

fn field(file: &str, name: &str) -> f64 {
    let text = read(file);
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()).map_or(0.0, number)
}

fn number(text: &str) -> f64 {
    text.parse().unwrap_or(0.0)
}

fn read(file: &str) -> String {
    std::fs::read_to_string(file).unwrap_or_default()
}
