# `just` lists these; install it with `cargo install just` or `pip install rust-just`.

_default:
    @just --list --unsorted

# what CI looks at first: format, clippy, licences, shellcheck, tests without servers
check:
    tests/run check

# all tests against real servers, installing what they need; or some parts: just test slurm registry
test *PARTS:
    tests/run {{ PARTS }}

# the whole line on this machine
demo *ARGS:
    cargo run --release --locked -- demo {{ ARGS }}

# everything that a release consists of, in dist/; just dist --target aarch64-unknown-linux-gnu; --help tells more
dist *ARGS:
    packaging/dist {{ ARGS }}

# write the golden texts anew after a wanted change; look at the difference before you commit it
golden:
    SNAPSHOTS=overwrite cargo test --locked

# the book in docs/ as web pages, in target/book (needs mdbook); `just book serve` shows it while you write
book VERB="build":
    mdbook {{ VERB }} docs

# how long things take here
bench *ARGS:
    cargo bench --locked {{ ARGS }}

# four made-up images converted, beside other programs that do it, those that are installed; --help tells more
bench-convert *ARGS:
    cargo bench --locked --bench convert -- {{ ARGS }}

# 1,000 references and one, beside skopeo and crane (which it fetches)
bench-resolve *ARGS:
    tests/env/bench-resolve.sh {{ ARGS }}

# one image read through moorline's own server, squashfuse_ll and the kernel; needs root; --help tells more
bench-read *ARGS:
    cargo build --release --locked
    tests/env/bench-read.py {{ ARGS }}

# a warm moorline run beside apptainer exec of the same SIFs; needs root; --help tells more
bench-run *ARGS:
    cargo build --release --locked
    tests/env/bench-run.py {{ ARGS }}

# 200 jobs that start together on one image, as processes of this machine; MOORLINE_STORM and MOORLINE_STORM_MB say otherwise
bench-storm:
    cargo test --release --locked --test jobs -- --ignored --nocapture storm::storm

# a ledger of 1,000,000 jobs: what verbs, refresh and rebuild of its index cost; --help tells more
bench-ledger *ARGS:
    cargo bench --locked --bench ledger -- {{ ARGS }}

# a target of fuzz/targets.rs under libFuzzer for so many seconds: just fuzz squashfs 600
fuzz TARGET SECONDS="60":
    fuzz/run {{ TARGET }} {{ SECONDS }}

# the full counts of what tests/run does in short form; its result goes into docs/
soak:
    MOORLINE_SOAK=1 PROPTEST_CASES=20000 cargo test --release --locked --no-fail-fast
