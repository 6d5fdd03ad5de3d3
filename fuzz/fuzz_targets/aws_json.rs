#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| weir::source::http::fuzzing::aws_json(bytes));
