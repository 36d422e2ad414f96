#![no_main]

#[path = "../judges/problem.rs"]
mod problem;
#[path = "../judges/world.rs"]
mod world;

libfuzzer_sys::fuzz_target!(|input: &[u8]| problem::judge(input));
