#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| weir::dead_letter::fuzzing::letters(bytes));
