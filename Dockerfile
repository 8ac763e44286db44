# One image with the three programs, and nothing else that runs: no shell, no package manager. It needs no user of its
# own, no privileges, and a read-only root is enough; data goes to /data.
#
#   docker build -t toolwire .        or, without a registry and an engine: scripts/image build
#   docker run -p 8082:8082 toolwire toolwire dev --listen 0.0.0.0 --tls

FROM debian:bookworm-slim AS build
COPY scripts/setup /src/scripts/
RUN /src/scripts/setup build && apt-get install -y --no-install-recommends ca-certificates
COPY . /src
ARG CMAKE_BUILD_PARALLEL_LEVEL
WORKDIR /src
RUN cmake --preset release -DTOOLWIRE_TESTS=OFF \
  && cmake --build --preset release --target toolwire toolwire-edge toolwire-control \
  && scripts/image root build/release /image

FROM scratch
LABEL org.opencontainers.image.title="toolwire" \
  org.opencontainers.image.description="Tool calls from a backend to programs on users' machines" \
  org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /image /
# A number, as Kubernetes' runAsNonRoot wants it; any other will do.
USER 65532:65532
ENV PATH=/usr/bin TOOLWIRE_DATA_DIR=/data
WORKDIR /data
EXPOSE 8082 50051 50052 9090 9091
CMD ["/usr/bin/toolwire", "--help"]
