#![no_main]

#[path = "../judges/token.rs"]
mod token;

libfuzzer_sys::fuzz_target!(|input: &[u8]| token::judge(input));
