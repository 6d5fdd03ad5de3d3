#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| weir::config::fuzzing::config(bytes));
