# The engine function as an image, with Python for plugins. From the root of the repository:
#
#   docker build --file lambda/engine.Dockerfile --tag neap-engine .
#
# What plugins import goes into a virtual environment on top of it:
#
#   FROM neap-engine
#   RUN python3 -m venv /opt/venv && /opt/venv/bin/pip install pandas
#   ENV NEAP_VIRTUAL_ENV_LOCATION=/opt/venv

FROM rust:1.95-slim-trixie AS build

RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc g++ libc6-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY . .
ARG NEAP_REVISION=
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/source/target \
    cargo build --locked --profile lambda --package neap-lambda --no-default-features --features engine \
        --bin neap-lambda-engine \
    && cp target/lambda/neap-lambda-engine /usr/local/bin/neap-lambda-engine

FROM python:3.13-slim-trixie

COPY --from=build /usr/local/bin/neap-lambda-engine /usr/local/bin/neap-lambda-engine

# Lambda runs images as a user of its own, with /tmp to write to. The binary speaks with Lambda itself.
USER 10001:10001
ENTRYPOINT ["neap-lambda-engine"]
