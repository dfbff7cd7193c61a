# syntax=docker/dockerfile:1
# The tidewatch binary on a small image: not root, nothing in it but the libraries that the binary links.
#
#   docker build -t tidewatch .          needs BuildKit (the default since Docker 23) for the cache mounts

FROM rust:1-bookworm AS builder

# clang and libclang: RocksDB and its bindings. libssl: librdkafka and reqwest use the system's OpenSSL.
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked --mount=type=cache,target=/var/lib/apt,sharing=locked \
    apt-get update \
    && apt-get install -y --no-install-recommends clang libclang-dev g++ make pkg-config libssl-dev zlib1g-dev

WORKDIR /build
COPY . .

# RocksDB is compiled from source, 12 to 20 minutes on two cores, once: the target directory is a cache and not a layer, so the
# binary is copied out of it.
ENV CC=clang CXX=clang++
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/build/target \
    cargo build --release --locked --bin tidewatch \
    && install -D --strip target/release/tidewatch /out/tidewatch

FROM debian:bookworm-slim

# libssl3: TLS. ca-certificates: whom to trust. zlib1g and libstdc++6: librdkafka and RocksDB. Everything else is linked in.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libssl3 libstdc++6 zlib1g \
    && rm -rf /var/lib/apt/lists/*

# A fixed number, so that volumes and Kubernetes' runAsUser can name it.
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /var/lib/tidewatch --shell /usr/sbin/nologin tidewatch \
    && install -d -o tidewatch -g tidewatch -m 0750 /var/lib/tidewatch

COPY --from=builder /out/tidewatch /usr/local/bin/tidewatch
# The shipped pipeline; put another file in its place for one's own. From the environment it takes TELEGRAM_CHAT_ID, and where it has
# [youtube] and [telegram] also YOUTUBE_API_KEY and TELEGRAM_BOT_TOKEN.
COPY topology.toml /etc/tidewatch/topology.toml

USER 10001:10001
WORKDIR /etc/tidewatch
# Each container has a directory of its own: two processes in one would be refused.
VOLUME /var/lib/tidewatch

# SIGTERM commits the open transaction and ends with 0 within 10 seconds.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["tidewatch", "status", "--state-dir", "/var/lib/tidewatch"]

ENTRYPOINT ["tidewatch"]
CMD ["run", "--state-dir", "/var/lib/tidewatch"]
