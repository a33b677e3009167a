#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| omcp_mcp::token::replay::run(input));
