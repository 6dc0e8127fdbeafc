# Everyday commands. `just` lists them; each is a script or a command that also works without it.

_list:
    @just --list --unsorted

# Builds, starts a server on a directory, writes a sample and asks for it
quickstart *arguments:
    scripts/quickstart {{ arguments }}

# Runs a server: `just serve --data-dir /tmp/garden`
serve *arguments:
    cargo run --package neap --bin neap -- serve {{ arguments }}

# All tests, or those of a package: `just test -p neap-wal`
test *arguments:
    scripts/test {{ arguments }}

# Everything that must pass
ci:
    .ci/run

# Formats Rust and Terraform
format:
    cargo fmt --all
    terraform fmt -recursive infra/terraform

# Lints
lint:
    cargo clippy --workspace --all-targets -- -D warnings

# Checks infra/terraform; --update writes down what tests of the functions know of it
terraform *arguments:
    scripts/check-terraform {{ arguments }}

# One schedule of the simulation, step by step
simulate seed:
    NEAP_SIM_SEED={{ seed }} cargo test --package neap-simulation replay -- --nocapture

# A benchmark of bench/: `just bench ingest --scale small`
bench name *arguments:
    cargo build --release --bin neap --bin neap-s3-server
    bench/{{ name }}.py {{ arguments }}

# Writes docs/cost.md
cost:
    bench/cost.py

# The container's image
image tag="neap":
    docker build --file infra/docker/Dockerfile --build-arg NEAP_REVISION="$(git rev-parse --short=9 HEAD)" --tag {{ tag }} .

# Everything that a release consists of, into dist/: `just release aarch64`
release *arguments:
    scripts/release {{ arguments }}
