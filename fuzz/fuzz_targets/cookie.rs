#![no_main]

#[path = "../judges/cookie.rs"]
mod cookie;

libfuzzer_sys::fuzz_target!(|input: &[u8]| cookie::judge(input));
