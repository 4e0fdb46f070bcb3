# A static binary and the certificates it needs, run as nobody in particular:
#
#   docker build -t pixazo-mcp .
#   docker run -i --rm -e PIXAZO_API_KEY -v pixazo:/data pixazo-mcp
#
# The journal and the videos are kept in the volume. -i keeps
# stdin open, over which the client speaks. No keepers: with --init, as Docker's
# MCP gateway runs it, the program is not process 1, and a keeper that sends a
# request would be killed with the container. VERSION and COMMIT are what the
# program says of itself; by the label the MCP registry knows whose image it is
# (packaging/release.mjs).
FROM golang:1.26 AS build
ARG VERSION=
ARG COMMIT=
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w ${VERSION:+-X main.version=$VERSION} ${COMMIT:+-X main.commit=$COMMIT}" -o /pixazo-mcp . \
 && mkdir -m 700 /data

FROM scratch
ARG NAME=
ARG REPOSITORY=
LABEL io.modelcontextprotocol.server.name="$NAME" \
      org.opencontainers.image.source="$REPOSITORY" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /pixazo-mcp /pixazo-mcp
COPY --from=build --chown=65532:65532 /data /data
USER 65532:65532
ENV HOME=/data PIXAZO_KEEPER=false
VOLUME /data
ENTRYPOINT ["/pixazo-mcp"]
