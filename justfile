# Everyday commands. `just` lists them; each is a script or a command that also works without it.

# Arguments arrive as they were given, spaces and parentheses included.
set positional-arguments

_list:
    @{{ just_executable() }} --list --unsorted

# Builds, starts a server on a directory, writes a sample and asks for it
quickstart *arguments:
    scripts/quickstart "$@"

# Runs a server: `just serve --data-dir /tmp/garden`
serve *arguments:
    cargo run --package neap --bin neap -- serve "$@"

# The tests that need nothing else, all with `--all`, or those of a package: `just test -p neap-wal`
test *arguments:
    scripts/test "$@"

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
    scripts/check-terraform "$@"

# Checks the packages of a release, each installed by its own client, and what images and the Debian package are made of
packages:
    python3 -m unittest discover --start-directory tests/packages

# One schedule of the simulation, step by step
simulate seed:
    NEAP_SIM_SEED={{ seed }} cargo test --package neap-simulation replay -- --nocapture

# Real processes under faults: `just soak 10` for ten minutes
soak *arguments:
    scripts/soak "$@"

# Random inputs for decoders, guided by coverage: `just fuzz --seconds 300 influxql`
fuzz *arguments:
    scripts/fuzz "$@"

# A benchmark of bench/: `just bench ingest --scale small`
bench name *arguments:
    cargo build --release --bin neap --bin neap-s3-server
    shift && bench/{{ name }}.py "$@"

# Writes docs/cost.md
cost:
    bench/cost.py

# The container's image: `just image neap --build-arg PROFILE=dev`
image tag="neap" *arguments:
    shift; docker build --file infra/docker/Dockerfile --build-arg NEAP_REVISION="$(git rev-parse --short=9 HEAD)" \
        --tag {{ tag }} "$@" .

# Everything that a release consists of, into dist/: `just release aarch64`
release *arguments:
    scripts/release "$@"
