# Image of the engine function, with Python for plugins. Run at the root of the repository:
#
#   docker build --file infra/docker/engine.Dockerfile --tag neap-engine .
#
# Packages for plugins go into a virtual environment in an image on top of it:
#
#   FROM neap-engine
#   USER root
#   RUN python3 -m venv /opt/venv && /opt/venv/bin/pip install pandas
#   USER 10001:10001
#   ENV NEAP_VIRTUAL_ENV_LOCATION=/opt/venv

FROM rust:1.95-slim-trixie AS build

WORKDIR /source
COPY . .
ARG NEAP_REVISION=
# `dev` compiles much faster, for trying out the image.
ARG PROFILE=lambda
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/source/target \
    cargo install --locked --path programs/lambda --no-default-features --features engine --bin neap-lambda-engine \
        --profile "$PROFILE" --root /usr/local --no-track

FROM python:3.13-slim-trixie

COPY --from=build /usr/local/bin/neap-lambda-engine /usr/local/bin/neap-lambda-engine

# Lambda runs images as its own user, who can write to /tmp. The binary calls the Runtime API itself.
USER 10001:10001
ENTRYPOINT ["neap-lambda-engine"]
