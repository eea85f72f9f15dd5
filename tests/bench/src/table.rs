//! The table that `make bench` prints.

use std::time::Duration;

/// Prints median and 99th percentile of each operation.
#[expect(clippy::print_stdout, reason = "the table is what this program is for")]
pub(crate) fn print(volumes: usize, table: &[(&str, Vec<Duration>)]) {
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    println!("machine {}, {volumes} of each, one after the other", machine.trim());
    println!("| operation | p50 | p99 |\n|---|---|---|");
    for (name, taken) in table {
        let mut sorted = taken.clone();
        sorted.sort_unstable();
        let at = |percent: usize| sorted.get(sorted.len() * percent / 100).copied().unwrap_or_default();
        println!("| {name} | {:.2?} | {:.2?} |", at(50), at(99));
    }
}
