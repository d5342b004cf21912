//! Moorline's command: see `moorline::cli`.

fn main() {}
