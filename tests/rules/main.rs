//! Rules about the project itself: floors, circles, forgotten files, the benches' options; no secret in a trace;
//! and the fuzz targets for a short time. Some bind the whole process (its address space, its log), so
//! they share a program with tests that do not mind.

mod bench_options;
mod book;
mod circles;
#[path = "../registry/common.rs"]
mod common;
mod files;
mod floors;
mod fuzz_smoke;
mod names;
mod promises;
#[path = "../registry/server.rs"]
mod server;
mod trace;
