#![no_main]

#[path = "../judges/import.rs"]
mod import;
#[path = "../judges/world.rs"]
mod world;

libfuzzer_sys::fuzz_target!(|input: &[u8]| import::judge(input));
