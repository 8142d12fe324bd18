# The image: the program, an empty folder for local state, and nothing else.
#
#   docker build -t azul-backup .
#   docker build --target symbols --output symbols .     # its symbols, for gdb and addr2line
#
# It needs no certificates: the authorities of the public web are in the program (webpki-roots), and SSL_CERT_FILE names
# a file of others. It writes to /data alone, so that the root file system may be read-only.

FROM rust:1.95-bookworm AS builder
WORKDIR /build
COPY . .
RUN image/build /out && mkdir /out/data

FROM scratch AS symbols
COPY --from=builder /out/azul-backup.debug /

FROM scratch
LABEL org.opencontainers.image.title="azul-backup" \
      org.opencontainers.image.description="Continuous backup and restore of an Azul malware repository" \
      org.opencontainers.image.licenses="MIT"
COPY --from=builder /out/azul-backup /azul-backup
COPY --from=builder --chown=65532:65532 /out/data /data
ENV BK__LOCAL_DATA__ROOTDIR=/data \
    TMPDIR=/data
USER 65532:65532
STOPSIGNAL SIGTERM
ENTRYPOINT ["/azul-backup"]
